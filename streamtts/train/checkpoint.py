"""Checkpoints of a training run: whole or not at all, and an average of the weights."""

from __future__ import annotations

import contextlib
import os
import pickle
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes a checkpoint so that a kill at any moment leaves the old one or the new one."""
    part = path.with_suffix(".part")
    torch.save(content, part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def load(path: Path) -> dict[str, Any] | None:
    """The checkpoint at `path`; None when there is none, or when it cannot be read."""
    with contextlib.suppress(FileNotFoundError, RuntimeError, EOFError, pickle.UnpicklingError):
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return content
    return None


class Every:
    """True once in so many seconds."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._last_s = time.monotonic()

    def due(self) -> bool:
        """Whether the interval has passed since the last time this was true."""
        if time.monotonic() - self._last_s < self.interval_s:
            return False
        self._last_s = time.monotonic()
        return True


class Average:
    """An exponential moving average of a module's parameters (Polyak and Juditsky 1992).

    Args:
        module: its floating-point parameters are averaged.
        decay: of a step late in training; early steps forget faster.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {n: p.detach().clone() for n, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Takes in the parameters after step number `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        mine = list(self.weights.values())
        theirs: list[Tensor] = [p.detach() for _, p in module.named_parameters()]
        torch._foreach_lerp_(mine, theirs, 1 - decay)
