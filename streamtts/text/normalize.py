"""Written text to spoken words, as the text arrives.

A word is handed on as soon as the next character shows that it is over; what needs the next token
(numbers, abbreviations) waits for that and no longer. The result is a function of the text alone,
however it was cut. Time is linear in the text: rules look at a bounded number of tokens of bounded
length.
"""

from __future__ import annotations

from streamtts.text import words
from streamtts.text.abbreviations import abbreviation
from streamtts.text.reading import COMMA, NONE, PERIOD, Past, Reading, Spoken, tail
from streamtts.text.tokens import (
    DIGITS,
    END,
    NEWLINE,
    SIGN,
    SPACE,
    WORD,
    Lexer,
    Pending,
    Window,
)

__all__ = ["Normalizer", "Spoken"]

_SENTENCE_ENDS = (2, 3, 4)


class Normalizer:
    """Turns one context's text into spoken words.

    Args:
        text_format: "plain" or "markdown". Emphasis, headings, list markers and back-ticks are
            never spoken in either; fenced code, tables and quotes are known in markdown only.
        normalize: False reads words and punctuation only: no abbreviations, numbers digit by
            digit, signs silent.

    Raises:
        ValueError: an unknown text_format.
    """

    def __init__(self, *, text_format: str = "plain", normalize: bool = True) -> None:
        if text_format not in ("plain", "markdown"):
            raise ValueError(f"text_format is {text_format!r}; it must be plain or markdown")
        self._markdown = text_format == "markdown"
        self._normalize = normalize
        self._lexer = Lexer()
        self._win = Window(self._lexer)
        self._past = Past()
        self._done = 0
        self._seen = (0, END)

    @property
    def pending_chars(self) -> int:
        """Code points fed but not handed on yet."""
        return self._lexer.position - self._done

    def feed(self, text: str) -> list[Spoken]:
        """Append text.

        Args:
            text: the next piece of the client's text, cut anywhere.

        Returns:
            What can no longer change, whatever comes next.
        """
        self._lexer.feed(text)
        seen = (len(self._win), self._lexer.open_kind)
        if seen == self._seen:
            return []
        return self._run()

    def flush(self, final: bool) -> list[Spoken]:
        """Everything so far, as if the text ended here.

        Args:
            final: True when no more text comes; otherwise feeding may go on and positions with it.

        Returns:
            The items that were held back.
        """
        self._lexer.close()
        self._win.final = True
        out = self._run()
        self._win.final = False
        self._done = self._lexer.position
        if final:
            self._past = Past()
        return out

    def _run(self) -> list[Spoken]:
        out: list[Spoken] = []
        try:
            while self._win.kind(0) != END:
                item = self._next()
                if item is not None:
                    out.append(item)
        except Pending:
            pass
        self._seen = (len(self._win), self._lexer.open_kind)
        return out

    def _next(self) -> Spoken | None:
        """Read one token or group; raises Pending before anything is changed."""
        win, past = self._win, self._past
        kind = win.kind(0)
        if kind == SPACE:
            self._take(1)
            return None
        if kind == NEWLINE:
            return self._newline()
        reading = self._read(kind)
        if reading is None:
            return self._punctuation()
        mark, more = self._mark(reading)
        span = win.peek(0).start, win.peek(reading.used - 1).end
        last = next(
            (win.text(i) for i in range(reading.used - 1, -1, -1) if win.kind(i) == WORD), ""
        )
        past.glued = win.kind(reading.used + more) in (WORD, DIGITS, SIGN)
        past.word = last
        self._take(reading.used + more)
        if not reading.words:
            return None
        past.capitals = len(last) > 1 and last.isupper() and reading.words == (last.lower(),)
        return self._emit(reading.words, span, mark)

    def _read(self, kind: str) -> Reading | None:
        win, past = self._win, self._past
        if kind == WORD:
            found = abbreviation(win, past) if self._normalize else None
            return found or words.word(win, past)
        if kind == DIGITS:
            return Reading(tuple(_DIGIT_NAMES[int(c)] for c in win.text(0)), 1)
        if words.elided(win):
            return words.word(win, past)
        return None

    def _mark(self, reading: Reading) -> tuple[int, int]:
        if reading.mark == NONE:
            return NONE, 0
        mark, more = tail(self._win, reading.used)
        return max(mark, reading.mark or NONE), more

    def _punctuation(self) -> Spoken | None:
        """Punctuation whose word was handed on already: a bare pause, or nothing."""
        win, past = self._win, self._past
        mark, used = tail(win, 0)
        if used == 1 and win.first(0) == "-" and not past.glued and win.kind(1) == SPACE:
            mark = COMMA  # a dash, typed as a hyphen
        glued = win.kind(max(used, 1)) in (WORD, DIGITS)
        used = max(used, 1)
        span = win.peek(0).start, win.peek(used - 1).end
        self._take(used)
        past.glued = glued
        return self._pause(span, mark)

    def _newline(self) -> Spoken | None:
        win = self._win
        used = 1
        while used < 8 and win.kind(used) == NEWLINE:
            used += 1
        span = win.peek(0).start, win.peek(used - 1).end
        self._take(used)
        return self._pause(span, PERIOD if used > 1 else NONE)

    def _pause(self, span: tuple[int, int], mark: int) -> Spoken | None:
        if not self._past.in_sentence or mark <= self._past.mark:
            return None
        return self._emit((), span, mark)

    def _emit(self, said: tuple[str, ...], span: tuple[int, int], mark: int) -> Spoken:
        ends = mark in _SENTENCE_ENDS
        self._past.in_sentence = not ends
        self._past.mark = NONE if ends else mark
        return Spoken(said, *span, mark, ends)

    def _take(self, count: int) -> None:
        self._done = self._win.peek(count - 1).end
        self._win.advance(count)


_DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
