"""A `Service` without engine, text work or torch: every word becomes one chunk of 640 samples.

Its events come from one worker thread, as the real one's do. The text "endless" goes on until it
is paused or cancelled, and shows what has been done to it in `FakeContext.calls`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from streamtts import events
from streamtts.errors import Loading, Overloaded, StreamTTSError, TextTooLong
from streamtts.protocol.parts import VoiceInfo
from streamtts.settings import ContextSettings
from streamtts.stats import ServiceStats

CHUNK_SAMPLES = 640
RATE = 16000
VOICES = (
    VoiceInfo(id="fake", name="Fake", language="en-US", sample_rate=RATE),
    VoiceInfo(id="other", name="Other", language="en-US", sample_rate=RATE),
)


class FakeContext:
    def __init__(
        self,
        service: FakeService,
        settings: ContextSettings,
        on_event: Callable[[events.Event], None],
        queued: bool,
    ) -> None:
        self.settings = settings
        self.calls: list[tuple[str, object]] = []
        self.text = ""
        self.samples = 0
        self.seq = 0
        self.ended = False
        self.paused = False
        self.progress = threading.Condition()
        self._service = service
        self._on_event = on_event
        self._held: list[Callable[[], None]] | None = [] if queued else None
        rate = settings.audio.sample_rate or RATE
        info = events.AudioInfo(settings.audio.encoding, rate, 1, settings.audio.frame_ms)
        self.opened = events.Opened(
            info if "audio" in settings.streams else None,
            events.MelInfo(80, 200, RATE) if "mel" in settings.streams else None,
        )
        on_event(self.opened)

    def feed(self, text: str) -> None:
        if len(text) > self._service.chars_per_context:
            raise TextTooLong("too much text waits to be spoken", retry_after_ms=500)
        self._note("feed", text)
        self._do(lambda: self._speak(text))

    def flush(self, flush_id: str | None = None) -> None:
        self._note("flush", flush_id)
        self._do(lambda: self._emit(events.Flushed(flush_id, self.samples)))

    def end(self) -> None:
        self._note("end", None)
        self._do(self._done)

    def cancel(self, played_samples: int | None = None) -> None:
        self._note("cancel", played_samples)
        self._held = None
        self._do(lambda: self._cancel(played_samples))

    def playback(self, played_samples: int) -> None:
        self._note("playback", played_samples)

    def set_paused(self, paused: bool) -> None:
        self._note("set_paused", paused)
        self.paused = paused
        if not paused and self.text == "endless":
            self._do(self._endless)

    def release(self) -> None:
        self._note("release", None)
        held, self._held = self._held or [], None
        for job in held:
            self._do(job)

    def fail(self, error: StreamTTSError) -> None:
        """For tests: the engine gives up on this context."""
        failed = events.Failed(error.code, str(error), error.retry_after_ms, True)
        self._do(lambda: self._finish(failed))

    def tell(self, event: events.Event) -> None:
        """For tests: an event of the worker thread."""
        ends = isinstance(event, events.Done)
        self._do(lambda: self._finish(event) if ends else self._emit(event))

    def wait_for(self, call: tuple[str, object], timeout_s: float = 10.0) -> None:
        with self.progress:
            assert self.progress.wait_for(lambda: call in self.calls, timeout_s), self.calls

    def _note(self, name: str, value: object) -> None:
        with self.progress:
            self.calls.append((name, value))
            self.progress.notify_all()

    def _do(self, job: Callable[[], None]) -> None:
        if self._held is not None:
            self._held.append(job)
        else:
            self._service.worker.submit(job)

    def _emit(self, event: events.Event) -> None:
        if not self.ended:
            self._on_event(event)

    def _speak(self, text: str) -> None:
        start = len(self.text)
        self.text += text
        if self.text == "endless":
            self._endless()
            return
        for word in text.split():
            char_start = start + text.index(word)
            item = events.TimedItem(
                self.seq, word, self.samples, None, char_start, char_start + len(word)
            )
            if "word" in self.settings.timestamps:
                self._emit(events.Words((item,)))
            self._chunk(0)

    def _endless(self) -> None:
        if not self.paused and not self.ended:
            self._chunk(0)
            time.sleep(0.001)  # forty times faster than it is played
            self._do(self._endless)

    def _chunk(self, flags: int) -> None:
        if self.seq == 0:
            self._emit(events.Started(1.5, 0.5))
            flags |= events.FLAG_FIRST
        if "audio" in self.settings.streams:
            data = bytes([self.seq % 256]) * 2 * CHUNK_SAMPLES
            self._emit(events.AudioChunk(self.seq, flags, self.samples, data, CHUNK_SAMPLES))
        if "mel" in self.settings.streams:
            mel = bytes(160 * 3)
            self._emit(events.MelChunk(self.seq, flags | events.FLAG_MEL, self.samples, mel))
        if "alignment" in self.settings.streams:
            step = events.AlignmentStep(self.samples, self.seq, 0.5)
            symbol = events.AlignmentSymbol(self.seq, "ah", 0, 1)
            self._emit(events.Alignment((step,), (symbol,)))
        self.seq += 1
        self.samples += CHUNK_SAMPLES

    def _done(self) -> None:
        self._chunk(events.FLAG_LAST)
        self._finish(
            events.Done("end", self.samples, len(self.text), 1.5, 0.05, 0.5, self.seq, 0, 0.0)
        )

    def _cancel(self, played: int | None) -> None:
        if self.seq:
            self._chunk(events.FLAG_LAST | events.FLAG_FADED)
        heard = self.samples if played is None else min(played, self.samples)
        text = self.text[: heard // CHUNK_SAMPLES]
        self._finish(events.Cancelled(self.samples, self.samples, len(text), 0, text))

    def _finish(self, event: events.Event) -> None:
        if not self.ended:
            self._emit(event)
            self.ended = True
            self._service.forget(self)


class FakeService:
    """Takes contexts until it drains; `capacity` of them at a time."""

    def __init__(self, *, capacity: int = 100, chars_per_context: int = 20_000) -> None:
        self.capacity = capacity
        self.chars_per_context = chars_per_context
        self.contexts: list[FakeContext] = []
        self.alive: set[FakeContext] = set()
        self.draining = False
        self.closed = False
        self.changed = threading.Condition()
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="fake service")

    def open(
        self,
        settings: ContextSettings,
        on_event: Callable[[events.Event], None],
        *,
        queued: bool = False,
    ) -> FakeContext:
        if self.draining:
            raise Loading("the server is draining", retry_after_ms=1000)
        if len(self.alive) >= self.capacity:
            raise Overloaded("every slot is taken", retry_after_ms=250)
        context = FakeContext(self, settings, on_event, queued)
        with self.changed:
            self.contexts.append(context)
            self.alive.add(context)
            self.changed.notify_all()
        return context

    def forget(self, context: FakeContext) -> None:
        with self.changed:
            self.alive.discard(context)
            self.changed.notify_all()

    def wait_alive(self, number: int, timeout_s: float = 10.0) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.alive) == number, timeout_s), self.alive

    def drain(self) -> None:
        self.draining = True

    def close(self) -> None:
        self.closed = True
        for context in tuple(self.alive):
            context.cancel()
        self.worker.shutdown()

    def stats(self) -> ServiceStats:
        return ServiceStats(
            contexts=len(self.alive),
            streams=len(self.alive),
            waiting=0,
            slots=self.capacity,
            opened=len(self.contexts),
            done=0,
            cancelled=0,
            failed=0,
            steps=7,
            stream_steps=7,
            audio_s=1.25,
            compute_s=0.05,
            underruns=0,
            starved_s=0.0,
            chars=sum(len(context.text) for context in self.contexts),
        )
