"""Addresses: URLs, e-mail, file names and paths, read part by part until the next blank."""

from __future__ import annotations

from streamtts.text import numbers, words
from streamtts.text.reading import NONE, Past, Reading
from streamtts.text.tokens import DIGITS, SIGN, WORD, Window

_SCHEMES = frozenset(("http", "https", "ftp", "ws", "wss", "file", "ssh", "mailto", "git"))
_SIGNS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "?": "question mark", "=": "equals",
    "&": "and", "#": "hash", "%": "percent", ":": "colon", "@": "at", "~": "tilde", "+": "plus",
}  # fmt: skip
_SPELLED = frozenset(
    "html htm php asp aspx exe jpeg io ai edu uk us tv ip py pdf sql csv api cpp css js ts tsx jsx "
    "xml txt mp md rs eu ui url doc xls ppt docx xlsx pptx".split()
)
_SAID = {"jpeg": ("jay", "peg"), "www": ("W", "W", "W"),
         "docx": ("doc", "X"), "doc": ("doc",)}  # fmt: skip
_UPPER = frozenset("COM NET ORG TXT PDF CSV MD EXE ZIP JPG PNG EDU GOV".split())
_LOOK = 24


def begins(win: Window) -> Reading | None:
    """The first word of an address, or the scheme before it (which is not said).

    Args:
        win: stands on a word.

    Returns:
        Its reading with `address` set, or None when no address begins here.

    Raises:
        Pending: more text is needed.
    """
    c = win.first(1)
    if c == "." and _dot_joins(win, 1):
        text = win.text(0)
        if text.lower() == "www":
            return Reading((), 2, address=True)
        return Reading(_part(text), 1, mark=NONE, address=True)
    if c == ":" and win.text(0).lower() in _SCHEMES:
        used = 2
        while used < 5 and win.first(used) == "/":
            used += 1
        if used > 3 or (win.text(0) == "mailto" and win.kind(2) == WORD):
            if win.kind(used) == WORD and win.text(used) == "www" and win.first(used + 1) == ".":
                used += 2
            return Reading((), used, mark=NONE, address=True)
    if c == "@" and win.kind(2) == WORD:
        return Reading(_part(win.text(0)), 1, mark=NONE, address=True)
    if (c in ("_", ".", "+") or win.kind(1) == DIGITS) and _mailbox(win):
        return Reading(_part(win.text(0)), 1, mark=NONE, address=True)
    return None


def _dot_joins(win: Window, k: int) -> bool:
    if win.kind(k + 1) != WORD:
        return False
    return win.first(k + 1).islower() or win.text(k + 1) in _UPPER


def _mailbox(win: Window) -> bool:
    """Whether an @ comes before the next blank."""
    for k in range(1, _LOOK):
        if win.kind(k) in (WORD, DIGITS) or win.first(k) in ("_", ".", "+", "-"):
            continue
        return win.first(k) == "@" and win.kind(k + 1) in (WORD, DIGITS)
    return False


def goes_on(win: Window, past: Past) -> Reading | None:
    """The next part of the address that is being read.

    Args:
        win: stands on any token that is no blank.
        past: what came before.

    Returns:
        Its reading; None where the address has ended.

    Raises:
        Pending: more text is needed.
    """
    kind = win.kind(0)
    if kind == SIGN:
        c = win.text(0)
        if not _joins(win, 0):
            silent = c == "/" and not past.sign == "/"
            return Reading((), 1) if silent else None
        said = tuple(_SIGNS[c].split())
        repeated = c == past.sign
        return Reading(() if repeated else said, 1, mark=NONE, address=True)
    text = win.text(0)
    more = win.kind(1) in (WORD, DIGITS) or (win.kind(1) == SIGN and _joins(win, 1))
    if kind == DIGITS:
        short = len(text) < 3 or (len(text) == 4 and numbers.is_year(text))
        said = numbers.year(text) if short and text[0] != "0" else numbers.digits(text)
    else:
        said = _part(text)
    trailing = win.kind(1) == SIGN and win.first(1) == "/"
    if more or trailing:
        return Reading(said, 1, mark=NONE, address=True)
    return Reading(said, 1)


def _joins(win: Window, k: int) -> bool:
    """Whether a sign stands inside the address: a letter or digit follows, signs between."""
    for n in range(k, k + 4):
        if win.kind(n) in (WORD, DIGITS):
            return n > k
        c = win.first(n)
        if win.kind(n) != SIGN or c not in _SIGNS:
            return False
        if c == "." and win.kind(n + 1) not in (WORD, DIGITS):
            return False
    return False


def _part(text: str) -> tuple[str, ...]:
    low = text.lower()
    if low in _SAID:
        return _SAID[low]
    if low in _SPELLED or len(low) == 1:
        return tuple(low.upper())
    return words.read(text)


def hashtag(win: Window) -> Reading | None:
    """#BlackFriday, @streamtts.

    Args:
        win: stands on # or @.

    Returns:
        The reading, or None when no name follows.

    Raises:
        Pending: more text is needed.
    """
    if win.kind(1) != WORD:
        return None
    text = win.text(1)
    name = tuple(text) if text.isupper() and words.spelled(text) else words.read(text)
    return Reading(("hashtag" if win.first(0) == "#" else "at", *name), 2)


def path(win: Window, past: Past) -> Reading | None:
    """The slash or the dot that begins a path or a file name (/usr/bin, .env).

    Args:
        win: stands on a slash or a dot.
        past: what came before.

    Returns:
        The reading, or None.

    Raises:
        Pending: more text is needed.
    """
    if past.glued or win.kind(1) != WORD:
        return None
    return Reading((_SIGNS[win.text(0)],), 1, mark=NONE, address=True)
