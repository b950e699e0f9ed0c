import numpy as np
import pytest

from streamtts.train.align import LEAD_IN_S, TAIL_S, MismatchError, match, to_steps
from streamtts.train.teacher import TimedPhone


def timed(*pairs):
    return [TimedPhone(p, e) for p, e in pairs]


def test_the_pauses_at_both_ends_are_shortened():
    alignment = match(
        ["pau", "hh", "ay", "pau"],
        timed(("pau", 0.2), ("hh", 0.3), ("ay", 0.6), ("pau", 1.5)),
    )
    assert alignment.start_s == pytest.approx(0.2 - LEAD_IN_S)
    assert alignment.end_s == pytest.approx(0.6 + TAIL_S)
    assert alignment.ends_s == pytest.approx([0.025, 0.125, 0.425, 0.625])


def test_what_the_teacher_says_otherwise_is_refused():
    said = timed(("pau", 0.2), ("dh", 0.3), ("iy", 0.4), ("pau", 0.5))
    match(["pau", "dh", "ax", "pau"], said)  # "the" before a vowel
    with pytest.raises(MismatchError, match="asked for eh"):
        match(["pau", "dh", "eh", "pau"], said)
    with pytest.raises(MismatchError, match="4 phones said, 3 asked for"):
        match(["pau", "dh", "pau"], said)


def test_every_symbol_gets_a_step():
    ends = np.array([0.03, 0.035, 0.04, 0.05, 0.2])
    steps = to_steps(ends, 0.025, 8)
    assert steps.sum() == 8
    assert steps.min() == 1
    with pytest.raises(MismatchError, match="cannot hold"):
        to_steps(ends, 0.025, 4)


def test_long_symbols_keep_their_ends():
    assert to_steps(np.array([0.1, 0.3, 0.5]), 0.025, 20).tolist() == [4, 8, 8]
