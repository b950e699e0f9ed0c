"""Rows of streaming state: a state is a frozen dataclass of tensors whose axis 0 is the row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

S = TypeVar("S")


def _map(function: Callable[..., Tensor], *states: Any) -> Any:
    """Applies `function` to each tensor of states of one class, nested ones too."""
    first = states[0]
    if isinstance(first, Tensor):
        return function(*states)
    if isinstance(first, tuple):
        return tuple(_map(function, *parts) for parts in zip(*states, strict=True))
    if not dataclasses.is_dataclass(first):
        raise TypeError(
            f"a state holds tensors, tuples and dataclasses, not {type(first).__name__}"
        )
    cls: Any = type(first)
    return cls(
        *(_map(function, *(getattr(s, f.name) for s in states)) for f in dataclasses.fields(first))
    )


def stack(states: Sequence[S]) -> S:
    """One state with the rows of all, in order.

    Args:
        states: at least one state, all of the same class and row shapes.

    Returns:
        A state with as many rows as all of them together.
    """
    return _map(lambda *parts: torch.cat(parts), *states)


def select(state: S, rows: Tensor) -> S:
    """The given rows of a state, copied.

    Args:
        state: a state of B rows.
        rows: (K,) int64 indices, or (B,) bool.

    Returns:
        A state of K rows (or as many as are True).
    """
    if rows.dtype == torch.bool:
        rows = rows.nonzero()[:, 0]
    return _map(lambda part: part.index_select(0, rows), state)


def update(state: S, rows: Tensor, new: S) -> S:
    """A state in which some rows are replaced; the one given stays as it was.

    Args:
        state: a state of B rows.
        rows: (K,) int64 indices, or (B,) bool with K of them True.
        new: a state of K rows.

    Returns:
        A new state of B rows.
    """

    def write(part: Tensor, replacement: Tensor) -> Tensor:
        out = part.clone()
        out[rows] = replacement
        return out

    return _map(write, state, new)
