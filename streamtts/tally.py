"""Counts of values by size, filled by one thread and read by any: what a histogram shows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import msgspec


class Distribution(msgspec.Struct, frozen=True):
    """A moment of a `Tally`.

    Attributes:
        bounds: upper edges, rising; a value on an edge counts below it.
        counts: one more than bounds; the last counts what lies above all of them.
        total: sum of all values.
    """

    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = (0,)
    total: float = 0.0


class Tally:
    """Counts values; one thread adds, any reads.

    Args:
        bounds: upper edges, rising.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Counts one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def snapshot(self) -> Distribution:
        """What has been counted."""
        return Distribution(self._bounds, tuple(self._counts), self._total)
