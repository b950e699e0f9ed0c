"""What one stream holds beside the batched state; its size does not grow with the text."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamtts.engine.sink import StreamRequest
from streamtts.engine.stretch import FrameStretcher
from streamtts.model.acoustic import EncoderState


class Row(NamedTuple):
    """One row of a step.

    Attributes:
        slot: whose.
        passed: memory rows that it has left behind since its last step.
        restart: it begins a new sentence.
        has_following: it may read the symbol after the one stood on.
    """

    slot: int
    passed: int
    restart: bool
    has_following: bool


@dataclass(slots=True)
class Holding:
    """What lies between encoder, decoder and vocoder for one stream.

    Attributes:
        request: what it is asked to make.
        encoder: where its encoder stands.
        skip_frames: frames still to come that lie before the stream.
        skip_samples: samples still to come that do.
        stretcher: lays its frames out at its speed.
        memory: (D,) each, from the symbol stood on.
        frames: (T, M + 2) each, final, not yet sound.
        had_following: what its last step read; None before the first.
    """

    request: StreamRequest
    encoder: EncoderState
    skip_frames: int
    skip_samples: int
    stretcher: FrameStretcher
    memory: deque[Tensor] = field(default_factory=deque)
    frames: deque[Tensor] = field(default_factory=deque)
    had_following: bool | None = None

    def moves(self, row: Row) -> bool:
        """Brings the memory up to a row; whether it reads other memory than last time."""
        for _ in range(row.passed):
            self.memory.popleft()
        moves = bool(row.passed) or row.restart or self.had_following is not row.has_following
        self.had_following = row.has_following
        return moves

    def keep(self, frames: Tensor) -> int:
        """Queues frames (R, M + 2) for the vocoder, without those that lie before the stream.

        Returns:
            how many there are now, at the stream's speed.
        """
        skip = min(self.skip_frames, len(frames))
        self.skip_frames -= skip
        frames = self.stretcher.push(frames[skip:])
        if len(frames):
            self.frames.append(frames)
        return len(frames)

    def take(self, count: int) -> Tensor:
        """The oldest `count` frames, (count, M + 2)."""
        parts = []
        while count > 0:
            part = self.frames.popleft()
            if len(part) > count:
                self.frames.appendleft(part[count:])
                part = part[:count]
            parts.append(part)
            count -= len(part)
        return torch.cat(parts)

    def drop_late(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Samples without those that lie before the stream."""
        skip = min(self.skip_samples, len(samples))
        self.skip_samples -= skip
        return samples[skip:]
