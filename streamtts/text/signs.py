"""Signs that are spoken, and the many that are not."""

from __future__ import annotations

from streamtts.text import web
from streamtts.text.quantities import power
from streamtts.text.reading import COMMA, NONE, Past, Reading
from streamtts.text.tokens import (
    DIGITS,
    GREEK,
    NEWLINE,
    SIGN,
    SPACE,
    SUPERSCRIPTS,
    WORD,
    Window,
)
from streamtts.text.units import CURRENCIES

_SAID = {
    "&": "and", "%": "percent", "=": "equals", "+": "plus", "×": "times", "÷": "divided by",
    "±": "plus or minus", "°": "degrees", "©": "copyright", "§": "section", "−": "minus",
    "√": "the square root of", "∞": "infinity", "≈": "is about", "≠": "is not equal to",
    "≤": "less than or equal to", "≥": "greater than or equal to", "@": "at",
}  # fmt: skip
_BETWEEN_NUMBERS = {
    "-": "minus",
    "–": "minus",
    "*": "times",
    "/": "divided by",
}
_DOUBLED = {"=": "equals", "+": "plus plus", "&": "and"}
_ENTITIES = {"amp": "and", "nbsp": "", "lt": "less than", "gt": "greater than", "quot": "",
             "copy": "copyright", "apos": "", "mdash": "", "ndash": "", "hellip": ""}  # fmt: skip
_SILENT = frozenset("`*_~\\\"'^#@$€£¥₹¢+=<>&%")
_TAG = 24


def sign(win: Window, past: Past, *, markdown: bool) -> Reading | None:
    """A sign where no number and no word begins.

    Args:
        win: stands on a sign.
        past: what came before.
        markdown: a bracket begins the text of a link rather than an aside.

    Returns:
        Its reading; None when it is punctuation.

    Raises:
        Pending: more text is needed.
    """
    c = win.text(0)
    if c in SUPERSCRIPTS:
        return _exponent(win, past)
    if c in GREEK:
        return _greek(win, past)
    if past.sign == c and c in _SILENT:
        return Reading((), 1, mark=NONE)
    if c in _SILENT and win.first(1) == c:
        return _doubled(win, past, c)
    if c in "#@" and not past.glued:
        found = web.hashtag(win)
        if found:
            return found
    if c == "&" and win.kind(1) == WORD and win.text(1) in _ENTITIES and win.first(2) == ";":
        return Reading(tuple(_ENTITIES[win.text(1)].split()), 3, mark=NONE)
    if c in "<>":
        return _angle(win, past, c)
    if c in "=-" and win.first(1) == ">":
        return Reading((), 2, mark=COMMA)
    return _lettered(win, past, c) or structure(win, markdown=markdown)


def _lettered(win: Window, past: Past, c: str) -> Reading | None:
    if c == "^" and past.glued and (past.numeric or len(past.word) == 1):
        minus = win.first(1) in ("-", "−")
        if win.kind(2 if minus else 1) == DIGITS:
            said = ("to", "the", "power", "of", *(("minus",) if minus else ()))
            return Reading(said, 2 if minus else 1, mark=NONE)
    if c in _BETWEEN_NUMBERS and past.numeric:
        k = 2 if win.kind(1) == SPACE else 1
        if win.kind(k) == DIGITS and (k == 1) == past.glued:
            return Reading(tuple(_BETWEEN_NUMBERS[c].split()), 1, mark=NONE)
    if c in _SAID:
        return Reading(tuple(_SAID[c].split()), 1)
    if c in CURRENCIES:
        alone = not past.glued and win.kind(1) not in (WORD, SIGN)
        return Reading((CURRENCIES[c][0],) if alone else (), 1)
    if c == "#":
        if win.kind(1) == DIGITS:
            return Reading(("number",), 1, mark=NONE)
        return Reading(("sharp",) if past.glued and len(past.word) == 1 else (), 1)
    if c in "/.":
        return web.path(win, past)
    if c in ":;" and not past.glued and win.kind(1) == WORD and win.text(1) in ("D", "P", "p", "O"):
        return Reading((), 2, mark=NONE)  # a face
    return None


def structure(win: Window, *, markdown: bool) -> Reading | None:
    """What markup leaves in a line: footnotes, images, the address behind a link's text.

    Args:
        win: stands on a sign.
        markdown: a bracket begins the text of a link rather than an aside.

    Returns:
        Its reading; None when it is punctuation.

    Raises:
        Pending: more text is needed.
    """
    c = win.text(0)
    if c == "!" and win.first(1) == "[":
        return Reading((), 2, mark=NONE)
    if c == "[":
        k = 2 if win.first(1) == "^" else 1
        if win.kind(k) == DIGITS and win.first(k + 1) == "]" and win.first(k + 2) not in ("(", ":"):
            return Reading((), k + 2)
        return Reading((), 1, mark=NONE) if markdown else None
    if c == "]" and win.first(1) in ("(", "["):
        return Reading((), 2, mark=NONE, skips=")" if win.first(1) == "(" else "]")
    if c == "|":
        if win.kind(1) == SPACE and win.kind(2) == NEWLINE:
            return Reading((), 2, mark=NONE)
        return Reading((), 1, mark=NONE if win.kind(1) in (NEWLINE, "") else COMMA)
    if c in "→•":
        return Reading((), 1, mark=COMMA)
    if c in "\\^~`*_#":
        return Reading((), 1, mark=NONE)
    return None


def _doubled(win: Window, past: Past, c: str) -> Reading:
    run = 2
    while run < 4 and win.first(run) == c:
        run += 1
    said = _DOUBLED.get(c, "") if run == 2 or (c == "=" and run == 3) else ""
    if c == "+" and not past.glued:
        said = ""
    return Reading(tuple(said.split()), run, mark=NONE if not said else None)


def _exponent(win: Window, past: Past) -> Reading:
    k = 1
    while k < 6 and win.first(k) in SUPERSCRIPTS:
        k += 1
    exponent = "".join(SUPERSCRIPTS[win.text(i)] for i in range(k))
    variable = past.glued and (len(past.word) <= 2 or past.numeric)
    return Reading(power(exponent) if variable else (), k)


def _greek(win: Window, past: Past) -> Reading:
    """A Greek letter on its own; words in Greek are not spoken."""
    alone = past.sign not in GREEK and win.first(1) not in GREEK
    return Reading((GREEK[win.text(0)],) if alone else (), 1)


def _angle(win: Window, past: Past, c: str) -> Reading:
    if c == "<":
        k = 2 if win.first(1) in ("/", "!") else 1
        if win.kind(k) == WORD or (win.first(1) == "!" and win.first(2) == "-"):
            for n in range(k, k + _TAG):
                if win.first(n) == ">":
                    return Reading((), n + 1, mark=NONE)
                if win.kind(n) in (NEWLINE, "") or win.first(n) == "<":
                    break
        if win.first(1) == "3" and not past.glued and not past.numeric and len(past.word) > 1:
            return Reading((), 2 if win.text(1) == "3" else 1)  # a heart
    equal = 1 if win.first(1) == "=" else 0
    k = 2 + equal if win.kind(1 + equal) == SPACE else 1 + equal
    spaced = k == 2 + equal and not past.glued and win.kind(k) in (WORD, DIGITS)
    spaced = spaced or (past.glued and len(past.word) == 1 and win.kind(k) == WORD)
    if not past.in_sentence and win.kind(k) != DIGITS:
        spaced = False
    if spaced or (win.kind(k) == DIGITS and (past.numeric or not past.glued)):
        said = "less than" if c == "<" else "greater than"
        return Reading(
            (*said.split(), *(("or", "equal", "to") if equal else ())), 1 + equal, mark=NONE
        )
    return Reading((), 1, mark=NONE)
