from dataclasses import dataclass

import torch
from torch import Tensor

from streamtts.nn.state import select, stack, update


@dataclass(frozen=True, slots=True)
class Inner:
    a: Tensor


@dataclass(frozen=True, slots=True)
class Outer:
    inner: tuple[Inner, ...]
    b: Tensor


def state(*values: float) -> Outer:
    rows = torch.tensor(values)
    return Outer((Inner(rows[:, None].clone()),), rows.clone())


def test_rows_travel_together():
    both = stack([state(1, 2), state(3)])
    assert both.b.tolist() == [1, 2, 3]
    picked = select(both, torch.tensor([2, 0]))
    assert picked.b.tolist() == [3, 1]
    assert picked.inner[0].a.tolist() == [[3], [1]]


def test_update_leaves_the_old_state_alone():
    old = state(1, 2, 3)
    new = update(old, torch.tensor([1]), state(9))
    assert new.b.tolist() == [1, 9, 3]
    assert new.inner[0].a[:, 0].tolist() == [1, 9, 3]
    assert old.b.tolist() == [1, 2, 3]
