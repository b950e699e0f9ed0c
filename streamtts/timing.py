"""Where words, phones and flushes lie in the audio, read off the attention's position."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streamtts.engine.sink import Step
from streamtts.events import (
    Alignment,
    AlignmentStep,
    AlignmentSymbol,
    Flushed,
    Phones,
    TimedItem,
    Words,
)
from streamtts.text.frontend import Word
from streamtts.text.symbols import PAUSE, Symbol


@dataclass(slots=True)
class _Item:
    index: int
    text: str
    start: int
    char_start: int
    char_end: int
    end: int | None = None
    sent: bool = False
    closed: bool = False

    def shown(self, end: int | None) -> TimedItem:
        return TimedItem(self.index, self.text, self.start, end, self.char_start, self.char_end)


class _Track:
    """Items of one kind in the order in which they begin, until they have been told."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._items: deque[_Item] = deque()
        self.newest: _Item | None = None

    def begin(self, item: _Item) -> None:
        self.newest = item
        if self._wanted:
            self._items.append(item)

    def due(self, until: int) -> tuple[TimedItem, ...]:
        """What begins before sample `until` and was not told; what has ended by it."""
        told = []
        for item in self._items:
            if item.start >= until:
                break
            end = item.end if item.end is not None and item.end <= until else None
            if end is not None or not item.sent:
                told.append(item.shown(end))
            item.sent = True
            item.closed = end is not None
        while self._items and self._items[0].closed:
            self._items.popleft()
        return tuple(told)


@dataclass(slots=True)
class _Mark:
    """A flush: behind which symbol it lies, and where that one ended."""

    flush_id: str | None
    position: int
    sample: int | None


class Timing:
    """One context's times. What lies behind is forgotten, save three numbers a word.

    Args:
        samples_per_step: output samples of one decoder step.
        dropped_samples: of the first step, that are not sent.
        alignment: steps and symbols are wanted.
        words: word times are wanted.
        phones: phone times are wanted.

    Attributes:
        fed: symbols added so far.
        spoken_char: end of the text that has been entered.
        fed_char: end of the text that has been added.
    """

    def __init__(
        self,
        samples_per_step: float,
        *,
        alignment: bool,
        words: bool,
        phones: bool,
        dropped_samples: float = 0.0,
    ) -> None:
        self.fed = 0
        self.spoken_char = 0
        self.fed_char = 0
        self._samples_per_step = samples_per_step
        self._dropped_samples = dropped_samples
        self._wants_alignment = alignment
        self._words = _Track(wanted=words)
        self._phones = _Track(wanted=phones)
        self._steps: deque[AlignmentStep] = deque()
        self._entered: list[AlignmentSymbol] = []
        self._ahead: deque[Symbol] = deque()  # not entered yet
        self._here: Symbol | None = None
        self._position = -1
        self._written: dict[int, Word] = {}  # words not entered yet
        self._last_phone: dict[int, int] = {}  # word -> position of its last phone
        self._marks: deque[_Mark] = deque()
        self._newest_phone = -1
        self._left_phone = -1
        self._left_sample = 0
        self._word_ends = array("q")  # of every word that was spoken: samples,
        self._word_chars = array("q")  # and code points

    @property
    def backlog(self) -> int:
        """Symbols added but not entered."""
        return len(self._ahead)

    def add(self, symbols: Sequence[Symbol], words: Iterable[Word]) -> None:
        """Symbols in the order in which they will be spoken, with the words that they speak."""
        for symbol in symbols:
            if symbol.phone != PAUSE:
                self._newest_phone = self._last_phone[symbol.word] = self.fed
            self.fed_char = max(self.fed_char, symbol.char_end)
            self.fed += 1
        self._ahead.extend(symbols)
        self._written.update((word.index, word) for word in words)

    def flush(self, flush_id: str | None) -> None:
        """A flush behind all that was added so far."""
        known = self._left_phone >= self._newest_phone
        sample = self._left_sample if known else None
        self._marks.append(_Mark(flush_id, self._newest_phone, sample))

    def advance(self, steps: Iterable[Step]) -> None:
        """The attention has moved."""
        for step in steps:
            sample = self._sample(step.number)
            if step.position != self._position:
                self._enter(step.position, sample)
            if self._wants_alignment:
                self._steps.append(AlignmentStep(sample, step.position, step.hazard))
            if step.left:
                self._leave(self._sample(step.number + 1))

    def due(self, until: int) -> list[Alignment | Words | Phones]:
        """What is to be told before a chunk that ends at sample `until`."""
        events: list[Alignment | Words | Phones] = []
        steps = []
        while self._steps and self._steps[0].sample < until:
            steps.append(self._steps.popleft())
        if steps:
            known = [s for s in self._entered if s.position <= steps[-1].position]
            del self._entered[: len(known)]
            events.append(Alignment(tuple(steps), tuple(known)))
        if words := self._words.due(until):
            events.append(Words(words))
        if phones := self._phones.due(until):
            events.append(Phones(phones))
        return events

    def flushed(self, sent: int) -> list[Flushed]:
        """The flushes before which all is sent."""
        events = []
        while self._marks:
            mark = self._marks[0]
            if mark.sample is None or mark.sample > sent:
                break
            events.append(Flushed(mark.flush_id, mark.sample))
            self._marks.popleft()
        return events

    def heard(self, sample: int) -> tuple[int, int]:
        """Code points and whole words that lie before a sample."""
        words = bisect_right(self._word_ends, sample)
        return (self._word_chars[words - 1] if words else 0), words

    def _sample(self, step: int) -> int:
        return max(0, round(step * self._samples_per_step - self._dropped_samples))

    def _enter(self, position: int, sample: int) -> None:
        self._position = position
        symbol = self._here = self._ahead.popleft()
        span = symbol.char_start, symbol.char_end
        self.spoken_char = max(self.spoken_char, symbol.char_end)
        if self._wants_alignment:
            self._entered.append(AlignmentSymbol(position, symbol.phone, *span))
        if symbol.phone == PAUSE:
            return
        self._phones.begin(_Item(position, symbol.phone, sample, *span))
        word = self._written.pop(symbol.word, None)
        if word is not None:
            span = word.char_start, word.char_end
            self._words.begin(_Item(word.index, word.text, sample, *span))

    def _leave(self, sample: int) -> None:
        symbol, position = self._here, self._position
        if symbol is None or symbol.phone == PAUSE:
            return
        self._left_phone, self._left_sample = position, sample
        if self._phones.newest is not None:
            self._phones.newest.end = sample
        if self._last_phone.get(symbol.word) == position:
            del self._last_phone[symbol.word]
            if self._words.newest is not None:
                self._words.newest.end = sample
            self._word_ends.append(sample)
            self._word_chars.append(symbol.char_end)
        for mark in self._marks:
            if mark.sample is None and mark.position <= position:
                mark.sample = sample
