"""Where a pause goes, decided without seeing the future: at punctuation, and nowhere else.

The teacher pauses exactly at marks, so the rule needs no look-ahead. A sentence begins and ends
with a pause; inside it, one follows every word that has a mark.
"""

from __future__ import annotations

from streamtts.text.symbols import EDGES, MARKS, PAUSE, WEIGHTS, Symbol

NONE = MARKS.index("none")
COMMA = MARKS.index("comma")
PERIOD = MARKS.index("period")
FLUSH = MARKS.index("flush")
_BOTH = EDGES.index("both")
_CONTENT = WEIGHTS.index("content")


def pause_follows(mark: int, ends_sentence: bool) -> bool:
    """Tells whether a pause stands behind a word with this mark."""
    return ends_sentence or mark != NONE


def pause(mark: int, *, word: int, at: int, ends_sentence: bool = False) -> Symbol:
    """One pause.

    Args:
        mark: index into MARKS; NONE for the pause that begins a sentence.
        word: index of the word before it, -1 before the first.
        at: code point in the client's text where it stands.
        ends_sentence: the pause closes its sentence.
    """
    return Symbol(PAUSE, 0, _BOTH, mark, _CONTENT, word, at, at, ends_sentence)
