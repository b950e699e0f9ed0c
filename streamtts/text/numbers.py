"""Numerals as words: cardinals, ordinals, years, decimals, fractions, Roman numerals."""

from __future__ import annotations

import re
from functools import lru_cache

from num2words import num2words

MAX_DIGITS = 36  # longer runs are read digit by digit: nobody follows a longer number name

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VULGAR = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5),
    "⅗": (3, 5), "⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8),
    "⅞": (7, 8),
}  # fmt: skip
_ROMAN = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def digits(text: str) -> tuple[str, ...]:
    """Digit by digit.

    Args:
        text: ASCII digits.
    """
    return tuple(DIGIT_NAMES[ord(c) - 48] for c in text)


@lru_cache(maxsize=4096)
def cardinal(text: str) -> tuple[str, ...]:
    """A whole number ("1024": one thousand twenty four); digit by digit when it is too long.

    Args:
        text: ASCII digits.
    """
    if len(text) > MAX_DIGITS:
        return digits(text)
    return _name(int(text), "cardinal") or digits(text)


@lru_cache(maxsize=4096)
def ordinal(text: str) -> tuple[str, ...]:
    """An ordinal ("21": twenty first).

    Args:
        text: ASCII digits.
    """
    if len(text) > MAX_DIGITS:
        return (*digits(text[:-1]), *(_name(int(text[-1]), "ordinal")))
    return _name(int(text), "ordinal") or digits(text)


def _name(value: int, form: str) -> tuple[str, ...]:
    try:
        said = str(num2words(value, to=form, lang="en"))
    except (OverflowError, NotImplementedError, IndexError, KeyError, ValueError):
        return ()
    return tuple(w for w in re.findall(r"[a-z]+", said.lower()) if w != "and")


def pairs(text: str) -> tuple[str, ...]:
    """Three or four digits as people say years, rooms and models ("1984", "320", "1905").

    Args:
        text: three or four ASCII digits.
    """
    head, last = text[:-2], text[-2:]
    if last == "00":
        return (*cardinal(head), "hundred")
    if last[0] == "0":
        return (*cardinal(head), "oh", *cardinal(last[1]))
    return (*cardinal(head), *cardinal(last))


def year(text: str) -> tuple[str, ...]:
    """A year ("1984", "2005", "2024").

    Args:
        text: ASCII digits.
    """
    if len(text) != 4 or text[1:3] == "00" or text[0] == "0":
        return cardinal(text)
    return pairs(text)


def is_year(text: str) -> bool:
    """Whether a bare number of four digits is read as a year.

    Args:
        text: ASCII digits.
    """
    return len(text) == 4 and "1100" <= text <= "2099"


def plural(words: tuple[str, ...]) -> tuple[str, ...]:
    """The plural of a number name ("eighty": eighties, "hundred": hundreds).

    Args:
        words: one or more words.
    """
    last = words[-1]
    if last.endswith("y"):
        last = last[:-1] + "ies"
    elif last.endswith("x"):
        last += "es"
    elif last.endswith("f"):
        last = last[:-1] + "ves"
    else:
        last += "s"
    return (*words[:-1], last)


def decimal(whole: str, fraction: str) -> tuple[str, ...]:
    """A number with a decimal point.

    Args:
        whole: ASCII digits before the point.
        fraction: ASCII digits behind it.
    """
    head = cardinal(whole) if not (len(whole) > 1 and whole[0] == "0") else digits(whole)
    return (*head, "point", *digits(fraction))


def fraction(numerator: int, denominator: int) -> tuple[str, ...]:
    """A fraction ("3/4": three quarters).

    Args:
        numerator: 0 or more.
        denominator: 1 or more.
    """
    top = cardinal(str(numerator))
    if denominator > 100 or denominator < 2:
        return (*top, "over", *cardinal(str(denominator)))
    names = {2: ("half",), 4: ("quarter",)}
    bottom = names.get(denominator) or ordinal(str(denominator))
    if numerator == 1:
        return (*top, *bottom)
    return (*top, "halves") if denominator == 2 else (*top, *plural(bottom))


def mixed(numerator: int, denominator: int) -> tuple[str, ...]:
    """What follows the whole part ("1½": one *and a half*).

    Args:
        numerator: 1 or more.
        denominator: 2 or more.
    """
    said = fraction(numerator, denominator)
    return ("and", "a", *said[1:]) if numerator == 1 else ("and", *said)


def roman(text: str) -> int:
    """The value of a Roman numeral in capitals; 0 when it is none.

    Args:
        text: capitals.
    """
    if not text or len(text) > 12 or not _ROMAN.fullmatch(text):
        return 0
    values = [_ROMAN_VALUES[c] for c in text]
    following = [*values[1:], 0]
    return sum(-v if v < n else v for v, n in zip(values, following, strict=True))
