"""What every rule of the normaliser works with: readings, and what is known of the past."""

from __future__ import annotations

from dataclasses import dataclass

from streamtts.text.tokens import DIGITS, NEWLINE, SIGN, SPACE, WORD, Window

NONE, COMMA, PERIOD, QUESTION, EXCLAMATION = range(5)  # indices into symbols.MARKS

_TAIL = 12  # tokens of punctuation looked at behind a word
_SILENT = set("\"'*_`~\\")
_CLOSING = set(")]}")
_OPENING = set("([{")
_MARKS = {",": COMMA, ";": COMMA, ":": COMMA, "?": QUESTION, "!": EXCLAMATION, "—": COMMA}


@dataclass(frozen=True, slots=True)
class Spoken:
    """One written token, or a group that is read together, as it is spoken.

    Attributes:
        words: lower-case words (a-z and apostrophe); a letter that is spelled is one upper-case
            letter. Empty for a bare pause: punctuation that came after its word was handed on.
        char_start: first code point in the client's text.
        char_end: one past the last code point.
        mark: index into symbols.MARKS of what directly follows.
        ends_sentence: True when the mark closes a sentence.
    """

    words: tuple[str, ...]
    char_start: int
    char_end: int
    mark: int
    ends_sentence: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What a rule says about the next tokens.

    Attributes:
        words: as in Spoken; empty when the tokens are silent.
        used: how many tokens it covers.
        mark: index into symbols.MARKS; None when the punctuation behind is still to be read.
        skipped: tokens behind `used` that are consumed but are not part of the span.
        address: the tokens belong to an address that goes on.
        skips: the bracket that closes the address of a link, which is not said; else "".
    """

    words: tuple[str, ...]
    used: int
    mark: int | None = None
    skipped: int = 0
    address: bool = False
    skips: str = ""


@dataclass(slots=True)
class Past:
    """What the rules may know of what came before; a function of the text handed on so far.

    Attributes:
        in_sentence: words were spoken since the last sentence ended.
        mark: mark of the last item.
        word: the last written word, with its own capitals; "" behind anything else.
        capitals: the last word was written in capitals and read as a word.
        numeric: the last item was a number.
        glued: nothing separates the last token from the next.
        sign: the last token, if it was a sign and nothing separates it from the next.
        address: an address is being read.
        skips: the bracket up to which the address of a link is being skipped; else "".
        line_start: only blanks since the last line break.
        block: the sentence ends where the line ends.
        fence: fenced code is being skipped.
    """

    in_sentence: bool = False
    mark: int = NONE
    word: str = ""
    capitals: bool = False
    numeric: bool = False
    glued: bool = False
    sign: str = ""
    address: bool = False
    skips: str = ""
    line_start: bool = True
    block: bool = False
    fence: bool = False


def after_space(win: Window, k: int) -> int:
    """Index of the first token at or behind k that is no blank (one line break included).

    Raises:
        Pending: it has not arrived.
    """
    if win.kind(k) == SPACE:
        k += 1
    if win.kind(k) == NEWLINE:
        k += 1
    return k


def tail(win: Window, k: int) -> tuple[int, int]:
    """The punctuation directly behind a word.

    Args:
        win: the tokens.
        k: index of the first token behind the word.

    Returns:
        The mark, and how many tokens belong to the word's punctuation.

    Raises:
        Pending: it could still change.
    """
    mark = NONE
    n = k
    while n - k < _TAIL:
        if win.kind(n) != SIGN:
            break
        step, found = _punctuation(win, n, mark)
        if not step:
            break
        mark = max(mark, found) if mark != QUESTION else mark
        n += step
    return mark, n - k


def _punctuation(win: Window, n: int, mark: int) -> tuple[int, int]:
    """One sign behind a word: tokens used (0: it is not punctuation) and its mark."""
    c = win.text(n)
    if c in _SILENT:
        return 1, NONE
    if c in _MARKS:
        return 1, _MARKS[c]
    if c == "]" and win.first(n + 1) in "([":
        return 0, NONE  # a link: the dispatcher skips its address
    if c in _CLOSING:
        return 1, COMMA
    if c == "[" and (win.kind(n + 1) == DIGITS or win.first(n + 1) == "^"):
        return 0, NONE  # a footnote
    if c in _OPENING:
        return (1, COMMA) if win.kind(n + 1) in (WORD, DIGITS) else (0, NONE)
    if c == ".":
        return _dots(win, n)
    if c in "-–":
        return _hyphen(win, n, c)
    if c == "/" and win.kind(n + 1) == WORD:
        return 1, NONE
    return 0, NONE


def _hyphen(win: Window, n: int, c: str) -> tuple[int, int]:
    following = win.first(n + 1)
    if c == "-" and following != "-":
        return 1, NONE  # well-known, pre- and post-war
    if c == "-":
        run = 2
        while run < 4 and win.first(n + run) == "-":
            run += 1
        return run, COMMA
    return 1, COMMA


def _dots(win: Window, n: int) -> tuple[int, int]:
    """A period, or an ellipsis: a comma where lower case follows, else a period."""
    run = 1
    while run < _TAIL and win.first(n + run) == ".":
        run += 1
    if run == 1:
        return 1, NONE if win.first(n + 1) in (",", ";") else PERIOD
    k = n + run
    while k < n + run + 3 and win.first(k) in ('"', "'", "*", "_", ")"):
        k += 1
    k = after_space(win, k)
    return run, COMMA if win.first(k).islower() or win.first(k) in (",", "-", "—") else PERIOD
