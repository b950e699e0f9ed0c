"""Batches of sentences for the acoustic model, disturbed as live streams are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamtts.text.symbols import MARKS, PAUSE_ID
from streamtts.train.corpus import Item

_MARK = 3  # the column of the mark among the symbol features
_EDGE = 2
_COMMA, _FLUSH = MARKS.index("comma"), MARKS.index("flush")


@dataclass(frozen=True, slots=True)
class Disturbance:
    """How often a sentence is read as a live stream may meet it.

    Attributes:
        cut_chance: it is cut once, as if its text had stalled there.
        flush_chance: a comma's pause is read as a flush's; half as often, its last one.
    """

    cut_chance: float = 0.5
    flush_chance: float = 0.15


@dataclass(frozen=True, slots=True)
class Batch:
    """Sentences of about one length.

    Attributes:
        features: (B, N, F) int64; lengths: (B,) symbols; cuts: (B,), see Encoder.forward.
        position: (B, T) int64, the symbol of each step; dwell: (B, T) int64.
        leave: (B, T) float32, 1 on the last step of a symbol.
        steps: (B,) int64, T of each row.
        frames: (B, T * R, C) float32, in natural units.
    """

    features: Tensor
    lengths: Tensor
    cuts: Tensor
    position: Tensor
    dwell: Tensor
    leave: Tensor
    steps: Tensor
    frames: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__slots__))


def order(items: Sequence[Item], batch: int, epoch: int, seed: int) -> list[list[int]]:
    """Batches of indices of one epoch: neighbours in length, shuffled."""
    rng = np.random.default_rng((seed, epoch))
    lengths = np.array([i.durations.sum() for i in items]) * rng.uniform(0.9, 1.1, len(items))
    ranked = np.argsort(lengths)
    batches = [ranked[i : i + batch].tolist() for i in range(0, len(items), batch)]
    rng.shuffle(batches)
    return batches


def disturb(
    features: NDArray[np.int64], config: Disturbance, rng: np.random.Generator
) -> tuple[NDArray[np.int64], int]:
    """What a live stream meets: text that stalls, a flush, a sentence without a full stop.

    Args:
        features: (N, F) of a whole sentence.
        config: how often.
        rng: where chance comes from.

    Returns:
        the features, perhaps changed, and the last symbol known when the text stalled; -1: never.
    """
    ends = np.flatnonzero(features[:-1, _EDGE] >= 2)[1:]
    commas = np.flatnonzero((features[:, 0] == PAUSE_ID) & (features[:, _MARK] == _COMMA))
    if len(commas) and rng.random() < config.flush_chance:
        cut = int(rng.choice(commas))
    elif len(ends) and rng.random() < config.cut_chance:
        return features, int(rng.choice(ends))
    elif rng.random() < config.flush_chance / 2:
        cut = len(features) - 1
    else:
        return features, -1
    features = features.copy()
    features[cut, _MARK] = _FLUSH
    first = cut - 1  # the word before it carries no mark: nobody knew yet
    while first > 0 and features[first, _EDGE] not in (1, 3):
        first -= 1
    features[first:cut, _MARK] = 0
    return features, cut if cut < len(features) - 1 else -1


def collate(
    items: Sequence[Item],
    frames: Sequence[NDArray[np.float16]],
    config: Disturbance,
    rng: np.random.Generator | None,
) -> Batch:
    """One batch; without `rng` nothing is disturbed."""
    B = len(items)
    N = max(len(i.durations) for i in items)
    T = max(int(i.durations.sum()) for i in items)
    R = len(frames[0]) // int(items[0].durations.sum())
    features = np.zeros((B, N, items[0].features.shape[1]), dtype=np.int64)
    position = np.zeros((B, T), dtype=np.int64)
    dwell = np.zeros((B, T), dtype=np.int64)
    leave = np.zeros((B, T), dtype=np.float32)
    sound = np.zeros((B, T * R, frames[0].shape[1]), dtype=np.float32)
    cuts = np.full(B, -1)
    for b, item in enumerate(items):
        n, t = len(item.durations), int(item.durations.sum())
        features[b, :n] = item.features
        if rng is not None:
            features[b, :n], cuts[b] = disturb(item.features, config, rng)
        ends = np.cumsum(item.durations)
        position[b, :t] = np.repeat(np.arange(n), item.durations)
        position[b, t:] = n - 1
        dwell[b, :t] = np.arange(t) - np.repeat(ends - item.durations, item.durations)
        leave[b, ends - 1] = 1
        sound[b, : t * R] = frames[b]
    arrays = (
        features, [len(i.durations) for i in items], cuts, position, dwell, leave,
        [int(i.durations.sum()) for i in items], sound,
    )  # fmt: skip
    return Batch(*(torch.as_tensor(np.asarray(a)) for a in arrays))
