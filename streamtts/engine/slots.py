"""A fixed table of slots: rows go in and out of batched state."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from streamtts.nn.state import select

S = TypeVar("S")


class SlotTable(Generic[S]):
    """The state of every slot, as one batched state.

    The rows of the last `put` are kept as they came: as long as the same rows are asked for
    again, which is nearly always, nothing is copied.

    Args:
        zeros: a state with as many rows as there are slots.
        slots: that many.
    """

    def __init__(self, zeros: S, slots: int) -> None:
        # A copy: tensors of a state may share memory, and rows are written in place here.
        self._table = select(zeros, torch.arange(slots))
        self._rows: tuple[int, ...] = ()
        self._batch: S | None = None

    def take(self, rows: Sequence[int]) -> S:
        """The state of some slots, in the order given; a batch for one step."""
        if self._batch is not None and self._rows == tuple(rows):
            return self._batch
        self._settle()
        return select(self._table, torch.tensor(rows))

    def put(self, rows: Sequence[int], state: S) -> None:
        """The state of some slots after a step."""
        if self._rows != tuple(rows):
            self._settle()
        self._rows = tuple(rows)
        self._batch = state

    def reset(self, row: int, fresh: S) -> None:
        """Gives a slot to a new stream; `fresh` has one row."""
        self._settle()
        _write(self._table, torch.tensor([row]), fresh)

    def _settle(self) -> None:
        if self._batch is not None:
            _write(self._table, torch.tensor(self._rows), self._batch)
            self._batch = None
            self._rows = ()


def _write(table: Any, rows: Tensor, new: Any) -> None:
    """Writes rows into the tensors of `table`, nested as in nn/state.py, in place."""
    if isinstance(table, Tensor):
        table[rows] = new
    elif isinstance(table, tuple):
        for part, replacement in zip(table, new, strict=True):
            _write(part, rows, replacement)
    else:
        for field in dataclasses.fields(table):
            _write(getattr(table, field.name), rows, getattr(new, field.name))
