"""Figures as they are written: digits, commas between thousands, a decimal point."""

from __future__ import annotations

from dataclasses import dataclass

from streamtts.text import numbers
from streamtts.text.tokens import DIGITS, Window

_MAX_GROUPS = 11


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it is written.

    Attributes:
        whole: digits before the point, without the commas.
        fraction: digits behind the point.
        grouped: it was written with commas.
        used: tokens.
    """

    whole: str
    fraction: str
    grouped: bool
    used: int

    @property
    def plain(self) -> bool:
        """Digits only, no commas and no point."""
        return not self.grouped and not self.fraction

    @property
    def one(self) -> bool:
        """Exactly one."""
        return self.whole == "1" and not self.fraction

    def said(self) -> tuple[str, ...]:
        """As a quantity."""
        if self.fraction:
            return numbers.decimal(self.whole, self.fraction)
        if len(self.whole) > 1 and self.whole[0] == "0":
            return numbers.digits(self.whole)
        return numbers.cardinal(self.whole)


def scan(win: Window, k: int) -> Number | None:
    """The number that begins at token k, with its commas and its decimal point.

    Args:
        win: the tokens.
        k: where to look.

    Returns:
        The number, or None.

    Raises:
        Pending: it may go on.
    """
    point = win.first(k) == "."
    if point:
        if win.kind(k + 1) != DIGITS:
            return None
        return Number("0", win.text(k + 1), False, 2)
    if win.kind(k) != DIGITS:
        return None
    token = win.peek(k)
    whole, n = [token.text], k + 1
    if len(token.text) <= 3 and token.text != "0" and not token.joined:
        while len(whole) <= _MAX_GROUPS and _group(win, n):
            whole.append(win.text(n + 1))
            n += 2
    fraction = ""
    if win.first(n) == "." and win.kind(n + 1) == DIGITS and not token.cut:
        fraction = win.text(n + 1)
        n += 2
    return Number("".join(whole), fraction, len(whole) > 1, n - k)


def _group(win: Window, n: int) -> bool:
    return win.first(n) == "," and win.kind(n + 1) == DIGITS and len(win.text(n + 1)) == 3
