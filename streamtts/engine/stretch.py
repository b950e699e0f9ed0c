"""Speed of speech: frames laid out on another clock, between the acoustic model and the vocoder.

The model speaks at its own pace, and its frames are read faster or slower, by linear interpolation.
So a speed of 1.5 takes exactly two thirds of the time, and no sound of the voice changes but its
length: F0 is one of the frame's features, and is kept. Multiplying the hazard instead would
neither keep the ratio nor the sound: phones then end early or drag.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class FrameStretcher:
    """One stream's frames at another speed; any cut gives the same frames.

    Args:
        speed: 2 makes half as many frames.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._seen = 0  # frames taken
        self._made = 0  # frames given
        self._last: Tensor | None = None

    def push(self, frames: Tensor) -> Tensor:
        """Takes frames (T, C), gives those that lie at or before the last of them, (U, C)."""
        if self._speed == 1.0 or not len(frames):
            return frames
        joined = frames if self._last is None else torch.cat([self._last, frames])
        first = self._seen - (len(joined) - len(frames))
        self._seen += len(frames)
        self._last = frames[-1:]
        until = math.floor((self._seen - 1) / self._speed) + 1
        at = torch.arange(self._made, until, dtype=torch.float64) * self._speed - first
        self._made = max(self._made, until)
        low = at.floor().long().clamp(0, len(joined) - 1)
        part = (at - low).float()[:, None]
        high = (low + 1).clamp(max=len(joined) - 1)
        return joined[low] * (1 - part) + joined[high] * part
