"""Numbers in running text: what stands around the digits decides how they are said."""

from __future__ import annotations

from streamtts.text import numbers
from streamtts.text.figures import Number, scan
from streamtts.text.money import money
from streamtts.text.reading import NONE, Past, Reading
from streamtts.text.tokens import DIGITS, SIGN, SPACE, SUPERSCRIPTS, WORD, Window
from streamtts.text.units import CURRENCIES, SCALES, UNITS, unit

_ORDINAL_ENDINGS = ("st", "nd", "rd", "th")
_SPECIAL = {("24", "7"): ("twenty", "four", "seven"), ("9", "11"): ("nine", "eleven"),
            ("50", "50"): ("fifty", "fifty")}  # fmt: skip
_CARDINAL_AFTER = frozenset(("number", "no", "nos", "hashtag", "page", "pages", "line", "lines"))


def quantity(win: Window, past: Past) -> Reading | None:
    """A number with its unit, its currency or its scale, a range, a fraction.

    Args:
        win: stands on digits, on a currency sign, or on a sign or point before digits.
        past: what came before.

    Returns:
        Its reading, or None when no number begins here.

    Raises:
        Pending: more text is needed.
    """
    sign, k = _sign(win, past)
    c = win.first(k)
    if c in CURRENCIES and win.kind(k) == SIGN:
        found = money(win, k)
        return found and Reading((*sign, *found.words), found.used)
    if c in numbers.VULGAR:
        found = _united(win, k + 1, numbers.fraction(*numbers.VULGAR[win.text(k)]), one=True)
        return Reading((*sign, *found.words), found.used)
    number = scan(win, k)
    if number is None:
        return None
    token = win.peek(k)
    if token.joined or token.cut or (past.glued and len(number.whole) > 4 and number.plain):
        return Reading((*sign, *numbers.digits(token.text)), k + 1)
    found = _attached(win, k, number, past)
    if found is None:
        words = _bare(number, past, win, k)
        found = Reading(words, k + number.used)
    return Reading((*sign, *found.words), found.used, found.mark)


def _sign(win: Window, past: Past) -> tuple[tuple[str, ...], int]:
    c = win.first(0)
    if past.glued:
        return (), 0
    for written, said in (("-", "minus"), ("−", "minus"), ("+", "plus"), ("±", "plus or minus"),
                          ("~", "about"), ("≈", "about")):  # fmt: skip
        if c == written:
            if win.kind(1) == DIGITS or win.first(1) in CURRENCIES or win.first(1) == ".":
                return tuple(said.split()), 1
    return (), 0


def _attached(win: Window, k: int, number: Number, past: Past) -> Reading | None:
    """What belongs to the number: an ending, a fraction, a range, a power, a unit."""
    n = k + number.used
    kind, c = win.kind(n), win.first(n)
    if c in numbers.VULGAR:
        top, bottom = numbers.VULGAR[win.text(n)]
        return _united(win, n + 1, (*number.said(), *numbers.mixed(top, bottom)), one=False)
    if kind == WORD and number.plain:
        found = _ending(win, n, number)
        if found:
            return found
    if c in SUPERSCRIPTS and kind == SIGN:
        return _power(win, n, number)
    if c == "/" and win.kind(n + 1) == DIGITS and number.plain:
        return _fraction(win, n, number)
    if kind == SPACE and number.plain and win.kind(n + 1) == DIGITS and len(number.whole) < 4:
        found = _mixed(win, n + 1, number)
        if found:
            return found
    if c in ("-", "–", "—") or (kind == SPACE and win.first(n + 1) == "–"):
        found = _range(win, k, number, past)
        if found:
            return found
    if c == "-" and win.kind(n + 1) == WORD and win.text(n + 1) in UNITS:
        found_unit = unit(win, n + 1)
        if found_unit and len(win.text(n + 1)) > 1:  # a 6-ft plan
            return Reading((*number.said(), *found_unit.singular), n + 1 + found_unit.used)
    if c == ":" and number.fraction and win.kind(n + 1) == DIGITS:
        return Reading((*number.said(), "to"), n + 1, mark=NONE)
    if c == "/" and number.fraction and win.kind(n + 1) == DIGITS:
        return Reading((*number.said(), "out", "of"), n + 1, mark=NONE)
    if c == "'" and number.plain and win.kind(n + 1) == WORD and win.text(n + 1) == "s":
        said = numbers.year(number.whole) if numbers.is_year(number.whole) else number.said()
        return Reading(numbers.plural(said), n + 2)
    if c == "'" and number.plain and win.kind(n + 1) == DIGITS and not past.glued:
        return _feet(win, n, number)
    if c == "x" and kind == WORD and win.text(n) == "x" and win.kind(n + 1) == DIGITS:
        return Reading((*_dimension(number), "by"), n + 1, mark=NONE)
    return _scaled(win, n, number)


def _dimension(number: Number) -> tuple[str, ...]:
    return numbers.year(number.whole) if numbers.is_year(number.whole) else number.said()


def _ending(win: Window, n: int, number: Number) -> Reading | None:
    """3rd, 80s, 1900s."""
    ending = win.text(n)
    if ending.lower() in _ORDINAL_ENDINGS:
        return Reading(numbers.ordinal(number.whole), n + 1)
    if ending == "s" and number.whole[-1] == "0" and 2 <= len(number.whole) <= 4:
        said = (
            numbers.year(number.whole) if len(number.whole) == 4 else numbers.cardinal(number.whole)
        )
        return Reading(numbers.plural(said), n + 1)
    return None


def _power(win: Window, n: int, number: Number) -> Reading:
    m = n
    while m < n + 6 and win.first(m) in SUPERSCRIPTS and win.kind(m) == SIGN:
        m += 1
    exponent = "".join(SUPERSCRIPTS[win.text(i)] for i in range(n, m))
    return Reading((*number.said(), *power(exponent)), m)


def power(exponent: str) -> tuple[str, ...]:
    """An exponent as it is said ("2": squared).

    Args:
        exponent: digits, perhaps with a sign before them.
    """
    if exponent in ("2", "3"):
        return ("squared",) if exponent == "2" else ("cubed",)
    digits = exponent.lstrip("+-")
    if not digits.isdigit():
        return ()
    minus = ("minus",) if exponent[0] == "-" else ()
    return ("to", "the", "power", "of", *minus, *numbers.cardinal(digits))


def _fraction(win: Window, n: int, number: Number) -> Reading:
    below = win.text(n + 1)
    special = _SPECIAL.get((number.whole, below))
    if special:
        return Reading(special, n + 2)
    if len(below) > 4 or len(number.whole) > 4:
        return Reading((*_id(number.whole), "slash", *_id(below)), n + 2)
    if int(below) < 2 or int(number.whole) > 100:
        return Reading((*number.said(), "over", *numbers.cardinal(below)), n + 2)
    said = numbers.fraction(int(number.whole), int(below))
    found = unit(win, n + 2)
    if found is None or int(number.whole) >= int(below):
        return _united(win, n + 2, said, one=False)
    if number.one:
        return Reading((*said, *found.singular), n + 2 + found.used)
    article = "an" if found.singular[0] in ("ounce", "hour", "inch") else "a"
    return Reading((*said, "of", article, *found.singular), n + 2 + found.used)


def _mixed(win: Window, n: int, number: Number) -> Reading | None:
    """1 1/2."""
    if win.first(n + 1) != "/" or win.kind(n + 2) != DIGITS:
        return None
    top, bottom = win.text(n), win.text(n + 2)
    if len(top) > 2 or len(bottom) > 2 or not 0 < int(top) < int(bottom):
        return None
    said = (*number.said(), *numbers.mixed(int(top), int(bottom)))
    return _united(win, n + 3, said, one=False)


def _feet(win: Window, n: int, number: Number) -> Reading | None:
    """5'11"."""
    inches = win.text(n + 1)
    if len(inches) > 2 or len(number.whole) > 2:
        return None
    used = n + 2
    while used < n + 4 and win.first(used) in ('"', "'"):
        used += 1
    foot = "foot" if number.one else "feet"
    return Reading((*number.said(), foot, *numbers.cardinal(inches)), used)


def _range(win: Window, k: int, number: Number, past: Past) -> Reading | None:
    """10-20, 1914–1918, 2019–20, with a unit behind."""
    n = k + number.used
    if win.kind(n) == SPACE:
        n = n + 1
        if win.kind(n + 1) != SPACE:
            return None
        second = scan(win, n + 2)
        used = n + 2
    else:
        second = scan(win, n + 1)
        used = n + 1
    if second is None or win.first(used) == ".":
        return None
    used += second.used
    if win.first(used) in ("-", "–") and win.kind(used + 1) == DIGITS:
        return None
    years = number.plain and second.plain and numbers.is_year(number.whole)
    if years and (numbers.is_year(second.whole) or len(second.whole) == 2):
        said = (*numbers.year(number.whole), "to", *_short_year(second.whole))
        if win.text(used) == "s" if win.kind(used) == WORD else False:
            return Reading(numbers.plural(said), used + 1)
        return Reading(said, used)
    both = (*number.said(), "to", *second.said())
    if win.kind(used) == WORD and win.text(used) in _ORDINAL_ENDINGS:
        both = (*number.said(), "to", *numbers.ordinal(second.whole))
        return Reading(both, used + 1)
    return _united(win, used, both, one=False)


def _short_year(text: str) -> tuple[str, ...]:
    if len(text) == 2 and text[0] == "0":
        return ("oh", *numbers.cardinal(text[1]))
    return numbers.year(text)


def ranged(win: Window, reading: Reading) -> Reading:
    """A reading with the dash behind it said as "to", where another number follows.

    Args:
        win: the tokens.
        reading: what stands before the dash.

    Returns:
        The reading, longer by the dash or as it was.

    Raises:
        Pending: more text is needed.
    """
    n = reading.used
    if reading.mark is None and win.first(n) in ("-", "–") and win.kind(n + 1) == DIGITS:
        return Reading((*reading.words, "to"), n + 1, mark=NONE)
    return reading


def _united(win: Window, n: int, said: tuple[str, ...], *, one: bool) -> Reading:
    """A number that is read already, with the unit that may stand at token n."""
    found = unit(win, n)
    if found is None:
        return Reading(said, n)
    said = (*said, *(found.singular if one else found.plural))
    return ranged(win, Reading(said, n + found.used))


def _scaled(win: Window, n: int, number: Number) -> Reading | None:
    """5 km, 100%, 2.5 million, 5bn, 3 million km."""
    said = number.said()
    glued = win.kind(n) == WORD
    m = n if glued else n + 1
    if glued:
        scale = {"M": "million", "B": "billion" if number.fraction else ""}.get(win.text(n))
        scale = scale or (SCALES.get(win.text(n)) if len(win.text(n)) <= 3 else None)
        if scale:
            return Reading((*said, scale), n + 1)
    if win.kind(n) == SPACE and win.kind(m) == WORD and win.text(m) in SCALES:
        found = unit(win, m + 1) if win.kind(m + 1) in (SPACE, SIGN) else None
        words = (*said, SCALES[win.text(m)])
        if found is None:
            return Reading(words, m + 1)
        return Reading((*words, *found.plural), m + 1 + found.used)
    found = unit(win, n)
    if found is None:
        return None
    said = (*said, *(found.singular if number.one else found.plural))
    return ranged(win, Reading(said, n + found.used))


def _bare(number: Number, past: Past, win: Window, k: int) -> tuple[str, ...]:
    """A number with nothing around it: a quantity, a year, an id."""
    text = number.whole
    if not number.plain:
        return number.said()
    postal = len(text) == 5 and len(past.word) == 2 and past.word.isupper()
    if postal:
        return numbers.digits(text)
    if len(text) >= 7 or (len(text) > 1 and text[0] == "0"):
        return _id(text)
    if past.glued and past.word and len(text) in (3, 4) and text[-2:] != "00":
        return numbers.pairs(text) if text[0] != "0" else numbers.digits(text)
    if numbers.is_year(text) and past.word.lower() not in _CARDINAL_AFTER:
        return numbers.year(text)
    return number.said()


def _id(text: str) -> tuple[str, ...]:
    if len(text) >= 7 and text[0] != "0" and len(text.rstrip("0")) <= 3 and len(text) <= 12:
        return numbers.cardinal(text)  # 1000000
    return numbers.digits(text) if len(text) >= 7 or text[0] == "0" else numbers.cardinal(text)
