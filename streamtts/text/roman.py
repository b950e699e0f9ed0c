"""Roman numerals, where they are numerals: Henry VIII, Chapter IV, World War II."""

from __future__ import annotations

from streamtts.text import numbers
from streamtts.text.reading import NONE, Past, Reading
from streamtts.text.tokens import SIGN, SPACE, WORD, Window

_LABELS = frozenset(
    "chapter part volume vol section act scene book article phase type class stage grade appendix "
    "war title level tome canto figure table episode season mark division group unit schedule "
    "lesson round step category region rocky apollo".split()
)
_RULERS = frozenset(
    "Henry Louis George Edward Charles James William Richard Elizabeth Mary Philip Pius John Paul "
    "Benedict Francis Gregory Leo Alexander Catherine Peter Nicholas Ivan Frederick Ferdinand "
    "Napoleon Ramses Ptolemy Clement Innocent Urban Robert Malcolm David Otto Constantine "
    "Theodosius Haakon Gustav Christian Victor Umberto Leopold Carl Olav Xerxes Darius "
    "Thutmose Amenhotep Sixtus Boniface Celestine Wilhelm Alfonso Baldwin Conrad Rudolf "
    "Maximilian Mehmed Suleiman Selim Murad Margaret Anne Isabella Joseph Emmanuel Albert Stephen "
    "Felipe Juan Carlos Harald Rama".split()
)
_AFTER_FIRST = frozenset(
    "was of and is had who in ruled reigned died to became made came ordered which by with at "
    "from has as married would that could did on".split()
)


def numeral(win: Window, past: Past) -> Reading | None:
    """A Roman numeral behind a ruler's name, a label, or a name.

    Args:
        win: stands on a word.
        past: what came before.

    Returns:
        Its reading, or None.

    Raises:
        Pending: more text is needed.
    """
    lower = win.first(0) in "ivx" and past.word.lower() in _LABELS
    if (
        not (lower or win.first(0) in "IVXLC")
        or not past.in_sentence
        or past.mark != NONE
        or past.glued
    ):
        return None
    before = past.word
    if not before or not (before[0].isupper() or before.lower() in _LABELS):
        return None
    text = win.text(0)
    if lower and len(text) > 1:
        text = text.upper()
    value = numbers.roman(text)
    if not 0 < value <= 100 or past.capitals or (win.first(1) == "'" and text != "I"):
        return None
    label = before.lower() in _LABELS and (len(text) > 1 or before[0].isupper())
    ruler = before in _RULERS
    if len(text) == 1 and not label and not (ruler and _stands_alone(win, text)):
        return None
    if len(text) == 1 and text not in "IVX":
        return None
    if not label and not ruler and (text in ("CV", "CC", "XL", "CI", "LI", "XX") or value > 60):
        return None
    if ruler and not label:
        return Reading(("the", *numbers.ordinal(str(value))), 1)
    return Reading(numbers.cardinal(str(value)), 1)


def _stands_alone(win: Window, text: str) -> bool:
    """Whether a single letter behind a ruler's name is his number ("Elizabeth I was")."""
    if text == "X":
        return False
    if text == "V":
        return win.first(1) != "."
    if win.kind(1) == SIGN:
        return win.first(1) not in ("'", ".")
    return win.kind(1) == SPACE and win.kind(2) == WORD and win.text(2) in _AFTER_FIRST
