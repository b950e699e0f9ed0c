"""Plain words: apostrophes, capitals, letters to be spelled."""

from __future__ import annotations

import re

from streamtts.text.reading import NONE, Past, Reading
from streamtts.text.tokens import DIGITS, END, SIGN, SPACE, WORD, Window

# Short words that are not spelled when they stand in capitals.
_SHORT = frozenset(
    "a am an and are as at be but by can did do for get go got had has he her him his how if in "
    "is its let may me my new no nor not now of off oh ok old on one or our out own put ran red "
    "run say see she so ten the too top two up use via was way we who why will yes yet you big "
    "bad bed boy buy car cat cut day die dog eat end eye far few fit fly fun god gun guy hat hit "
    "hot ice job key law led lie lot low mad man men mix mom mum dad net nor odd pay pie red sad "
    "sea set sit six sky son sun tax tea tie try war wet win won add age ago aid air all any ape "
    "arm art ask ate bag bar bat bet bin bit box bug bus cap cow cry cup ear egg fan fat fee fix "
    "fox gap gas hey hip hub ink jam jar joy kid lab lap lay leg lid lip log map mud nap nut oil "
    "owl pan pen pet pig pin pit pop pot rat raw rib rid rip rob row rub rug sir sip ski sob sum "
    "tap tip toe ton toy van vet wow zip zoo we us it".split()
)
# Read as words though written in capitals, and too odd to be told by their vowels.
_WORDS = frozenset(
    "NASA NATO UNICEF UNESCO OPEC SWAT RAM ROM SIM PIN ASAP AIDS GIF JPEG FEMA NAFTA "
    "SARS COVID LASER RADAR SCUBA OSHA NAACP YOLO LOL FOMO WYSIWYG CAPTCHA ASCII FIFA "
    "JSTOR LIDAR CERN DARPA HIPAA REST YAML JSON TOML CRUD GUI WASM".split()
) - {"NAACP"}
# Spelled though they could be read.
_SPELLED = frozenset(
    "USA UAE LED HDMI OLED VPN SSD UNHCR IMHO "
    "FAQ API CEO CFO CTO CIO COO EU UK UN UFO AI IT US ID IQ EQ IP OS UI UX AP IOU IRA IRS "
    "ATM AKA ETA EPA EKG ECG IBM IPO ISP ISO USB URL UTC URI UPS USC UCLA IEEE AOL AMC AMD AWS "
    "HIV DOB ESPN NCAA EEG AC DIY OCD ADHD ACLU NAACP AARP ICU ER IV ICE OECD IMF IOC IDE SEO "
    "CIA FBI NSA DEA DOJ DOA MIA PIN ROI SUV RIP UFC ABC HBO CEO NGO ESL GPA LLC HOA SAT".split()
) - {"PIN", "RIP"}
_AMBIGUOUS = frozenset(("IT", "US", "WHO", "AM", "OR", "ICE", "ME", "RAM", "MD", "OK"))
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[A-Z]")
_NAMES = frozenset(("Mc", "Mac", "De", "Di", "Le", "La", "Van", "Fitz", "Du", "Da", "Des", "Mac"))
_ODD = {
    "WWI": ("world", "war", "one"), "WWII": ("world", "war", "two"),
    "PhD": ("P", "H", "D"), "PhDs": ("P", "H", "d's"), "MacBook": ("mac", "book"),
    "LaTeX": ("lay", "tech"), "iOS": ("I", "O", "S"), "LLaMA": ("llama",),
    "OpenAI": ("open", "A", "I"),
    "MySQL": ("my", "S", "Q", "L"), "NoSQL": ("no", "S", "Q", "L"), "WiFi": ("wifi",),
    "Wi": ("why",), "Fi": ("fie",),
    "DevOps": ("dev", "ops"), "LoRA": ("lora",), "MacOS": ("mac", "O", "S"),
    "macOS": ("mac", "O", "S"),
}  # fmt: skip
# Names that letter-to-sound would spoil.
_RESPELLED = {
    "json": ("jason",), "yaml": ("yamel",), "jpeg": ("jay", "peg"), "gui": ("gooey",),
    "wysiwyg": ("wizzy", "wig"), "wasm": ("wazzum",),
}  # fmt: skip
_BARE = {
    "vs": ("versus",), "etc": ("et", "cetera"), "approx": ("approximately",), "Mr": ("mister",),
    "Mrs": ("missus",), "Ms": ("ms",), "Dr": ("doctor",), "Prof": ("professor",),
    "Jr": ("junior",),
    "Sr": ("senior",), "Blvd": ("boulevard",), "Ave": ("avenue",), "Sgt": ("sergeant",),
    "ok": ("okay",),
    "Ok": ("okay",), "km": ("kilometers",), "kg": ("kilograms",), "cm": ("centimeters",),
    "mm": ("millimeters",), "mph": ("miles", "per", "hour"), "kph": ("kilometers", "per", "hour"),
    "lbs": ("pounds",), "hrs": ("hours",), "yrs": ("years",), "tbsp": ("tablespoons",),
    "ft": ("feet",),
    "tsp": ("teaspoons",), "pm": ("P", "M"),
    "ie": ("that", "is"), "eg": ("for", "example"), "Sept": ("september",),
}  # fmt: skip
_LEADING = frozenset(("tis", "twas", "em", "cause", "til", "till", "bout", "round", "twere", "n"))
_LABELS = frozenset(
    "vitamin grade plan type hepatitis section option team class group exhibit appendix part point "
    "letter an letters block gate level model hall room wing building series".split()
)
_VOWELS = re.compile(r"[AEIOUY]")
_SAYABLE = re.compile(r"[^AEIOUY]{0,3}(?:[AEIOUY]{1,3}[^AEIOUY]{1,4})*[AEIOUY]{0,2}")


def word(win: Window, past: Past) -> Reading:
    """A run of letters, with the apostrophes inside it.

    Args:
        win: stands on a word, or on an apostrophe before one.
        past: what came before.

    Returns:
        Its reading.

    Raises:
        Pending: more text is needed.
    """
    text = win.text(0)
    used = 1
    if text == "'":
        text, used = "'" + win.text(1), 2
    while used < 7 and win.first(used) == "'" and win.kind(used + 1) == WORD:
        text += "'" + win.text(used + 1)
        used += 2
    if text in _ODD:
        return Reading(_ODD[text], used)
    special = _special(text, win, used, past)
    if special:
        return special
    if len(text) > 1 and (
        text.isupper() or (len(text) > 3 and text[:-2].isupper() and text.endswith("'s"))
    ):
        return Reading(_capitals(text, win, used, past), used)
    if len(text) == 1:
        return Reading((_single(text, win, past),), used)
    return Reading(read(text), used)


def _special(text: str, win: Window, used: int, past: Past) -> Reading | None:
    """Short forms without a period."""
    if text in _BARE:
        return Reading(_BARE[text], used)
    if text in ("St", "st"):
        named = past.in_sentence and past.word[:1].isupper() and not past.mark
        return Reading(("street" if named else "saint",), used)
    if text in "vV" and win.kind(1) == DIGITS:
        return Reading(("version",), 1, mark=NONE)
    if text == "x" and past.numeric and not past.glued and win.kind(1) == SPACE:
        return Reading(("times",), 1) if win.kind(2) == DIGITS else None
    if text == "w" and win.first(1) == "/":
        if win.kind(2) == WORD and win.text(2) == "o":
            return Reading(("without",), 3)
        return Reading(("with",), 2, mark=NONE)
    return None


def elided(win: Window) -> bool:
    """Whether an apostrophe begins the word behind it ('tis, 'em).

    Raises:
        Pending: more text is needed.
    """
    return win.first(0) == "'" and win.kind(1) == WORD and win.text(1).lower() in _LEADING


def read(text: str) -> tuple[str, ...]:
    """A word on its own, in any mixture of cases.

    Args:
        text: letters and apostrophes.

    Returns:
        Its words; letters to be spelled in upper case.
    """
    if text in _ODD:
        return _ODD[text]
    if text.lower() in _RESPELLED:
        return _RESPELLED[text.lower()]
    base, apostrophe, rest = text.partition("'")
    if text[1:].islower() or text.islower() or not base:
        return (text.lower(),) if _VOWELS.search(text.upper()) else unvoiced(text)
    if len(base) > 2 and base[-1] == "s" and base[:-1].isupper() and spelled(base[:-1]):
        return (*base[:-2], base[-2].lower() + "'s")  # PCs
    pieces = _CAMEL.findall(base)
    if len(pieces) == 1 or pieces[0] in _NAMES or len(base) == 1:
        return (text.lower(),)
    out: list[str] = []
    for piece in pieces:
        if len(piece) == 1 or (piece.isupper() and spelled(piece)):
            out += piece.upper()
        else:
            out.append(piece.lower())
    if apostrophe:
        out[-1] = out[-1].lower() + apostrophe + rest.lower()
    return tuple(out)


def unvoiced(text: str) -> tuple[str, ...]:
    """A word without a vowel: an interjection (hmm, shh) is a word, the rest is spelled."""
    low = text.lower()
    if "'" in low or len(low) > 6 or low in ("mr", "mrs", "ms", "dr", "st", "nth", "pst", "psst"):
        return ({"mr": "mister", "mrs": "missus", "ms": "ms", "dr": "doctor"}.get(low, low),)
    if len(set(low)) < len(low) or low in ("sh", "hm", "cwm", "th", "ng"):
        return (low,)
    return tuple(low.upper())


def spelled(text: str) -> bool:
    """Whether a word in capitals is said letter by letter.

    Args:
        text: two or more capitals.
    """
    if text in _SPELLED:
        return True
    if text in _WORDS or text.lower() in _SHORT:
        return False
    if len(text) <= 3 or not _VOWELS.search(text):
        return len(text) <= 6
    return len(text) <= 5 and not _SAYABLE.fullmatch(text)


def _capitals(text: str, win: Window, used: int, past: Past) -> tuple[str, ...]:
    base, apostrophe, rest = text.partition("'")
    if base in _AMBIGUOUS:
        letters = base in _SPELLED or base in ("WHO", "MD") or base not in ("OR", "AM", "ME", "RAM")
        letters = letters and not past.capitals and not _capitals_follow(win, used)
    else:
        letters = len(base) > 1 and spelled(base)
    if win.first(used) == "&":
        letters = True  # AT&T
    if base.lower() in _RESPELLED and not apostrophe:
        return _RESPELLED[base.lower()]
    if base == "OK":
        return ("okay",)
    if not letters or len(rest) > 1:
        return (text.lower(),)
    if apostrophe:
        return (*base[:-1], base[-1].lower() + "'" + rest.lower())
    return tuple(base)


def _capitals_follow(win: Window, used: int) -> bool:
    if win.kind(used) != SPACE or win.kind(used + 1) != WORD:
        return False
    following = win.text(used + 1)
    return len(following) > 1 and following.isupper() and not spelled(following)


def _single(letter: str, win: Window, past: Past) -> str:
    if letter == "I":
        return "i"
    if letter == "a":
        return "a"
    if letter == "A" and (past.sign or not past.glued):
        follows = win.kind(1) == SPACE
        if win.first(1) == ":":
            return "A"  # Q: ... A: ...
        label = past.in_sentence and past.word.lower() in _LABELS
        last = (
            past.in_sentence and not follows and win.kind(1) in (SIGN, END) and win.first(1) != "-"
        )
        return "A" if label or last or win.kind(1) == DIGITS else "a"
    return letter.upper()
