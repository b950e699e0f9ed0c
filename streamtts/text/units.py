"""Units and currencies: how they are written, and said after a number."""

from __future__ import annotations

from dataclasses import dataclass

from streamtts.text.tokens import DIGITS, SIGN, SPACE, SUPERSCRIPTS, WORD, Window

# Written form: singular, plural.
_METRES = {
    "m": "meter", "g": "gram", "l": "liter", "L": "liter", "W": "watt", "V": "volt", "Hz": "hertz",
    "J": "joule", "Pa": "pascal", "B": "byte", "b": "bit", "N": "newton", "Wh": "watt hour",
    "s": "second", "eV": "electron volt", "bps": "bit per second", "Ω": "ohm", "A": "amp",
    "cal": "calorie", "bit": "bit",
}  # fmt: skip
_PREFIXES = {
    "k": "kilo", "M": "mega", "G": "giga", "T": "tera", "P": "peta", "c": "centi", "m": "milli",
    "n": "nano", "μ": "micro", "h": "hecto",
}  # fmt: skip
# Prefix and unit together; without a list, "cs" and "PB" in prose would turn into units.
_USED = (
    "km cm mm nm μm kg mg μg kW MW GW TW mW kV mV MV kHz MHz GHz THz kJ MJ kPa MPa hPa kB KB MB "
    "GB TB PB kb Kb Mb Gb ml mL cl kN kWh MWh GWh TWh ms ns μs keV MeV GeV kbps Kbps "
    "Mbps Gbps mA kcal "
    "Gbit Mbit kbit"
)
_SINGLE = {
    "mi": "mile", "ft": "foot", "yd": "yard", "lb": "pound", "lbs": "pound", "oz": "ounce",
    "gal": "gallon", "mph": "mile per hour", "kph": "kilometer per hour",
    "kmh": "kilometer per hour",
    "mpg": "mile per gallon", "rpm": "revolution per minute", "fps": "frame per second",
    "hr": "hour", "hrs": "hour", "h": "hour", "min": "minute", "mins": "minute", "sec": "second",
    "secs": "second", "yr": "year", "yrs": "year", "wk": "week", "wks": "week", "mo": "month",
    "pt": "point", "pts": "point", "px": "pixel", "dpi": "dot per inch", "ppm": "part per million",
    "dB": "decibel", "ha": "hectare", "tbsp": "tablespoon", "tsp": "teaspoon", "mol": "mole",
    "sqft": "square foot", "cc": "C C", "psi": "P S I", "bpm": "beat per minute", "kt": "knot",
    "USD": "U S dollar", "EUR": "euro", "GBP": "british pound", "JPY": "yen",
    "CAD": "canadian dollar",
    "AUD": "australian dollar", "CHF": "swiss franc", "INR": "rupee", "CNY": "yuan", "K": "K",
    "k": "K", "qt": "quart", "nmi": "nautical mile", "atm": "atmosphere", "km²": "square kilometer",
}  # fmt: skip
_PLURALS = {
    "foot": "feet", "inch": "inches", "yen": "yen", "yuan": "yuan", "C": "C",
    "I": "I", "K": "K", "pence": "pence", "percent": "percent", "celsius": "celsius",
}  # fmt: skip
# Units only when glued to the number: behind a blank they are letters or words.
_GLUED = frozenset(("l", "K", "k", "b", "mo", "N", "pt", "J"))
_SHORTENED = frozenset(("ft", "lb", "lbs", "oz", "hr", "hrs", "min", "mins", "sec", "yd", "yds"))
_PER = {
    "h": "hour", "hr": "hour", "s": "second", "sec": "second", "min": "minute", "mo": "month",
    "yr": "year", "day": "day", "month": "month", "year": "year", "hour": "hour", "week": "week",
    "minute": "minute", "second": "second", "kg": "kilogram", "km": "kilometer", "l": "liter",
    "L": "liter", "m": "meter", "person": "person", "user": "user", "night": "night", "lb": "pound",
    "mi": "mile", "d": "day", "dl": "deciliter", "dL": "deciliter", "ml": "milliliter", "g": "gram",
    "mol": "mole", "sq": "square", "month ": "month", "unit": "unit", "piece": "piece",
}  # fmt: skip
SCALES = {
    "hundred": "hundred", "thousand": "thousand", "million": "million", "billion": "billion",
    "trillion": "trillion", "mn": "million", "mln": "million", "bn": "billion", "tn": "trillion",
    "quadrillion": "quadrillion",
}  # fmt: skip
MONEY_SCALES = {**SCALES, "k": "thousand", "K": "thousand", "m": "million", "M": "million",
                "b": "billion", "B": "billion", "T": "trillion"}  # fmt: skip
CURRENCIES = {
    "$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny"), "¥": ("yen", ""),
    "₹": ("rupee", "paisa"), "¢": ("cent", ""),
}  # fmt: skip


def _table() -> dict[str, str]:
    table = {w: n for w, n in _METRES.items() if w not in ("A", "B", "b", "L", "bps", "Wh", "bit")}
    for used in _USED.split():
        prefix = "k" if used[0] == "K" else used[0]
        table[used] = _PREFIXES[prefix] + _METRES[used[1:]]
    return {**table, **_SINGLE}


UNITS = _table()


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit behind a number.

    Attributes:
        singular: what is said after one.
        plural: what is said after any other number.
        used: tokens, the blank before it included.
    """

    singular: tuple[str, ...]
    plural: tuple[str, ...]
    used: int


def pluralised(name: str) -> tuple[str, ...]:
    """The plural of a unit's name; of "mile per hour" the plural of "mile".

    Args:
        name: words separated by blanks.
    """
    head, per, rest = name.partition(" per ")
    words = head.split()
    last = words[-1]
    words[-1] = (
        last
        if last.endswith("hertz")
        else _PLURALS.get(last)
        or ("pennies" if last == "penny" else last + ("es" if last.endswith("ch") else "s"))
    )
    return (*words, *((per + rest).split()))


def unit(win: Window, k: int) -> Unit | None:
    """The unit directly behind a number, or behind a number and a blank.

    Args:
        win: the tokens.
        k: the first token behind the number.

    Returns:
        The unit, or None.

    Raises:
        Pending: more text is needed.
    """
    spaced = win.kind(k) == SPACE
    n = k + 1 if spaced else k
    if win.kind(n) == SIGN:
        return _sign_unit(win, k, n, spaced)
    if win.kind(n) != WORD:
        return None
    if not spaced or win.first(n) not in "aeiou":
        return _word_unit(win, k, n, win.text(n), spaced)
    return _word_unit(win, k, n, win.text(n), spaced) if win.text(n) == "oz" else None


def _sign_unit(win: Window, k: int, n: int, spaced: bool) -> Unit | None:
    c = win.text(n)
    if c == "%" or c == "‰":
        return Unit(("percent",), ("percent",), n + 1 - k)
    if c == "°":
        scale = {"C": ("celsius",), "F": ("fahrenheit",)}
        m = n + 2 if win.kind(n + 1) == SPACE else n + 1
        if win.kind(m) == WORD and win.text(m) in scale:
            kind = scale[win.text(m)]
            return Unit(("degree", *kind), ("degrees", *kind), m + 1 - k)
        return Unit(("degree",), ("degrees",), n + 1 - k)
    if c == "μ" and win.kind(n + 1) == WORD and "μ" + win.text(n + 1) in UNITS:
        return _word_unit(win, k, n + 1, "μ" + win.text(n + 1), spaced)
    if c in CURRENCIES and win.kind(n + 1) not in (DIGITS, WORD):
        name = CURRENCIES[c][0]
        return Unit((name,), pluralised(name), n + 1 - k)
    return None


def _word_unit(win: Window, k: int, n: int, text: str, spaced: bool) -> Unit | None:
    name = UNITS.get(text)
    if name is None or (spaced and text in _GLUED):
        return None
    if text in ("m", "g", "min") and spaced and win.first(n + 1) == "'":
        return None
    used = n + 1
    if win.first(used) in ("²", "³"):
        name = ("square " if win.first(used) == "²" else "cubic ") + name
        used += 1
    elif win.kind(used) == DIGITS and text in ("m", "km", "cm", "mm", "ft"):
        if win.text(used) not in ("2", "3"):
            return None
        name = ("square " if win.text(used) == "2" else "cubic ") + name
        used += 1
    elif win.first(used) in SUPERSCRIPTS or (win.first(used) == "-" and text == "K"):
        return None
    if win.first(used) == "/" and win.kind(used + 1) == WORD and win.text(used + 1) in _PER:
        name += " per " + _PER[win.text(used + 1)]
        used += 2
        if win.first(used) in ("²", "³"):
            name += " squared" if win.first(used) == "²" else " cubed"
            used += 1
    if win.first(used) == "." and text in (
        "ft",
        "lb",
        "lbs",
        "oz",
        "hr",
        "hrs",
        "min",
        "mins",
        "sec",
        "in",
    ):
        following = used + 2 if win.kind(used + 1) == SPACE else used + 1
        if following > used + 1 and win.first(following).islower():
            used += 1
    return Unit(tuple(name.split()), pluralised(name), used - k)


def per(win: Window, k: int) -> tuple[tuple[str, ...], int]:
    """A slash and what a price is for ("$5/month").

    Args:
        win: the tokens.
        k: the first token behind the price.

    Returns:
        The words and how many tokens; nothing and 0 when there is none.

    Raises:
        Pending: more text is needed.
    """
    if win.first(k) == "/" and win.kind(k + 1) == WORD and win.text(k + 1) in _PER:
        return ("per", _PER[win.text(k + 1)]), 2
    return (), 0
