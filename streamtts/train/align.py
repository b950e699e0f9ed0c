"""The teacher's phone times made into steps of the decoder, one at least for every symbol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamtts.text.symbols import PAUSE
from streamtts.train.teacher import TimedPhone

LEAD_IN_S = 0.025  # silence kept before a sentence: all of it would delay every first word
TAIL_S = 0.2  # silence kept behind a sentence


class MismatchError(ValueError):
    """The teacher did not say what it was asked to say; the sentence is of no use."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where to cut a recording, and how long each symbol lasts in it.

    Attributes:
        start_s: first second of the recording to keep.
        end_s: where to stop.
        ends_s: (N,) end of each symbol, in seconds behind `start_s`.
    """

    start_s: float
    end_s: float
    ends_s: NDArray[np.float64]


def match(phones: Sequence[str], timed: Sequence[TimedPhone]) -> Alignment:
    """Lays the front end's symbols over the teacher's phones.

    Args:
        phones: the symbols of one sentence, which begins and ends with a pause.
        timed: what the teacher said.

    Returns:
        the alignment, the pauses at both ends shortened to `LEAD_IN_S` and `TAIL_S`.

    Raises:
        MismatchError: another number of phones, a pause elsewhere, or another phone ("the" before
            a vowel is the teacher's own habit and is let through).
    """
    if len(phones) != len(timed):
        raise MismatchError(f"{len(timed)} phones said, {len(phones)} asked for")
    for i, (asked, said) in enumerate(zip(phones, timed, strict=True)):
        after_dh = i > 0 and phones[i - 1] == "dh"
        if asked != said.phone and not (after_dh and {asked, said.phone} <= {"ax", "iy"}):
            raise MismatchError(f"phone {i} is {said.phone}, asked for {asked}")
    if phones[0] != PAUSE or phones[-1] != PAUSE:
        raise MismatchError("a sentence begins and ends with a pause")
    ends = np.array([t.end_s for t in timed])
    start_s = max(0.0, ends[0] - LEAD_IN_S)
    end_s = min(ends[-1], ends[-2] + TAIL_S)
    ends[-1] = end_s
    return Alignment(start_s, end_s, ends - start_s)


def to_steps(ends_s: NDArray[np.float64], step_s: float, steps: int) -> NDArray[np.int64]:
    """Symbol ends to whole decoder steps, each symbol at least one, borrowed from its neighbours.

    Args:
        ends_s: (N,) rising.
        step_s: length of a step.
        steps: T, how many steps the recording has.

    Returns:
        (N,) durations in steps, their sum is T.

    Raises:
        MismatchError: fewer steps than symbols.
    """
    N = len(ends_s)
    if steps < N:
        raise MismatchError(f"{steps} steps cannot hold {N} symbols")
    ends = np.rint(ends_s / step_s).astype(np.int64)
    ends[-1] = steps
    # Smallest shift that leaves room: push right where too tight, then back from the end.
    for i in range(N):
        ends[i] = max(ends[i], (ends[i - 1] if i else 0) + 1)
    for i in range(N - 1, -1, -1):
        ends[i] = min(ends[i], steps - (N - 1 - i))
    return np.diff(ends, prepend=0)
