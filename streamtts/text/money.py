"""Amounts of money with the currency sign before them."""

from __future__ import annotations

from streamtts.text import numbers
from streamtts.text.figures import Number, scan
from streamtts.text.reading import Reading
from streamtts.text.tokens import DIGITS, SPACE, WORD, Window
from streamtts.text.units import CURRENCIES, MONEY_SCALES, SCALES, per, pluralised

_SUB_PLURALS = {"cent": "cents", "penny": "pence", "paisa": "paise"}


def money(win: Window, k: int) -> Reading | None:
    """$3.50, $1.2 million, €5bn, $5–10, $5/month.

    Args:
        win: the tokens.
        k: where the currency sign stands.

    Returns:
        The reading, or None when no number follows.

    Raises:
        Pending: more text is needed.
    """
    name, sub = CURRENCIES[win.text(k)]
    if win.first(k + 1) == "-":
        return None
    number = scan(win, k + 1)
    if number is None:
        return None
    n = k + 1 + number.used
    said: tuple[str, ...] = number.said()
    many = not number.one
    if win.first(n) in ("-", "–") and (win.kind(n + 1) == DIGITS or win.first(n + 1) in CURRENCIES):
        m = n + 2 if win.first(n + 1) in CURRENCIES else n + 1
        second = scan(win, m)
        if second:
            said, many, n = (*said, "to", *second.said()), True, m + second.used
            number = second
    m = n + 1 if win.kind(n) == SPACE else n
    scales = SCALES if m > n else MONEY_SCALES
    if win.kind(m) == WORD and win.text(m) in scales:
        said, many, n = (*said, scales[win.text(m)]), True, m + 1
    elif len(number.fraction) == 2 and sub and "to" not in said:
        more, used = per(win, n)
        return Reading((*_coins(number, name, sub), *more), n + used)
    more, used = per(win, n)
    return Reading((*said, *(pluralised(name) if many else (name,)), *more), n + used)


def _coins(number: Number, name: str, sub: str) -> tuple[str, ...]:
    cents = int(number.fraction)
    small = (*numbers.cardinal(str(cents)), sub if cents == 1 else _SUB_PLURALS[sub])
    if int(number.whole) == 0 and cents:
        return small
    whole = numbers.cardinal(number.whole)
    big = (*whole, *((name,) if number.whole == "1" else pluralised(name)))
    return (*big, "and", *small) if cents else big
