"""The one API that every transport uses: contexts in, events out. No sockets."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias

from streamtts.audio.formats import resolve
from streamtts.chunks import held_back_s
from streamtts.context import Context
from streamtts.delivery import VoiceShape
from streamtts.engine.engine import Engine
from streamtts.engine.runner import DROPPED_FRAMES
from streamtts.engine.sink import StreamRequest
from streamtts.errors import Loading, Overloaded, StreamTTSError, UnknownVoice
from streamtts.events import Cancelled, Done, Event, Failed
from streamtts.inbox import FrontEndLike
from streamtts.settings import ContextSettings, Limits
from streamtts.stats import ServiceStats
from streamtts.tally import Tally
from streamtts.textwork import TextWorker

__all__ = ["Context", "ContextSettings", "MakeFrontEnd", "Service", "ServiceStats"]

WARM_UP_TEXT = "Ready to speak."
_WARM_UP_TIMEOUT_S = 120.0
TTFA_BOUNDS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)

_logger = logging.getLogger(__name__)

# text_format and normalize to a new context's front end.
MakeFrontEnd: TypeAlias = Callable[[str, bool], FrontEndLike]


class Service:
    """Contexts on top of one engine, with one thread for their text.

    Either `start` runs both on threads, or `turn` is called by hand.

    Args:
        engine: not started.
        voices: ids that the engine's voice goes by; the first is the default.
        limits: `[limits]` of the config.
        make_front_end: see `MakeFrontEnd`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        engine: Engine,
        voices: Sequence[str],
        limits: Limits,
        make_front_end: MakeFrontEnd,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._voices = tuple(voices)
        self._limits = limits
        self._make_front_end = make_front_end
        self._clock = clock
        self._worker = TextWorker(clock)
        runner = engine.runner
        self._shape = VoiceShape(
            runner.sample_rate,
            runner.hop_length,
            runner.n_mels,
            runner.step_frames,
            DROPPED_FRAMES,
        )
        self._changed = threading.Condition()
        self._contexts: set[Context] = set()
        self._ttfa_s = Tally(TTFA_BOUNDS_S)
        self._ftts_s = Tally(TTFA_BOUNDS_S)
        self._totals: Counter[str] = Counter()
        self._running = False
        self._warm = False
        self._draining = False

    @property
    def ready(self) -> bool:
        """True between `warm_up` and `drain`."""
        return self._warm and not self._draining

    @property
    def shape(self) -> VoiceShape:
        """The sizes of the voice's output."""
        return self._shape

    def start(self) -> None:
        """Starts the engine's and the text's thread."""
        self._running = True
        self._engine.start()
        self._worker.start()

    def turn(self) -> bool:
        """A turn of both by hand; False when nothing moved."""
        worked = self._worker.turn()
        return self._engine.step() or worked

    def warm_up(self) -> None:
        """Speaks a sentence to nobody, and waits for its end: then `ready` is True.

        Raises:
            StreamTTSError: it could not be spoken.
        """
        over = threading.Event()
        last: list[Event] = []

        def on_event(event: Event) -> None:
            if isinstance(event, (Done, Cancelled, Failed)):
                last.append(event)
                over.set()

        context = self.open(ContextSettings(lead_ms=0), on_event)
        context.feed(WARM_UP_TEXT)
        context.end()
        while not self._running and not over.is_set():
            self.turn()
        over.wait(_WARM_UP_TIMEOUT_S)
        if not last or not isinstance(last[0], Done):
            raise StreamTTSError(f"the warm-up sentence could not be spoken: {last}")
        with self._changed:
            self._totals.clear()
        self._warm = True

    def open(
        self,
        settings: ContextSettings,
        on_event: Callable[[Event], None],
        *,
        queued: bool = False,
    ) -> Context:
        """Opens a context; sends `Opened` before it returns, from the caller's own thread.

        Later events come from worker threads, one at a time. An `on_event` that raises cancels
        its context. With `queued` nothing is spoken before `Context.release`.

        Raises:
            BadField: a setting out of range.
            UnknownVoice: no such voice.
            Overloaded: no stream more fits and the queue is full; says when to try again.
            Loading: the service is draining.
        """
        settings.check()
        if settings.voice and settings.voice not in self._voices:
            have = ", ".join(self._voices)
            raise UnknownVoice(f"there is no voice {settings.voice[:80]!r}; there is: {have}")
        audio = resolve(settings.audio, self._shape.sample_rate)
        queue_position = self._check_room()
        wants_audio = "audio" in settings.streams
        request = StreamRequest(
            seed=settings.seed,
            speed=settings.speed,
            pitch=settings.pitch,
            pitch_range=settings.pitch_range,
            audio=wants_audio,
            mel="mel" in settings.streams,
            lead_s=settings.lead_ms / 1000,
            tail_s=held_back_s(audio, self._shape.sample_rate) if wants_audio else 0.0,
        )
        context = Context(
            settings,
            audio if wants_audio else None,
            self._shape,
            request,
            self._engine,
            self._make_front_end(settings.text_format, settings.normalize),
            self._limits,
            on_event,
            wake=self._worker.ready,
            on_over=self._forget,
            clock=self._clock,
            queued=queued,
            queue_position=queue_position,
        )
        self._enter(context)
        context.start()
        return context

    def drain(self) -> None:
        """Refuses new contexts from now on; those that run go on to their end."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()

    def wait_idle(self, timeout_s: float) -> bool:
        """Blocks until no context is left, or the time is over; returns whether none is left."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._contexts, timeout=timeout_s)

    def close(self) -> None:
        """Cancels what still runs and stops the threads; blocks until they have ended."""
        self.drain()
        self._worker.close()
        with self._changed:
            left = list(self._contexts)
        for context in left:
            context.cancel()
        self._engine.close()
        while self._worker.turn():  # contexts that had no stream yet
            pass
        self._running = False

    def stats(self) -> ServiceStats:
        """What /metrics shows."""
        engine = self._engine
        tallies = engine.tallies
        with self._changed:
            totals = Counter(self._totals)
            alive = list(self._contexts)
        return ServiceStats(
            contexts=len(alive),
            streams=engine.active,
            waiting=engine.waiting,
            slots=engine.runner.slots,
            opened=totals["opened"],
            done=totals["done"],
            cancelled=totals["cancelled"],
            failed=totals["failed"],
            steps=engine.steps,
            stream_steps=engine.stream_steps,
            audio_s=engine.stream_steps * engine.step_s,
            compute_s=engine.compute_s,
            underruns=engine.underruns,
            starved_s=engine.starved_s,
            chars=totals["chars"] + sum(context.chars for context in alive),
            capacity=engine.capacity,
            refused=totals["refused"] + engine.refused,
            expired=tallies.expired,
            step_s=tallies.step_s.snapshot(),
            step_rows=tallies.step_rows.snapshot(),
            vocoder_s=tallies.sound_s.snapshot(),
            vocoder_rows=tallies.sound_rows.snapshot(),
            queue_s=tallies.queue_s.snapshot(),
            ttfa_s=self._ttfa_s.snapshot(),
            ftts_s=self._ftts_s.snapshot(),
            cancel_s=tallies.cancel_s.snapshot(),
            cancel_steps=tallies.cancel_steps,
            leads_s=engine.leads_s(),
        )

    def _check_room(self) -> int:
        try:
            return self._engine.check_room()
        except Overloaded:
            with self._changed:
                self._totals["refused"] += 1
            raise

    def _enter(self, context: Context) -> None:
        with self._changed:
            if self._draining:
                raise Loading("the server is going away; nothing new is taken")
            if len(self._contexts) >= self._limits.all_contexts:
                self._totals["refused"] += 1
                raise Overloaded(
                    f"{self._limits.all_contexts} contexts are open; retry in a second",
                    retry_after_ms=1000,
                )
            self._contexts.add(context)
            self._totals["opened"] += 1

    def _forget(self, context: Context, event: Event | None) -> None:
        how = {Done: "done", Failed: "failed"}.get(type(event), "cancelled")
        self._worker.forget(context)
        with self._changed:
            self._contexts.discard(context)
            self._totals[how] += 1
            self._totals["chars"] += context.chars
            if context.ttfa_s is not None:
                self._ttfa_s.add(context.ttfa_s)
            if context.ftts_s is not None:
                self._ftts_s.add(context.ftts_s)
            self._changed.notify_all()
        _logger.info("context %s", _summary(how, context.chars, event))


def _summary(how: str, chars: int, event: Event | None) -> str:
    """The operator's line: key=value."""
    line = f"ended={how} chars={chars}"
    if isinstance(event, Done):
        line += (
            f" reason={event.reason} samples={event.samples} ttfa_ms={event.ttfa_ms:.0f}"
            f" rtf={event.rtf:.3f} queue_ms={event.queue_ms:.0f} underruns={event.underruns}"
            f" starved_ms={event.starved_ms:.0f}"
        )
    elif isinstance(event, Failed):
        line += f" code={event.code}"
    elif isinstance(event, Cancelled):
        line += f" sent_samples={event.sent_samples}"
    return line
