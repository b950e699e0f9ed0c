"""What a listener has heard: the playout clock, and the words that go with it.

A client that has no sound card to ask (or whose sound card only tells how much it was given) counts
the time: sound is played as soon as it is there, in real time, and waits where none is there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streamtts.protocol.parts import Item


class PlayoutClock:
    """Counts the samples of one context that were played.

    Attributes:
        sample_rate: Hz.
        underruns: how often the sound ran out before more of it came.
    """

    def __init__(self, sample_rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.sample_rate = sample_rate
        self.underruns = 0
        self._clock = clock
        self._arrived = 0
        self._played = 0.0
        self._at: float | None = None
        self._dry = False

    def arrived(self, end_sample: int) -> None:
        """Notes that all sound before `end_sample` is there to be played.

        Args:
            end_sample: `first_sample` of a chunk and its length; the first one starts the clock.
        """
        if end_sample <= self._arrived:
            return
        self._advance()
        if self._at is None:
            self._at = self._clock()
        elif self._dry:
            self.underruns += 1
        self._arrived = end_sample
        self._dry = False

    @property
    def played_samples(self) -> int:
        """Samples that a listener has heard by now."""
        self._advance()
        return int(self._played)

    @property
    def remaining_s(self) -> float:
        """Seconds of sound that are there and not yet heard."""
        self._advance()
        return (self._arrived - self._played) / self.sample_rate

    def _advance(self) -> None:
        if self._at is None:
            return
        now = self._clock()
        self._played += (now - self._at) * self.sample_rate
        self._at = now
        if self._played >= self._arrived:
            self._dry = self._dry or self._played > self._arrived
            self._played = float(self._arrived)


class Transcript:
    """The words of one utterance in step with its sound."""

    def __init__(self) -> None:
        self._words: dict[int, Item] = {}

    def add(self, items: Iterable[Item]) -> None:
        """Notes when words are spoken; the same index again replaces what was known."""
        self._words.update((item.index, item) for item in items)

    def heard(self, text: str, played_samples: int) -> str:
        """The text up to the end of the last word that has begun by `played_samples`.

        Punctuation that follows the word at once comes with it.

        Args:
            text: what was sent so far (`Utterance.text`).
            played_samples: as counted by a `PlayoutClock` or told by a sound card.
        """
        ends = [word.char_end for word in self._words.values() if word.start < played_samples]
        end = max(ends, default=0)
        while 0 < end < len(text) and not (text[end].isspace() or text[end].isalnum()):
            end += 1
        return text[:end]
