"""Words with a period that is no full stop, and what they stand for."""

from __future__ import annotations

from streamtts.text.reading import PERIOD, Past, Reading, after_space
from streamtts.text.tokens import DIGITS, END, NEWLINE, SIGN, SPACE, WORD, Window

# A name follows: never the end of a sentence.
TITLES = {
    "Mr": "mister", "Mrs": "missus", "Ms": "ms", "Dr": "doctor", "Prof": "professor",
    "Rev": "reverend", "Hon": "honorable", "Gen": "general", "Col": "colonel", "Sgt": "sergeant",
    "Capt": "captain", "Lt": "lieutenant", "Cmdr": "commander", "Maj": "major",
    "Gov": "governor", "Sen": "senator", "Rep": "representative", "Pres": "president",
    "Messrs": "messrs", "Mme": "madame", "Mlle": "mademoiselle", "Fr": "father",
    "Drs": "doctors",
    "Supt": "superintendent", "Insp": "inspector", "Mt": "mount", "Ft": "fort", "Adm": "admiral",
    "Cpl": "corporal", "Pvt": "private", "Det": "detective", "Amb": "ambassador",
    "Pfc": "private first class",
}  # fmt: skip
# Written in any case; the sentence may end with them.
ANYWHERE = {
    "vs": "versus", "etc": "et cetera", "approx": "approximately", "dept": "department",
    "inc": "incorporated", "ltd": "limited", "corp": "corporation", "ave": "avenue",
    "blvd": "boulevard", "jr": "junior", "sr": "senior", "bros": "brothers",
    "misc": "miscellaneous",
    "govt": "government", "assn": "association", "est": "established", "cf": "compare",
    "tel": "telephone", "ext": "extension", "avg": "average",
    "ca": "circa", "hwy": "highway", "pkwy": "parkway", "intl": "international",
    "mfg": "manufacturing", "univ": "university", "asst": "assistant", "assoc": "associate",
    "incl": "including", "vol": "volume", "vols": "volumes", "viz": "namely",
    "resp": "respectively",
    "esq": "esquire", "eg": "for example", "ie": "that is",
}  # fmt: skip
# Only with a capital (the word in lower case is another word, or none).
CAPITALISED = {
    "Co": "company", "Rd": "road", "Jan": "january", "Feb": "february", "Apr": "april",
    "Jun": "june", "Jul": "july", "Aug": "august", "Sep": "september", "Sept": "september",
    "Oct": "october", "Nov": "november", "Dec": "december", "Mon": "monday", "Tue": "tuesday",
    "Tues": "tuesday", "Thu": "thursday", "Thur": "thursday", "Thurs": "thursday",
    "Fri": "friday", "Ln": "lane", "Sq": "square", "Calif": "california",
}  # fmt: skip
_SPANS = frozenset(n for n in CAPITALISED.values() if n.endswith(("day", "ry", "ber", "st", "il")))
# Only before a number.
BEFORE_NUMBER = {
    "no": "number", "nos": "numbers", "fig": "figure", "figs": "figures", "ch": "chapter",
    "sec": "section", "p": "page", "pp": "pages", "art": "article", "eq": "equation",
    "mar": "march", "par": "paragraph", "wed": "wednesday", "sat": "saturday", "sun": "sunday",
    "op": "opus", "pt": "part", "apt": "apartment", "bk": "book", "ep": "episode", "rm": "room",
}  # fmt: skip
_LETTERS = {"p": "page", "P": "page", "c": "circa"}  # before a number
DOTTED = {
    "e.g": "for example", "i.e": "that is", "p.s": "P S", "a.k.a": "also known as",
    "ph.d": "P H D", "b.sc": "B S C", "m.sc": "M S C",
}  # fmt: skip
# With a capital behind an abbreviation, these begin a sentence.
STARTERS = frozenset(
    "The A An He She It We They I You But And In This That These Those There When If At On His "
    "Her Its Their Our My Your After Before As For So Then What Who How Why Where With No Not "
    "Yes Or By From To All Some Many Most One However Although While Since Once Now Here Also "
    "Because Later Meanwhile Let Do Did Does Is Are Was Were Can Could Would Will".split()
)


def abbreviation(win: Window, past: Past) -> Reading | None:
    """A word with a period that is not (only) a full stop.

    Args:
        win: stands on a word.
        past: what came before.

    Returns:
        The reading, or None when it is an ordinary word.

    Raises:
        Pending: more text is needed.
    """
    if win.first(1) != ".":
        return None
    word = win.text(0)
    if word in _LETTERS and win.kind(after_space(win, 2)) == DIGITS:
        return Reading((_LETTERS[word],), 2, mark=0)
    if len(word) == 1 or (word in ("Ph", "B", "M") and win.kind(2) == WORD):
        return _dotted(win)
    if word in TITLES and not (word == "Dr" and _is_street(win, past)):
        return Reading(tuple(TITLES[word].split()), 2, mark=0)
    if word in ("St", "Dr"):
        return _saint_or_street(win, past, word)
    long = ANYWHERE.get(word.lower()) or CAPITALISED.get(word)
    if long is None and word.lower() in BEFORE_NUMBER:
        k = after_space(win, 2)
        if win.kind(k) == DIGITS:
            return Reading((BEFORE_NUMBER[word.lower()],), 2, mark=0)
    if long is None:
        return None
    if long in _SPANS and win.first(2) in ("-", "–") and win.kind(3) == WORD:
        return Reading((long, "to"), 3, mark=0)  # Mon.-Fri.
    return maybe_last(win, tuple(long.split()), 2, ends_before_capital=word.lower() == "etc")


def _is_street(win: Window, past: Past) -> bool:
    named = past.in_sentence and past.word[:1].isupper() and past.mark == 0
    return named and win.first(after_space(win, 2)).isupper() is False


def _saint_or_street(win: Window, past: Past, word: str) -> Reading:
    named = past.in_sentence and past.word[:1].isupper() and past.mark == 0
    named = named and past.word not in STARTERS
    if not named and win.first(after_space(win, 2)).isupper():
        return Reading(("saint" if word == "St" else "doctor",), 2, mark=0)
    return maybe_last(win, ("street" if word == "St" else "drive",), 2)


def maybe_last(
    win: Window, words: tuple[str, ...], used: int, *, ends_before_capital: bool = False
) -> Reading:
    """An abbreviation whose period may also end the sentence.

    Args:
        win: the tokens.
        words: how it is said.
        used: its tokens, the period included.
        ends_before_capital: any capital behind it begins a sentence (else only a word that
            usually does).

    Returns:
        The reading, with mark PERIOD where the sentence ends.

    Raises:
        Pending: more text is needed.
    """
    kind = win.kind(used)
    if kind == SIGN and win.text(used) not in ('"', "'", ")", "*", "_"):
        return Reading(words, used)
    k = used
    while k < used + 3 and win.kind(k) == SIGN:
        k += 1
    if win.kind(k) == SPACE:
        k += 1
    if win.kind(k) == NEWLINE and win.kind(k + 1) == NEWLINE:
        return Reading(words, used, mark=PERIOD)
    k = after_space(win, k)
    if win.kind(k) == END:
        return Reading(words, used, mark=PERIOD)
    last = win.first(k).isupper() and (ends_before_capital or win.text(k) in STARTERS)
    return Reading(words, used, mark=PERIOD if last else None)


def _dotted(win: Window) -> Reading | None:
    """Letters with periods: e.g., U.S., p.m., J. R. R. Tolkien."""
    n = 1
    parts = [win.text(0)]
    while len(parts) < 8 and win.first(n) == "." and win.kind(n + 1) == WORD:
        part = win.text(n + 1)
        if len(part) > 1 and (parts[-1] + part).lower() not in ("phd", "bsc", "msc"):
            break
        parts.append(part)
        n += 2
    if win.first(n) == ".":
        n += 1
    elif len(parts) == 1:
        return None
    if len(parts) == 1:
        return _initial(win, parts[0])
    if win.kind(n) == WORD and win.first(n - 1) == ".":
        return None  # a file or a domain: the letter only begins it
    known = DOTTED.get(".".join(parts).lower())
    if known and known.islower():
        return Reading(tuple(known.split()), n, mark=0 if win.kind(n) != SIGN else None)
    letters = tuple(c for part in parts for c in part.upper())
    if win.first(n - 1) != ".":
        return Reading(letters, n)
    return maybe_last(win, letters, n)


def _initial(win: Window, letter: str) -> Reading | None:
    """A single letter with a period: an initial, or a letter that ends a sentence."""
    if letter.islower():
        return None
    if win.kind(2) == DIGITS:
        return Reading((letter, "dot"), 2, mark=0)  # H.264
    k = after_space(win, 2)
    if k > 2 and win.first(k).islower() and letter != "I":
        return Reading((letter,), 2, mark=0)
    if not win.first(k).isupper():
        return None
    single = win.kind(k) == WORD and len(win.text(k)) == 1 and win.first(k + 1) == "."
    if letter == "I" and not single:
        return None
    if win.text(k) in STARTERS and not single:
        return None
    return Reading((letter,), 2, mark=0)
