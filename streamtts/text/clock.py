"""Digits with signs between them: dates, times, phone numbers, versions, addresses."""

from __future__ import annotations

from streamtts.text import numbers
from streamtts.text.abbreviations import maybe_last
from streamtts.text.quantities import ranged
from streamtts.text.reading import Past, Reading
from streamtts.text.tokens import DIGITS, SPACE, WORD, Window
from streamtts.text.units import unit

MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_MONTH_WORDS = frozenset(MONTHS) | {"jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept",
                                    "oct", "nov", "dec"}  # fmt: skip
_NOON = frozenset(("noon", "midnight", "Noon", "Midnight"))
_MAX_PARTS = 6


def arranged(win: Window, past: Past) -> Reading | None:
    """Dates, times, phone numbers, versions and network addresses.

    Args:
        win: stands on digits, or on a bracket or plus before a phone number.
        past: what came before.

    Returns:
        The reading, or None when the digits are an ordinary number.

    Raises:
        Pending: more text is needed.
    """
    if win.kind(0) != DIGITS:
        return _phone(win, past)
    token = win.peek(0)
    if token.joined or token.cut:
        return None
    if past.glued and not past.numeric and past.sign not in ("(", '"', "'", "*", "_", "`", "["):
        return _version(win)
    c = win.first(1)
    if c == ":":
        return _time(win)
    if c in ("-", "/", ".", "–") and win.kind(2) == DIGITS:
        return _parts(win, past)
    if c in (" ", ".", ")") or win.kind(1) == SPACE:
        found = _phone(win, past)
        if found:
            return found
    return _day(win, past) or _hour(win)


def _parts(win: Window, past: Past) -> Reading | None:
    sign = win.text(1)
    parts, n = [win.text(0)], 1
    while len(parts) < _MAX_PARTS and win.first(n) == sign and win.kind(n + 1) == DIGITS:
        parts.append(win.text(n + 1))
        n += 2
    lengths = [len(p) for p in parts]
    if sign != "." and len(parts) == 3:
        found = _date(parts, lengths)
        if found:
            return Reading(found, n, skipped=_t_between(win, n))
    if sign == "-" and _is_phone(lengths):
        return Reading(_phone_words(parts), n)
    if sign == "." and lengths == [2, 2, 4] and int(parts[1]) <= 12:
        return Reading(_date([parts[2], parts[1], parts[0]], [4, 2, 2]) or (), n)
    if sign == "." and len(parts) == 3 and lengths[0] <= 3 and lengths[1:] == [3, 3]:
        return Reading(numbers.cardinal("".join(parts)), n)  # 1.000.000
    if sign == "." and len(parts) >= 3:
        if lengths == [3, 3, 4]:
            return Reading(_phone_words(parts), n)
        return Reading(_dotted(parts), n)
    if sign == "-" and len(parts) >= 3:
        return Reading(tuple(w for p in parts for w in _group(p)), n)
    if sign == "/" and len(parts) >= 3:
        said = [w for p in parts for w in ("slash", *_group(p))]
        return Reading(tuple(said[1:]), n)
    return None


def _version(win: Window) -> Reading | None:
    """Digits behind a letter or a sign: v2.0.1."""
    parts, n = [win.text(0)], 1
    while len(parts) < _MAX_PARTS and win.first(n) == "." and win.kind(n + 1) == DIGITS:
        parts.append(win.text(n + 1))
        n += 2
    return Reading(_dotted(parts), n) if len(parts) > 2 else None


def _t_between(win: Window, n: int) -> int:
    """The T between a date and a time is not said."""
    return 1 if win.kind(n) == WORD and win.text(n) == "T" and win.kind(n + 1) == DIGITS else 0


def _dotted(parts: list[str]) -> tuple[str, ...]:
    joint = "dot" if len(parts) == 4 else "point"
    said: list[str] = []
    for part in parts:
        said += (joint, *_group(part)) if said else _group(part)
    return tuple(said)


def _group(text: str) -> tuple[str, ...]:
    if len(text) == 3 and text[0] != "0" and text[1] != "0":
        return numbers.pairs(text)
    if len(text) > 4 or (len(text) > 1 and text[0] == "0"):
        return numbers.digits(text)
    return numbers.year(text)


def _date(parts: list[str], lengths: list[int]) -> tuple[str, ...] | None:
    if max(lengths) > 4:
        return None
    if lengths[0] == 4 and lengths[1] <= 2 and lengths[2] <= 2:
        year, month, day = parts
    elif lengths[2] in (2, 4) and lengths[0] <= 2 and lengths[1] <= 2:
        month, day, year = parts
        if int(month) > 12:
            month, day = day, month
    else:
        return None
    if not 1 <= int(month) <= 12 or not 1 <= int(day) <= 31:
        return None
    said = numbers.year(year) if len(year) == 4 else numbers.year(_century(year))
    return (MONTHS[int(month) - 1], *numbers.ordinal(str(int(day))), *said)


def _century(year: str) -> str:
    return ("20" if int(year) < 50 else "19") + year


def _time(win: Window) -> Reading | None:
    """10:30, 10:30 a.m., 23:59:59, 16:9."""
    if win.kind(2) != DIGITS:
        return None
    hour, minute = win.text(0), win.text(2)
    if len(hour) > 2 or len(minute) != 2 or int(minute) > 59 or int(hour) > 24:
        if len(hour) > 3 or len(minute) > 3:
            return None
        return Reading((*numbers.cardinal(hour), "to", *numbers.cardinal(minute)), 3)
    used = 3
    more: tuple[str, ...] = ()
    if win.first(3) == ":" and win.kind(4) == DIGITS and len(win.text(4)) == 2:
        seconds = win.text(4)
        more = _minutes(seconds) if seconds != "00" else ("zero", "zero")
        used = 5
    letters, after, mark = _meridiem(win, used)
    named = bool(letters or more) or (hour == "12" and minute == "00" and _noon(win, used))
    said = _clock(hour, minute, spoken_hour=not named)
    return ranged(win, Reading((*said, *more, *letters), after, mark))


def _noon(win: Window, n: int) -> bool:
    return win.kind(n) == SPACE and win.kind(n + 1) == WORD and win.text(n + 1) in _NOON


def _clock(hour: str, minute: str, *, spoken_hour: bool) -> tuple[str, ...]:
    value = int(hour)
    name = numbers.cardinal(str(value))
    if minute != "00":
        return (*name, *_minutes(minute))
    if not spoken_hour:
        return name
    if value == 0 or value == 24:
        return ("midnight",)
    return (*name, "o'clock") if value <= 12 else (*name, "hundred")


def _minutes(text: str) -> tuple[str, ...]:
    return ("oh", *numbers.cardinal(text[1])) if text[0] == "0" else numbers.cardinal(text)


def _meridiem(win: Window, n: int) -> tuple[tuple[str, ...], int, int | None]:
    """A.m. or p.m. behind a time: letters, tokens used by all, mark if its period decides one."""
    m = n + 1 if win.kind(n) == SPACE else n
    if win.kind(m) != WORD or win.first(m) not in "aApP":
        return (), n, None
    text = win.text(m).lower()
    if text in ("am", "pm"):
        return (text[0].upper(), "M"), m + 1, None
    if text in ("a", "p") and win.first(m + 1) == "." and win.kind(m + 2) == WORD:
        if win.text(m + 2).lower() != "m":
            return (), n, None
        letters = (text.upper(), "M")
        if win.first(m + 3) != ".":
            return letters, m + 3, None
        return letters, m + 4, maybe_last(win, letters, m + 4).mark
    return (), n, None


def _hour(win: Window) -> Reading | None:
    """7pm, 7 p.m."""
    hour = win.text(0)
    if len(hour) > 2 or not 1 <= int(hour) <= 12:
        return None
    letters, used, mark = _meridiem(win, 1)
    if not letters:
        return None
    return ranged(win, Reading((*numbers.cardinal(str(int(hour))), *letters), used, mark))


def _day(win: Window, past: Past) -> Reading | None:
    """The day behind or before a month: May 5, 5 May."""
    text = win.text(0)
    if len(text) > 2 or not 1 <= int(text) <= 31 or text[0] == "0":
        return None
    if past.word.lower() in _MONTH_WORDS and past.word[0].isupper() and not past.mark:
        if win.first(1) in (":", "/", "-", "–", "%", "°") or win.kind(1) == WORD:
            return None
        if win.first(1) == "." and win.kind(2) == DIGITS:
            return None
        return None if unit(win, 1) else Reading(numbers.ordinal(text), 1)
    if win.kind(1) == SPACE and win.kind(2) == WORD and win.first(2) in "JFMASOND":
        month = win.text(2)
        if month.lower() in _MONTH_WORDS and month[1:].islower():
            the = () if past.word.lower() == "the" else ("the",)
            return Reading((*the, *numbers.ordinal(text), "of"), 1)
    return None


def _is_phone(lengths: list[int]) -> bool:
    return lengths in ([3, 4], [3, 3, 4], [1, 3, 3, 4])


def _phone_words(parts: list[str]) -> tuple[str, ...]:
    said: list[str] = []
    for part in parts:
        if part == "800":
            said += ("eight", "hundred")
        else:
            said += numbers.digits(part)
    return tuple(said)


def _phone(win: Window, past: Past) -> Reading | None:
    """(555) 123-4567, +1 555 123 4567, 555 123 4567."""
    k = 0
    plus: tuple[str, ...] = ()
    if win.first(0) == "+" and not past.glued:
        plus, k = ("plus",), 1
    parts: list[str] = []
    while len(parts) < _MAX_PARTS:
        found = _phone_part(win, k, first=not parts)
        if not found:
            break
        part, k = found
        parts.append(part)
    lengths = [len(p) for p in parts]
    national = lengths[-3:] == [3, 3, 4] and len(parts) <= 4
    abroad = plus and 9 <= sum(lengths) <= 15 and lengths[0] <= 3 and len(parts) >= 3
    if not national and not abroad:
        return None
    return Reading((*plus, *_phone_words(parts)), k)


def _phone_part(win: Window, k: int, *, first: bool) -> tuple[str, int] | None:
    if not first:
        if win.kind(k) == SPACE or win.first(k) in ("-", "."):
            k += 1
        elif win.first(k) != "(":
            return None
    bracket = win.first(k) == "("
    if bracket:
        k += 1
    if win.kind(k) != DIGITS or len(win.text(k)) > 5:
        return None
    if bracket and win.first(k + 1) != ")":
        return None
    return win.text(k), k + 2 if bracket else k + 1
