"""One context's text to symbols, noted where its times are told from."""

from __future__ import annotations

from streamtts.delivery import Delivery
from streamtts.events import Warning_
from streamtts.inbox import FrontEndLike
from streamtts.text.frontend import FrontEndOutput
from streamtts.text.symbols import Symbol


class Reader:
    """The front end of one context; only the text thread may call it, save `unspoken_chars`.

    Args:
        front_end: this context's own.
        delivery: is told of every symbol before it can be spoken, and of a word without a sound.
    """

    def __init__(self, front_end: FrontEndLike, delivery: Delivery) -> None:
        self._front_end = front_end
        self._delivery = delivery
        self._pending_chars = 0
        self._warned = False

    @property
    def unspoken_chars(self) -> int:
        """Code points that were fed and have not been spoken; any thread may ask."""
        timing = self._delivery.timing
        return self._pending_chars + max(0, timing.fed_char - timing.spoken_char)

    def feed(self, text: str) -> tuple[Symbol, ...]:
        """Takes text; returns the symbols that can no longer change."""
        return self._note(self._front_end.feed(text))

    def flush(self) -> tuple[Symbol, ...]:
        """The rest of the text so far, as if it were final."""
        return self._note(self._front_end.flush())

    def end(self) -> tuple[Symbol, ...]:
        """The rest of the text."""
        return self._note(self._front_end.end())

    def _note(self, output: FrontEndOutput) -> tuple[Symbol, ...]:
        with self._delivery.lock:
            self._delivery.timing.add(output.symbols, output.words)
        self._pending_chars = self._front_end.pending_chars
        if output.warnings and not self._warned:
            self._warned = True  # once is enough
            self._delivery.emit(Warning_(output.warnings[0], "a word has no sound that is known"))
        return output.symbols
