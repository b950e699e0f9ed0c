"""Written text to spoken words, as the text arrives.

A word is handed on as soon as the next character shows that it is over; what needs the next token
(numbers, abbreviations) waits for that and no longer. The result is a function of the text alone,
however it was cut. Time is linear in the text: rules look at a bounded number of tokens of bounded
length.
"""

from __future__ import annotations

from streamtts.text import blocks, signs, web, words
from streamtts.text.abbreviations import abbreviation
from streamtts.text.clock import arranged
from streamtts.text.numbers import digits
from streamtts.text.quantities import quantity
from streamtts.text.reading import COMMA, NONE, PERIOD, Past, Reading, Spoken, tail
from streamtts.text.roman import numeral
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
            never spoken in either, nor are emoji, other scripts, and the address behind a link's
            text; fenced code (not spoken), tables and quotes are known in markdown only.
        normalize: False reads words and punctuation only: no abbreviations with a period, numbers
            digit by digit, signs silent.

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
        self._out: list[Spoken] = []
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
        out = [] if seen == self._seen else self._run()
        if self._seen == (0, END):  # what the lexer drops, emoji for one, waits for nothing
            self._done = self._lexer.position
        return out

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
        try:
            while self._win.kind(0) != END:
                self._next()
        except Pending:
            pass
        self._seen = (len(self._win), self._lexer.open_kind)
        out, self._out = self._out, []
        return out

    def _next(self) -> None:
        """Read one token or group; Pending is raised before anything is changed."""
        win, past = self._win, self._past
        kind = win.kind(0)
        if past.fence or past.skips:
            self._skip()
        elif kind == SPACE:
            self._take(1)
        elif kind == NEWLINE:
            self._newline()
        elif not (past.line_start and self._line()):
            reading = self._address() if past.address else None
            reading = reading or self._read(kind)
            if reading is None:
                self._punctuation()
            else:
                self._say(reading, numeric=kind == DIGITS)

    def _address(self) -> Reading | None:
        return web.goes_on(self._win, self._past)

    def _read(self, kind: str) -> Reading | None:
        win, past = self._win, self._past
        if not self._normalize:
            return self._read_words(kind)
        if kind == WORD:
            return (
                abbreviation(win, past)
                or web.begins(win)
                or numeral(win, past)
                or words.word(win, past)
            )
        if kind == DIGITS or win.first(0) in "(+":
            found = arranged(win, past)
            if found:
                return found
        if words.elided(win):
            return words.word(win, past)
        return quantity(win, past) or signs.sign(win, past, markdown=self._markdown)

    def _read_words(self, kind: str) -> Reading | None:
        if kind == DIGITS:
            return Reading(digits(self._win.text(0)), 1)
        if kind == WORD or words.elided(self._win):
            return words.word(self._win, self._past)
        return signs.structure(self._win, markdown=self._markdown)

    def _say(self, reading: Reading, *, numeric: bool) -> None:
        win, past = self._win, self._past
        more, mark = reading.skipped, reading.mark
        if mark is None or mark == PERIOD:
            found, used = tail(win, reading.used)
            mark, more = max(found, mark or NONE), more + used
        span = win.peek(0).start, win.peek(reading.used - 1).end
        written = (win.text(i) for i in range(reading.used - 1, -1, -1) if win.kind(i) == WORD)
        last = next(written, "")
        self._take(reading.used + more)
        past.address, past.skips = reading.address, reading.skips
        if reading.words:
            past.word, past.numeric = last, numeric
            past.capitals = len(last) > 1 and last.isupper() and reading.words == (last.lower(),)
            self._emit(reading.words, span, mark)
        else:
            self._pause(span, mark)

    def _punctuation(self) -> None:
        """Punctuation whose word was handed on already: a bare pause, or nothing."""
        win, past = self._win, self._past
        mark, used = tail(win, 0)
        if used == 1 and win.first(0) == "-" and not past.glued and win.kind(1) == SPACE:
            mark = COMMA  # a dash, typed as a hyphen
        used = max(used, 1)
        span = win.peek(0).start, win.peek(used - 1).end
        self._take(used)
        past.address = False
        self._pause(span, mark)

    def _line(self) -> bool:
        """The marker of a line, if it has one."""
        win, past = self._win, self._past
        found = blocks.marker(win, markdown=self._markdown)
        past.line_start = False
        if found is None:
            return False
        start, end = win.peek(0).start, win.peek(found.used - 1).end
        self._take(found.used)
        past.glued, past.sign = False, ""
        past.block, past.fence = found.block, found.fence
        if found.ends:
            self._pause((start, start if found.said else end), PERIOD)
        if found.said:
            self._emit(found.said, (start, end), COMMA)
        return True

    def _newline(self) -> None:
        """Line breaks: a blank line ends the sentence, and so does the end of a heading."""
        win, past = self._win, self._past
        used = 1
        while used < 8 and win.kind(used) == NEWLINE:
            used += 1
        span = win.peek(0).start, win.peek(used - 1).end
        ends = used > 1 or past.block
        self._take(used)
        past.block = False
        self._pause(span, PERIOD if ends else NONE)

    def _skip(self) -> None:
        """Fenced code, or the address behind a link's text: not spoken."""
        win, past = self._win, self._past
        if past.fence and past.line_start and blocks.fence_ends(win):
            self._take(3)
            past.fence = False
            return
        text = win.text(0)
        self._take(1)
        if past.skips and text in (past.skips, "\n"):
            past.skips = ""

    def _pause(self, span: tuple[int, int], mark: int) -> None:
        if self._past.in_sentence and mark > self._past.mark:
            self._emit((), span, mark)

    def _emit(self, said: tuple[str, ...], span: tuple[int, int], mark: int) -> None:
        ends = mark in _SENTENCE_ENDS
        self._past.in_sentence = not ends
        self._past.mark = NONE if ends else mark
        self._out.append(Spoken(said, *span, mark, ends))

    def _take(self, count: int) -> None:
        last = self._win.peek(count - 1)
        past = self._past
        blank = last.kind in (SPACE, NEWLINE)
        past.glued = not blank
        past.sign = last.text if last.kind == SIGN else ""
        past.address = past.address and not blank
        if last.kind == NEWLINE:
            past.line_start = True
        elif not blank:
            past.line_start = False
        self._done = last.end
        self._win.advance(count)
