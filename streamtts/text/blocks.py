"""What the beginning of a line says: headings, lists, quotes, rules, tables, fenced code."""

from __future__ import annotations

from dataclasses import dataclass

from streamtts.text import numbers
from streamtts.text.tokens import DIGITS, END, NEWLINE, SIGN, SPACE, Window

_RULE = 64
_ROW = 256


@dataclass(frozen=True, slots=True)
class Line:
    """A line's marker.

    Attributes:
        used: tokens of the marker.
        said: its words (the number of a list item); the sentence before it ends.
        ends: the sentence before it ends.
        block: the sentence ends where the line ends.
        fence: fenced code begins; it is not spoken.
    """

    used: int
    said: tuple[str, ...] = ()
    ends: bool = True
    block: bool = False
    fence: bool = False


def marker(win: Window, *, markdown: bool) -> Line | None:
    """The marker at the beginning of a line.

    Args:
        win: stands on the first token of a line that is no blank.
        markdown: fenced code, tables and quotes are known too.

    Returns:
        The marker, or None for a line of prose.

    Raises:
        Pending: more text is needed.
    """
    c = win.first(0)
    if win.kind(0) == DIGITS:
        return _numbered(win)
    if win.kind(0) != SIGN:
        return None
    if c == "#":
        used = 1
        while used < 7 and win.first(used) == "#":
            used += 1
        return Line(used + 1, block=True) if used < 7 and win.kind(used) == SPACE else None
    if c in "-*_=" and win.first(1) == c and win.first(2) == c:
        return _rule(win, c)
    if c in "-*+•—–" and win.kind(1) == SPACE:
        return Line(2 + _box(win))
    if c == "•":
        return Line(1)
    if not markdown:
        return None
    if c in "`~" and win.first(1) == c and win.first(2) == c:
        return Line(3, fence=True)
    if c == ">":
        return Line(2 if win.kind(1) == SPACE else 1, ends=False)
    return _table(win) if c == "|" else None


def _numbered(win: Window) -> Line | None:
    if win.first(1) not in (".", ")") or win.kind(2) != SPACE:
        return None
    text = win.text(0)
    return Line(3, said=numbers.cardinal(text)) if len(text) <= 3 else None


def _rule(win: Window, c: str) -> Line | None:
    used = 3
    while used < _RULE and win.first(used) == c:
        used += 1
    k = used + 1 if win.kind(used) == SPACE else used
    return Line(used) if used == _RULE or win.kind(k) in (NEWLINE, END) else None


def _box(win: Window) -> int:
    """Tokens of the box of a task list item."""
    if win.first(2) != "[" or win.first(4) != "]":
        return 0
    return 3 if win.kind(3) == SPACE or win.text(3) in ("x", "X") else 0


def _table(win: Window) -> Line:
    """A row; the row of dashes under the heads is skipped whole."""
    used = 1
    while used < _ROW and (win.first(used) in ("|", "-", ":") or win.kind(used) == SPACE):
        used += 1
    dashes = used > 3 and win.kind(used) in (NEWLINE, END)
    if used >= _ROW or dashes:
        return Line(used, block=True)
    return Line(2 if win.kind(1) == SPACE else 1, block=True)


def fence_ends(win: Window) -> bool:
    """Whether the line that begins here closes fenced code.

    Args:
        win: stands at the beginning of a line.

    Raises:
        Pending: more text is needed.
    """
    c = win.first(0)
    return c in ("`", "~") and win.first(1) == c and win.first(2) == c
