from dataclasses import dataclass

import torch
from torch import Tensor

from streamtts.engine.slots import SlotTable


@dataclass(frozen=True, slots=True)
class Inner:
    value: Tensor


@dataclass(frozen=True, slots=True)
class State:
    count: Tensor
    parts: tuple[Inner, Inner]


def state(rows, value=0.0):
    shared = torch.full((rows, 2), value)
    return State(torch.full((rows,), value), (Inner(shared), Inner(shared)))


def add(old, amount):
    first, second = old.parts
    return State(old.count + amount, (Inner(first.value + amount), Inner(second.value - amount)))


def test_rows_keep_their_own_state_however_batches_change():
    table = SlotTable(state(4), 4)
    expected = [0.0] * 4
    for rows in ([0, 1], [0, 1], [1, 3], [3], [0, 1, 2, 3], [2, 1], [1, 2], [0]):
        table.put(rows, add(table.take(rows), 1.0))
        for row in rows:
            expected[row] += 1
    whole = table.take([0, 1, 2, 3])
    assert whole.count.tolist() == expected
    assert whole.parts[0].value[:, 0].tolist() == expected
    assert whole.parts[1].value[:, 1].tolist() == [-x for x in expected]


def test_the_same_rows_again_are_not_copied():
    table = SlotTable(state(3), 3)
    new = add(table.take([0, 2]), 1.0)
    table.put([0, 2], new)
    assert table.take([0, 2]) is new


def test_a_reset_row_is_fresh_and_the_others_stay():
    table = SlotTable(state(3), 3)
    table.put([0, 1], add(table.take([0, 1]), 5.0))
    table.reset(1, state(1, 9.0))
    assert table.take([0, 1, 2]).count.tolist() == [5.0, 9.0, 0.0]
