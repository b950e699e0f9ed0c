"""A fixed table of slots: rows go in and out of batched state."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from streamtts.nn.state import select

S = TypeVar("S")


class SlotTable(Generic[S]):
    """The state of every slot, as one batched state.

    The rows of the last `put` are kept as they came: as long as the same rows are asked for
    again, which is nearly always, nothing is copied. Two threads may come here at a time, as long
    as they ask for different rows.

    Args:
        zeros: a state with as many rows as there are slots.
        slots: that many.
        device: where the state is.
    """

    def __init__(self, zeros: S, slots: int, device: torch.device | str = "cpu") -> None:
        self._device = device
        self._lock = threading.Lock()
        # A copy: tensors of a state may share memory, and rows are written in place here.
        self._table = select(zeros, self._index(range(slots)))
        self._rows: tuple[int, ...] = ()
        self._batch: S | None = None

    def take(self, rows: Sequence[int]) -> S:
        """The state of some slots, in the order given; a batch for one step."""
        with self._lock:
            if self._batch is not None and self._rows == tuple(rows):
                return self._batch
            self._settle()
            return select(self._table, self._index(rows))

    def put(self, rows: Sequence[int], state: S) -> None:
        """The state of some slots after a step."""
        with self._lock:
            if self._rows != tuple(rows):
                self._settle()
            self._rows = tuple(rows)
            self._batch = state

    def reset(self, row: int, fresh: S) -> None:
        """Gives a slot to a new stream; `fresh` has one row."""
        with self._lock:
            self._settle()
            write_rows(self._table, self._index([row]), fresh)

    def _index(self, rows: Sequence[int]) -> Tensor:
        return torch.tensor(rows, dtype=torch.int64, device=self._device)

    def _settle(self) -> None:
        if self._batch is not None:
            write_rows(self._table, self._index(self._rows), self._batch)
            self._batch = None
            self._rows = ()


def write_rows(table: Any, rows: Tensor, new: Any) -> None:
    """Writes `new` into rows (K,) int64 of `table`, a state of nn/state.py, in place."""
    if isinstance(table, Tensor):
        table[rows] = new
    elif isinstance(table, tuple):
        for part, replacement in zip(table, new, strict=True):
            write_rows(part, rows, replacement)
    else:
        for field in dataclasses.fields(table):
            write_rows(getattr(table, field.name), rows, getattr(new, field.name))
