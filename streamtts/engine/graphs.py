"""The decoder step as CUDA graphs: one launch instead of a hundred small kernels.

A graph has a fixed number of rows, so there is one for each of a few batch sizes, captured when it
is first needed; smaller batches fill it up with rows that nobody reads. Graphs belong to the
thread that captured them: only the engine's thread may come here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from streamtts.engine.slots import write_rows
from streamtts.model.acoustic import AcousticSpeaker, DecoderState, StepOutput
from streamtts.nn.state import select

SIZES = (1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512)
_WARM_UP_CALLS = 3

Step: TypeAlias = Callable[[], StepOutput]
Capture: TypeAlias = Callable[[Step], tuple[Callable[[], None], StepOutput]]


def capture_cuda(step: Step) -> tuple[Callable[[], None], StepOutput]:
    """Records a step; returns how to replay it, and the tensors that hold what it gives."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP_CALLS):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = step()
    return graph.replay, out


@dataclass(frozen=True, slots=True)
class _Graph:
    here: Tensor
    following: Tensor
    has_following: Tensor
    state: DecoderState
    replay: Callable[[], None]
    out: StepOutput


class StepGraphs:
    """Steps any number of rows by replaying the smallest graph that holds them.

    Args:
        speaker: the model.
        capture: records a step.
        sizes: rows of the graphs, rising; a larger batch is stepped without one.
    """

    def __init__(
        self,
        speaker: AcousticSpeaker,
        capture: Capture = capture_cuda,
        sizes: tuple[int, ...] = SIZES,
    ) -> None:
        self._speaker = speaker
        self._capture = capture
        self._sizes = sizes
        self._graphs: dict[int, _Graph] = {}

    def advance(
        self, here: Tensor, following: Tensor, has_following: Tensor, state: DecoderState
    ) -> StepOutput:
        """As `AcousticSpeaker.advance` of all rows; `state` is changed in place."""
        rows = here.shape[0]
        size = next((n for n in self._sizes if n >= rows), None)
        if size is None:
            return self._speaker.advance(None, here, following, has_following, state)
        graph = self._graphs.get(size)
        if graph is None:
            graph = self._graphs[size] = self._record(size)
        graph.here[:rows] = here
        graph.following[:rows] = following
        graph.has_following[:rows] = has_following
        every = torch.arange(rows, device=here.device)
        write_rows(graph.state, every, state)
        graph.replay()
        write_rows(state, every, select(graph.state, every))
        out = graph.out
        return StepOutput(
            out.frames[:rows].clone(), out.hazard[:rows].clone(), out.leave[:rows].clone()
        )

    def _record(self, size: int) -> _Graph:
        speaker = self._speaker
        here = torch.zeros(size, speaker.config.memory_width, device=speaker.device)
        following = torch.zeros_like(here)
        has_following = torch.ones(size, dtype=torch.bool, device=speaker.device)
        state = speaker.decoder_zeros(size)
        replay, out = self._capture(
            lambda: speaker.advance(None, here, following, has_following, state)
        )
        return _Graph(here, following, has_following, state, replay, out)
