"""What a context does with a message of its client: one table for every (state, message) pair."""

from __future__ import annotations

import enum
from collections.abc import Mapping


class State(enum.Enum):
    """Where a context stands, as its client can know it."""

    ABSENT = "absent"
    OPEN = "open"
    ENDING = "ending"  # the client sent `end`; it is still being spoken
    CANCELLING = "cancelling"  # the client sent `cancel`; `cancelled` is still to come
    DONE = "done"  # ended by itself
    GONE = "gone"  # cancelled or ended by an error
    GONE_TOLD = "gone_told"  # the same, and text that came later was answered once


LIVE = frozenset({State.OPEN, State.ENDING, State.CANCELLING})


class Do(enum.Enum):
    """What is done with a message."""

    ADMIT = "admit"  # open a context, and feed it when the message brings text
    FEED = "feed"
    PASS = "pass"
    COMPARE = "compare"  # warn when settings differ
    IGNORE = "ignore"
    UNKNOWN = "unknown"  # report `unknown_context`
    LATE = "late"  # report `bad_field`: the context takes no more text
    GONE = "gone"  # report `unknown_context`: the context is over


FREE = frozenset(State) - LIVE  # the id can be opened
KINDS = ("open", "text", "flush", "end", "cancel", "playback")


def _row(state: State, *cells: tuple[Do, State]) -> dict[tuple[State, str], tuple[Do, State]]:
    return {(state, kind): cell for kind, cell in zip(KINDS, cells, strict=True)}


_A, _O, _E, _C = State.ABSENT, State.OPEN, State.ENDING, State.CANCELLING
_F, _G, _T = State.DONE, State.GONE, State.GONE_TOLD
_NO = Do.IGNORE

# Columns: open, text, flush, end, cancel, playback.
TABLE: Mapping[tuple[State, str], tuple[Do, State]] = {
    **_row(_A, (Do.ADMIT, _O), (Do.ADMIT, _O), *[(Do.UNKNOWN, _A)] * 4),
    **_row(
        _O,
        (Do.COMPARE, _O),
        (Do.FEED, _O),
        (Do.PASS, _O),
        (Do.PASS, _E),
        (Do.PASS, _C),
        (Do.PASS, _O),
    ),
    **_row(
        _E,
        (Do.LATE, _E),
        (Do.LATE, _E),
        (_NO, _E),
        (_NO, _E),
        (Do.PASS, _C),
        (Do.PASS, _E),
    ),
    **_row(_C, (Do.LATE, _C), *[(_NO, _C)] * 5),
    **_row(_F, (Do.ADMIT, _O), (Do.ADMIT, _O), *[(_NO, _F)] * 4),
    **_row(_G, (Do.ADMIT, _O), (Do.GONE, _T), *[(_NO, _G)] * 4),
    **_row(_T, (Do.ADMIT, _O), *[(_NO, _T)] * 5),
}
