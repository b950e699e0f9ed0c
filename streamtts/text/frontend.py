"""Deltas of text to symbols, each with its span in the text that the client sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from streamtts.text import pauses
from streamtts.text.normalize import Normalizer, Spoken
from streamtts.text.phonemes import Pronouncer
from streamtts.text.pronunciations import FUNCTION_WORDS
from streamtts.text.segmenter import Segmenter
from streamtts.text.symbols import EDGES, Symbol
from streamtts.text.user_lexicon import Phones

_INSIDE, _START, _END, _BOTH = (EDGES.index(name) for name in ("inside", "start", "end", "both"))
_CONTEXT_WORDS = 3  # how many words back a homograph may look


@dataclass(frozen=True, slots=True)
class Word:
    """A word as the client wrote it.

    Attributes:
        index: counts the words of the context from 0.
        text: the client's own spelling.
        char_start: first code point, counted in the text that the client sent.
        char_end: one past the last code point.
    """

    index: int
    text: str
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class FrontEndOutput:
    """What can no longer change.

    Attributes:
        symbols: in spoken order; all of a word at once.
        words: the words that `symbols` speak.
        warnings: "lexicon" for a word that has letters but no sound that we know.
    """

    symbols: tuple[Symbol, ...]
    words: tuple[Word, ...]
    warnings: tuple[str, ...]


class FrontEnd:
    """Segmenter, normaliser and pronouncer together, for one context.

    However the text is cut into deltas, the symbols are the same. What is kept does not grow
    with the text: the token under way, one word that waits for the next, two words of context.

    Args:
        pronouncer: the voice's words.
        text_format: how the text is written, as `Normalizer` knows it.
        normalize: whether numbers, abbreviations and the like are spelled out.
    """

    def __init__(
        self, pronouncer: Pronouncer, *, text_format: str = "plain", normalize: bool = True
    ) -> None:
        self._pronouncer = pronouncer
        self._normalizer = Normalizer(text_format=text_format, normalize=normalize)
        self._segmenter = Segmenter()
        self._text = _TextTail()
        self._waiting: Spoken | None = None  # its last word is a homograph that needs the next
        self._previous: tuple[str, ...] = ()
        self._next_index = 0
        self._in_sentence = False
        self._after_pause = True
        self._last_char = 0  # where the last word handed on ends
        self._symbols: list[Symbol] = []
        self._words: list[Word] = []
        self._warnings: list[str] = []

    @property
    def pending_chars(self) -> int:
        """Code points fed but not handed on yet."""
        if self._waiting is not None:
            held = self._text.end - self._waiting.char_start
        else:
            held = self._normalizer.pending_chars
        return held + self._segmenter.held

    def feed(self, delta: str) -> FrontEndOutput:
        """Takes a delta.

        Args:
            delta: text as the client sent it; it may end or begin in half a character.

        Returns:
            What can no longer change.
        """
        self._take(self._normalized(self._segmenter.feed(delta)))
        return self._handed_on()

    def flush(self) -> FrontEndOutput:
        """Speaks all so far as if it were the end of the text; feeding may go on.

        Returns:
            The rest. Where no mark ended it, a pause "flush" does; the sentence stays open.
        """
        self._finish(final=False)
        if self._in_sentence and not self._after_pause:
            self._pause(pauses.FLUSH, at=self._last_char)
        return self._handed_on()

    def end(self) -> FrontEndOutput:
        """Speaks the rest and closes the sentence; text that has no last mark gets a period.

        Returns:
            The rest; its last pause ends the sentence, unless the sentence was over already.
        """
        self._finish(final=True)
        if self._in_sentence:
            self._pause(pauses.PERIOD, at=self._last_char, ends_sentence=True)
        return self._handed_on()

    def _normalized(self, text: str) -> list[Spoken]:
        self._text.append(text)
        return self._normalizer.feed(text)

    def _finish(self, *, final: bool) -> None:
        spoken = self._normalized(self._segmenter.flush())
        spoken += self._normalizer.flush(final)
        if final and self._waiting is not None and not spoken:
            self._waiting = _closed(self._waiting)
        elif final and spoken:
            spoken[-1] = _closed(spoken[-1])
        self._take(spoken)
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._speak(waiting, None)

    def _take(self, spoken: Iterable[Spoken]) -> None:
        for item in spoken:
            if self._waiting is not None:
                waiting, self._waiting = self._waiting, None
                self._speak(waiting, item.words[0] if item.words else None)
            if self._must_wait(item):
                self._waiting = item
            else:
                self._speak(item, None)

    def _must_wait(self, item: Spoken) -> bool:
        if not item.words or item.mark != pauses.NONE or item.ends_sentence:
            return False
        *before, last = item.words
        return self._pronouncer.needs_next(last, (*self._previous, *before))

    def _speak(self, item: Spoken, next_word: str | None) -> None:
        """Hands on one item: a written word, or (without words) a mark that stands alone."""
        if self._spell(item, next_word):
            self._last_char = item.char_end
            self._after_pause = False
            self._next_index += 1
        elif item.words:
            self._warnings.append("lexicon")
        if self._in_sentence and pauses.pause_follows(item.mark, item.ends_sentence):
            if item.ends_sentence or not self._after_pause:
                self._pause(item.mark, at=item.char_end, ends_sentence=item.ends_sentence)
            self._previous = ()

    def _spell(self, item: Spoken, next_word: str | None) -> bool:
        """Appends the word and its symbols; False when it has no sound."""
        spoken: list[tuple[str, Phones]] = []
        for i, word in enumerate(item.words):
            last = i + 1 == len(item.words)
            phones = self._pronouncer.pronounce(
                word,
                next_word if last else item.words[i + 1],
                previous=self._previous,
                strong=last and pauses.pause_follows(item.mark, item.ends_sentence),
            )
            self._previous = (*self._previous, word)[-_CONTEXT_WORDS:]
            if phones:
                spoken.append((word, phones))
        if not spoken:
            return False
        if not self._in_sentence:
            self._pause(pauses.NONE, at=item.char_start)
            self._in_sentence = True
        span = item.char_start, item.char_end
        self._words.append(Word(self._next_index, self._text.cut(*span), *span))
        for word, phones in spoken[:-1]:
            self._append_phones(word, phones, pauses.NONE, item)
        self._append_phones(*spoken[-1], item.mark, item)
        return True

    def _append_phones(self, word: str, phones: Phones, mark: int, item: Spoken) -> None:
        weight = int(word in FUNCTION_WORDS)
        last = len(phones) - 1
        for i, (phone, stress) in enumerate(phones):
            edge = _BOTH if last == 0 else _START if i == 0 else _END if i == last else _INSIDE
            span = item.char_start, item.char_end
            self._symbols.append(Symbol(phone, stress, edge, mark, weight, self._next_index, *span))

    def _pause(self, mark: int, *, at: int, ends_sentence: bool = False) -> None:
        self._symbols.append(
            pauses.pause(mark, word=self._next_index - 1, at=at, ends_sentence=ends_sentence)
        )
        self._after_pause = True
        if ends_sentence:
            self._in_sentence = False
            self._previous = ()

    def _handed_on(self) -> FrontEndOutput:
        out = FrontEndOutput(tuple(self._symbols), tuple(self._words), tuple(self._warnings))
        self._symbols, self._words, self._warnings = [], [], []
        self._text.forget(self._text.end + self._segmenter.held - self.pending_chars)
        return out


class _TextTail:
    """The end of the client's text: what words still to come are cut from.

    Attributes:
        end: code points appended so far.
    """

    def __init__(self) -> None:
        self.end = 0
        self._start = 0
        self._pieces: list[str] = []

    def append(self, text: str) -> None:
        if text:
            self._pieces.append(text)
            self.end += len(text)

    def cut(self, start: int, end: int) -> str:
        return self._joined()[start - self._start : end - self._start]

    def forget(self, before: int) -> None:
        """Drops what lies before a code point, where that frees at least half of it."""
        if before - self._start > self.end - before:
            self._pieces = [self._joined()[before - self._start :]]
            self._start = before

    def _joined(self) -> str:
        if len(self._pieces) != 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0]


def _closed(item: Spoken) -> Spoken:
    """The last item of a text: a sentence ends behind it, with a period where it has no mark."""
    if item.ends_sentence:
        return item
    return replace(item, mark=item.mark or pauses.PERIOD, ends_sentence=True)
