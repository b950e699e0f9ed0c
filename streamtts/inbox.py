"""What a client has sent for one context and nobody has worked on yet."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from streamtts.errors import TextTooLong
from streamtts.text.frontend import FrontEndOutput
from streamtts.text.segmenter import Segmenter

SLICE_CHARS = 48  # worked on at once: first words wait for no others, nobody for a novel
MAX_FLUSHES = 256
MIN_RETRY_MS = 100
TEXT, FLUSH, END = "text", "flush", "end"


class FrontEndLike(Protocol):
    """What a context needs of text/frontend.py."""

    @property
    def pending_chars(self) -> int:
        """Code points fed but not handed on yet."""

    def feed(self, delta: str) -> FrontEndOutput:
        """Takes text."""

    def flush(self) -> FrontEndOutput:
        """Speaks all so far."""

    def end(self) -> FrontEndOutput:
        """Speaks the rest."""


class Piece(NamedTuple):
    """A slice of text, a flush with its id, or the end."""

    kind: str
    value: str | None


class Inbox:
    """Deltas, flushes and the end, in order; any thread may call it, and none waits long.

    Attributes:
        chars: code points taken since the beginning.
        waiting_chars: of those, not taken out yet.
        ended: nothing more is taken.
    """

    def __init__(self) -> None:
        self.chars = 0
        self.waiting_chars = 0
        self.ended = False
        self._lock = threading.Lock()
        self._segmenter = Segmenter()
        self._pieces: deque[Piece] = deque()
        self._flushes = 0
        self._text: list[str] = []

    def feed(self, delta: str) -> None:
        """Takes a delta; halves of surrogate pairs are joined across deltas."""
        with self._lock:
            if not self.ended:
                self._append(self._segmenter.feed(delta))

    def check_room(self, length: int, unspoken: int, limit: int, chars_per_s: float) -> None:
        """Checks that a delta may be taken.

        Args:
            length: of the delta, in code points.
            unspoken: code points that were taken out and not spoken yet.
            limit: of all that waits to be spoken.
            chars_per_s: how fast it is spoken.

        Raises:
            TextTooLong: too much waits; without `retry_after_ms` where it would never fit.
        """
        waiting = self.waiting_chars + unspoken
        if waiting + length <= limit:
            return
        retry_after_ms = None
        if length <= limit:
            excess_s = (waiting + length - limit) / chars_per_s
            retry_after_ms = max(MIN_RETRY_MS, round(excess_s * 1000))
        raise TextTooLong(
            f"{length} characters on top of {waiting} that wait to be spoken are more than {limit}",
            retry_after_ms=retry_after_ms,
        )

    def flush(self, flush_id: str | None) -> None:
        """Takes a flush.

        Raises:
            TextTooLong: too many wait.
        """
        with self._lock:
            if self.ended:
                return
            if self._flushes >= MAX_FLUSHES:
                raise TextTooLong(f"{MAX_FLUSHES} flushes wait already", retry_after_ms=1000)
            self._flushes += 1
            self._append(self._segmenter.flush())
            self._pieces.append(Piece(FLUSH, flush_id))

    def end(self) -> None:
        """Takes the end."""
        with self._lock:
            if not self.ended:
                self.ended = True
                self._append(self._segmenter.flush())
                self._pieces.append(Piece(END, None))

    def end_if_empty(self) -> bool:
        """Takes nothing more, unless something has come in the meantime."""
        with self._lock:
            if self._pieces:
                return False
            self.ended = True
            return True

    def take(self) -> Piece | None:
        """The next piece; a long text comes in slices."""
        with self._lock:
            if not self._pieces:
                return None
            piece = self._pieces.popleft()
            if piece.kind == FLUSH:
                self._flushes -= 1
            elif piece.value is not None:
                rest = piece.value[SLICE_CHARS:]
                if rest:
                    self._pieces.appendleft(Piece(TEXT, rest))
                    piece = Piece(TEXT, piece.value[:SLICE_CHARS])
                self.waiting_chars -= len(piece.value or "")
            return piece

    def text(self, end: int) -> str:
        """The first `end` code points of all that came."""
        with self._lock:
            return "".join(self._text)[:end]

    def _append(self, text: str) -> None:
        if not text:
            return
        self.chars += len(text)
        self.waiting_chars += len(text)
        self._text.append(text)
        if len(self._text) >= SLICE_CHARS:
            self._text = ["".join(self._text)]
        newest = self._pieces[-1] if self._pieces else None
        if newest is not None and newest.kind == TEXT and len(newest.value or "") < SLICE_CHARS:
            self._pieces[-1] = Piece(TEXT, (newest.value or "") + text)
        else:
            self._pieces.append(Piece(TEXT, text))


@dataclass(slots=True)
class Progress:
    """What the text's side knows and the sound's side reports.

    Attributes:
        inbox: what the client has sent.
        reason: why the text ended.
        first_text_s: when the first text came; None before.
        played_samples: the listener's last word on it.
        given_up: the listener takes nothing more; what is cut short now is idle, not cancelled.
    """

    inbox: Inbox
    reason: str = "end"
    first_text_s: float | None = None
    played_samples: int | None = None
    given_up: bool = False
