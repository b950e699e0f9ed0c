"""What the model takes on this machine, for batches of several sizes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch

from streamtts.engine.admission import Costs
from streamtts.model.acoustic import AcousticSpeaker
from streamtts.vocoder.vocoder import Vocoder

_ROWS = (1, 4, 16, 64, 128, 256)
_SOUND = ((1, 4), (16, 16))  # rows, frames: the shortest call, and a full one
_TIMES = 4
_STEPS_A_SYMBOL = 3  # of ordinary speech: the others need not read their memory anew


@torch.inference_mode()
def measure(acoustic: AcousticSpeaker, vocoder: Vocoder, slots: int) -> Costs:
    """Runs steps and vocoder calls on states of their own; takes a fraction of a second.

    On a CPU the clock is that of this thread alone, so that a busy machine does not look like a
    slow one.

    Args:
        acoustic: the model, ready to speak.
        vocoder: in eval mode, on the same device.
        slots: rows at most.
    """
    device = acoustic.device
    clock = _device_clock if device.type == "cuda" else time.thread_time
    steps = []
    for rows in sorted({min(n, slots) for n in _ROWS}):
        moved = torch.arange(max(1, rows // _STEPS_A_SYMBOL), device=device)
        memory = torch.zeros(len(moved), acoustic.config.memory_width, device=device)
        has = torch.ones(len(moved), dtype=torch.bool, device=device)
        state = acoustic.decoder_zeros(rows)
        step = partial(acoustic.advance, moved, memory, memory, has, state)
        steps.append((rows, _least(clock, step)))
    calls = []
    for rows, count in _SOUND:
        frames = torch.zeros(rows, count, acoustic.config.n_mels + 2, device=device)
        sound = vocoder.zeros(rows, torch.zeros(rows, dtype=torch.int64, device=device))
        calls.append(_least(clock, partial(vocoder.step, frames, sound)))
    rows, count = _SOUND[-1]
    return Costs(tuple(steps), calls[-1] / (rows * count), calls[0])


def _least(clock: Callable[[], float], call: Callable[[], object]) -> float:
    """The shortest of a few calls, in seconds."""
    call()
    took = []
    for _ in range(_TIMES):
        begun_s = clock()
        call()
        took.append(clock() - begun_s)
    return min(took)


def _device_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()
