"""One context: its text's side. Deltas wait here until the text thread works on them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from streamtts.audio.formats import AudioFormat
from streamtts.delivery import Delivery, VoiceShape
from streamtts.engine.engine import Engine
from streamtts.engine.sink import StreamRequest
from streamtts.engine.stream import Stream
from streamtts.errors import StreamTTSError
from streamtts.events import Event, Opened
from streamtts.inbox import FLUSH, TEXT, FrontEndLike, Inbox, Progress
from streamtts.reader import Reader
from streamtts.settings import ContextSettings, Limits
from streamtts.text.symbols import Symbol

BACKLOG_SYMBOLS = 1500  # symbols ahead of the voice at which a context's text may wait
FIRST_BACKLOG_SYMBOLS = 64  # the same before the first chunk, which long text must not make late
_CHARS_PER_S = 15.0  # of speech

_logger = logging.getLogger(__name__)


class Context:
    """One utterance or dialogue turn. Every public method returns at once, on any thread.

    Args:
        settings: checked.
        audio: the format with its rate; None when no audio was asked for.
        shape: of the voice.
        request: of its stream.
        engine: speaks.
        front_end: this context's own.
        limits: of the server.
        on_event: the listener.
        wake: asks the text thread to call `work`.
        on_over: told once, with the context and its last event (None: the listener vanished).
        clock: monotonic seconds.
        queued: nothing is spoken before `release`.
        queue_position: where a stream would stand that came now.

    Attributes:
        opened: the event that is sent first.
    """

    def __init__(
        self,
        settings: ContextSettings,
        audio: AudioFormat | None,
        shape: VoiceShape,
        request: StreamRequest,
        engine: Engine,
        front_end: FrontEndLike,
        limits: Limits,
        on_event: Callable[[Event], None],
        *,
        wake: Callable[[Context], None],
        on_over: Callable[[Context, Event | None], None],
        clock: Callable[[], float],
        queued: bool,
        queue_position: int,
    ) -> None:
        self._settings = settings
        self._rate = (audio.sample_rate if audio else None) or shape.sample_rate
        self._request = request
        self._engine = engine
        self._limits = limits
        self._wake = wake
        self._clock = clock
        self._inbox = Inbox()
        self._progress = Progress(self._inbox)
        self._forget = on_over
        self._delivery = Delivery(
            settings,
            audio,
            shape,
            on_event,
            on_starved=self._on_starved,
            on_progress=self._on_progress,
            on_over=self._on_over,
            progress=self._progress,
            clock=clock,
        )
        self._reader = Reader(front_end, self._delivery)
        self.opened: Opened = self._delivery.opened(queue_position)
        # Callers' side; the lock is held for a few assignments only.
        self._lock = threading.Lock()
        self._cancel_asked = False
        self._paused = False
        self._released = not queued
        self._touched_s = clock()
        self._stream: Stream | None = None
        # The text thread's.
        self._unflushed = False
        self._text_s = clock()
        self._text_over = False
        self._begun = False
        self._blocked = False
        self._starved_at = -1

    # --- any thread ---------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """True once `Done`, `Cancelled` or a final `Failed` has been sent."""
        return self._delivery.over

    @property
    def chars(self) -> int:
        """Code points fed."""
        return self._inbox.chars

    @property
    def ttfa_s(self) -> float | None:
        """From the first text to the first chunk; None before it."""
        return self._delivery.ttfa_s

    @property
    def ftts_s(self) -> float | None:
        """From the first text to the first audible sample, played at once; None before it."""
        return self._delivery.ftts_s

    def start(self) -> None:
        """Sends `Opened` and sets the idle alarm."""
        self._delivery.emit(self.opened)
        self._wake(self)

    def feed(self, text: str) -> None:
        """Takes a delta; in silence when the text has ended.

        Raises:
            TextTooLong: too much text waits to be spoken; nothing of this delta was taken.
        """
        if self._refuses or not text:
            return
        limit, speed = self._limits.chars_per_context, self._settings.speed
        self._inbox.check_room(len(text), self._reader.unspoken_chars, limit, _CHARS_PER_S * speed)
        self._touch()
        self._inbox.feed(text)
        self._wake(self)

    def flush(self, flush_id: str | None = None) -> None:
        """Speaks all so far as if final; answered by `Flushed`, in order.

        Raises:
            TextTooLong: too many flushes wait.
        """
        if self._refuses:
            return
        self._inbox.flush(flush_id)
        self._touch()
        self._wake(self)

    def end(self) -> None:
        """No more text: `Done` follows when all is spoken."""
        if not self._refuses:
            self._inbox.end()
            self._wake(self)

    def cancel(self, played_samples: int | None = None) -> None:
        """Stops within one step: a last chunk fades out, then `Cancelled`."""
        with self._lock:
            self._cancel_asked = True
            if played_samples is not None:
                self._progress.played_samples = played_samples
            stream = self._stream
        if stream is not None:
            self._engine.cancel(stream)
        else:
            self._wake(self)

    def playback(self, played_samples: int) -> None:
        """The listener's clock, in samples of the output audio."""
        with self._lock:
            self._touched_s = self._clock()
            self._progress.played_samples = played_samples
            stream = self._stream
        if stream is not None:
            self._engine.playback(stream, played_samples / self._rate)

    def set_paused(self, paused: bool) -> None:
        """Stops and resumes making sound, for a transport whose outbox is full."""
        with self._lock:
            self._paused = paused
            stream = self._stream
        if stream is not None:
            self._engine.set_paused(stream, paused)

    def release(self) -> None:
        """Lets a context that was opened with `queued` speak; otherwise nothing happens."""
        with self._lock:
            self._released = True
            self._touched_s = self._clock()
            if self._progress.first_text_s is not None:
                self._progress.first_text_s = self._touched_s
        self._wake(self)

    @property
    def _refuses(self) -> bool:
        return self._inbox.ended or self._cancel_asked or self._delivery.over

    def _touch(self) -> None:
        self._touched_s = self._text_s = self._clock()
        if self._progress.first_text_s is None:
            self._progress.first_text_s = self._touched_s

    # --- from the engine's side -----------------------------------------------------------------

    def _on_starved(self, symbols: int) -> None:
        self._starved_at = symbols
        self._wake(self)

    def _on_progress(self) -> None:
        self._begun = True
        if self._blocked and self._delivery.timing.backlog < BACKLOG_SYMBOLS:
            self._blocked = False
            self._wake(self)

    def _on_over(self, event: Event | None) -> None:
        if event is None:  # nobody listens: stop making sound
            self.cancel()
        self._forget(self, event)

    # --- the text thread --------------------------------------------------------------------------

    def work(self, now_s: float) -> float | None:
        """Works on the next piece of text; see `textwork.Job`."""
        try:
            return self._work(now_s)
        except StreamTTSError as error:
            self._give_up(error)
        except Exception as error:
            _logger.exception("the text of a context failed; it is ended")
            self._give_up(StreamTTSError(f"internal error: {type(error).__name__}"))
        return None

    def _give_up(self, error: StreamTTSError) -> None:
        self._delivery.failed(error)
        if self._stream is not None:
            self._engine.cancel(self._stream)

    def _work(self, now_s: float) -> float | None:
        if self._delivery.over:
            return None
        if self._cancel_asked:
            if self._stream is None:
                self._delivery.cancelled(None)
            return None
        if not self._released:
            return None
        if self._text_over:
            return self._watch_listener(now_s)
        limit = BACKLOG_SYMBOLS if self._begun else FIRST_BACKLOG_SYMBOLS
        if self._delivery.timing.backlog >= limit:
            self._blocked = True
            if self._begun:  # it began in between, and did not see that this waits
                self._on_progress()
            return self._watch_listener(now_s)
        piece = self._inbox.take()
        if piece is None:
            return self._watch(now_s)
        if piece.kind == TEXT:
            self._unflushed = True
            self._speak(self._reader.feed(piece.value or ""))
        elif piece.kind == FLUSH:
            self._flush()
            self._delivery.flush(piece.value)
        else:
            self._end("end")
        return now_s

    def _watch(self, now_s: float) -> float | None:
        """All text is worked on: what the clock asks for, or when it will."""
        if self._stream is not None and self._starved_at < self._delivery.timing.fed:
            return self._watch_listener(now_s)  # it speaks; `starved` comes
        flush_s = self._text_s + self._settings.max_buffer_delay_ms / 1000
        idle_s = max(self._touched_s, self._delivery.last_sent_s) + self._limits.idle_s
        if self._unflushed and now_s >= flush_s:
            self._flush()
            return now_s
        if now_s >= idle_s:
            if self._inbox.end_if_empty():
                self._end("idle")
            return now_s
        return min(flush_s, idle_s) if self._unflushed else idle_s

    def _watch_listener(self, now_s: float) -> float | None:
        """It speaks: when to see whether the listener still takes it; one who does not is left."""
        if self._stream is None:
            return None
        moved_s = max(self._text_s, self._delivery.last_sent_s) if self._begun else now_s
        idle_s = moved_s + self._limits.idle_s
        if now_s < idle_s:
            return idle_s
        self._text_over = True
        self._inbox.end()
        self._progress.reason = "idle"
        self._progress.given_up = True
        self._engine.cancel(self._stream)
        return None

    def _flush(self) -> None:
        self._unflushed = False
        self._speak(self._reader.flush())
        if self._stream is not None:
            self._engine.flush(self._stream)

    def _end(self, reason: str) -> None:
        self._text_over = True
        self._progress.reason = reason
        self._speak(self._reader.end())
        if self._stream is not None:
            self._engine.end(self._stream)
        else:
            self._delivery.end_unspoken()

    def _speak(self, symbols: Sequence[Symbol]) -> None:
        if symbols:
            self._engine.feed(self._stream or self._submit(), symbols)

    def _submit(self) -> Stream:
        stream = self._engine.submit(self._request, self._delivery)
        self._delivery.set_queue_s(lambda: stream.queue_s)
        with self._lock:
            self._stream = stream
            paused, cancelled = self._paused, self._cancel_asked
        if paused:
            self._engine.set_paused(stream, True)
        if cancelled or self._delivery.over:
            self._engine.cancel(stream)
        return stream
