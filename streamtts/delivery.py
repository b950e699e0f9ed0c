"""What the engine makes for one context, turned into events for its listener, in order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamtts.audio.formats import AudioFormat
from streamtts.chunks import AudioPath, MelPath
from streamtts.engine.sink import Chunk, StreamStats
from streamtts.errors import StreamTTSError
from streamtts.events import (
    FLAG_FILLER,
    AudioChunk,
    AudioInfo,
    Cancelled,
    Done,
    Event,
    Failed,
    MelChunk,
    MelInfo,
    Opened,
    Started,
    Warning_,
)
from streamtts.inbox import Progress
from streamtts.settings import ContextSettings
from streamtts.timing import Timing

FILLER_S = 0.2
AUDIBLE = 0.01  # of full scale
_MEL_FLOOR = -11.512925464970229  # ln 1e-5

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VoiceShape:
    """The sizes of a voice's output.

    Attributes:
        sample_rate: Hz.
        hop_length: samples a frame.
        n_mels: bins a frame.
        step_frames: frames a decoder step.
        dropped_frames: of the first step, that nobody hears.
    """

    sample_rate: int
    hop_length: int
    n_mels: int
    step_frames: int
    dropped_frames: int


class Delivery:
    """The sound's side of one context; a sink of the engine.

    Args:
        settings: of the context.
        audio: the format with its rate; None when no audio was asked for.
        shape: of the voice.
        on_event: the listener.
        on_starved: told how many symbols had been fed when all of them were spoken.
        on_progress: told after every chunk.
        on_over: told once, with the last event; None when the listener has vanished.
        progress: shared with the text's side.
        clock: monotonic seconds.

    Attributes:
        lock: guards `timing` and the order of events.
        timing: fed by the text's side, under `lock`.
        over: the last event has been sent.
        last_sent_s: when sound last went out.
        ftts_s: from the first text to the first audible sample, played at once; None before it.
    """

    def __init__(
        self,
        settings: ContextSettings,
        audio: AudioFormat | None,
        shape: VoiceShape,
        on_event: Callable[[Event], None],
        *,
        on_starved: Callable[[int], None],
        on_progress: Callable[[], None],
        on_over: Callable[[Event | None], None],
        progress: Progress,
        clock: Callable[[], float],
    ) -> None:
        self.lock = threading.RLock()
        self.over = False
        self.last_sent_s = clock()
        self._shape = shape
        self._on_event = on_event
        self._on_starved = on_starved
        self._on_progress = on_progress
        self._on_over = on_over
        self._progress = progress
        self._clock = clock
        self._path = None if audio is None else AudioPath(audio, shape.sample_rate)
        self._rate = self._path.rate if self._path else shape.sample_rate
        frame = shape.hop_length * self._rate / shape.sample_rate
        self._speed = settings.speed
        self._mel = MelPath(frame) if "mel" in settings.streams else None
        self.timing = Timing(
            shape.step_frames * frame / settings.speed,
            dropped_samples=shape.dropped_frames * frame / settings.speed,
            alignment="alignment" in settings.streams,
            words="word" in settings.timestamps,
            phones="phone" in settings.timestamps,
        )
        self._audio_info = None
        if audio is not None:
            self._audio_info = AudioInfo(audio.encoding, self._rate, 1, audio.frame_ms)
        self._started: Started | None = None
        self._queue_s: Callable[[], float] = lambda: 0.0
        self.ftts_s: float | None = None

    # --- events -----------------------------------------------------------------------------

    def opened(self, queue_position: int) -> Opened:
        """What the listener is told first."""
        shape = self._shape
        mel = None
        if self._mel is not None:
            mel = MelInfo(shape.n_mels, shape.hop_length, shape.sample_rate)
        return Opened(self._audio_info, mel, queue_position)

    def emit(self, event: Event) -> None:
        """Tells the listener, unless it is over; one that raises is not told anything more."""
        with self.lock:
            if self.over:
                return
            last = isinstance(event, (Done, Cancelled)) or (
                isinstance(event, Failed) and event.final
            )
            try:
                self._on_event(event)
            except Exception:
                _logger.exception("a listener failed; its context is cancelled")
                self.over = True
                self._on_over(None)
                return
            if last:
                self.over = True
                self._on_over(event)

    def set_queue_s(self, queue_s: Callable[[], float]) -> None:
        """Where to ask how long the stream waited for its slot."""
        self._queue_s = queue_s

    @property
    def ttfa_s(self) -> float | None:
        """From the first text to the first chunk; None before it."""
        return None if self._started is None else self._started.ttfa_ms / 1000

    @property
    def sent_samples(self) -> int:
        """Output samples that the listener has been given."""
        path = self._path or self._mel
        return path.sent if path else 0

    # --- the engine's sink --------------------------------------------------------------------

    def deliver(self, chunk: Chunk) -> float:
        """Takes what the engine has made; returns the seconds that went to the listener."""
        with self.lock:
            before = self.sent_samples
            if not self.over:
                self.timing.advance(chunk.steps)
                self._send(chunk)
            for flushed in self.timing.flushed(self.sent_samples):
                self.emit(flushed)
            sent_s = (self.sent_samples - before) / self._rate
        if sent_s > 0:
            self.last_sent_s = self._clock()
        self._on_progress()
        return sent_s

    def starved(self, symbols: int) -> None:
        """Everything fed has been spoken."""
        self._on_starved(symbols)

    def ended(self, stats: StreamStats) -> None:
        """The last chunk has been delivered."""
        with self.lock:
            if stats.steps == 0:
                self._send_filler()
            self._finish(stats)

    def cancelled(self, stats: StreamStats | None) -> None:
        """Cut short: what was sent last is faded out. None for a stream that never was."""
        with self.lock:
            if self.over:
                return
            fade = self._path.fade() if self._path else None
            if fade is not None:
                self._send_audio(fade)
            cut = self._mel.cut() if self._mel else None
            if cut is not None:
                self.emit(cut)
            if self._progress.given_up and stats is not None:
                self._finish(stats)
                return
            sent = self.sent_samples
            generated = self._path.generated if self._path else sent
            played = self._progress.played_samples
            heard = sent if played is None else max(0, min(played, sent))
            chars, words = self.timing.heard(heard)
            text = self._progress.inbox.text(chars)
            self.emit(Cancelled(max(generated, sent), sent, chars, words, text))

    def failed(self, error: StreamTTSError) -> None:
        """The context is over because of an error."""
        self.emit(Failed(error.code, str(error), error.retry_after_ms, final=True))

    # --- without the engine -------------------------------------------------------------------

    def end_unspoken(self) -> None:
        """The text is over and there was nothing to say; text gets a short silence."""
        with self.lock:
            if self._progress.inbox.chars:
                self._send_filler()
            self._finish(StreamStats(0, 0.0, 0.0, 0, 0.0))

    def flush(self, flush_id: str | None) -> None:
        """All text so far has been handed on; `Flushed` follows when it has been sent."""
        with self.lock:
            self.timing.flush(flush_id)
            self.tell_flushes()

    def tell_flushes(self) -> None:
        """Answers the flushes before which everything has been sent already."""
        with self.lock:
            for flushed in self.timing.flushed(self.sent_samples):
                self.emit(flushed)

    # --- inside -------------------------------------------------------------------------------

    def _send(self, chunk: Chunk) -> None:
        if chunk.mel is not None and self._mel is not None:
            mel = self._mel.push(chunk.mel, last=chunk.last)
            if self._path is None:
                self._tell_times(self._mel.sent)
            self._send_mel(mel)
        if chunk.samples is not None and self._path is not None:
            if self.ftts_s is None:
                self._find_sound(chunk.samples, self._path.generated / self._rate)
            for audio in self._path.push(chunk.samples):
                self._send_audio(audio)
            if chunk.last:
                for audio in self._path.finish():
                    self._send_audio(audio)

    def _find_sound(self, samples: NDArray[np.float32], before_s: float) -> None:
        """Looks for the first audible sample, `before_s` of sound lie before these."""
        found = np.flatnonzero(np.abs(samples) > AUDIBLE)
        begun_s = self._progress.first_text_s
        if len(found) and begun_s is not None:
            delay_s = before_s + float(found[0]) / self._shape.sample_rate
            ttfa_s = self.ttfa_s
            first_s = self._clock() - begun_s if ttfa_s is None else ttfa_s
            self.ftts_s = first_s + delay_s

    def _send_audio(self, chunk: AudioChunk) -> None:
        self._tell_times(chunk.first_sample + chunk.samples)
        self._start()
        self.emit(chunk)

    def _send_mel(self, chunk: MelChunk) -> None:
        self._start()
        self.emit(chunk)

    def _tell_times(self, until: int) -> None:
        for event in self.timing.due(until):
            self._start()
            self.emit(event)

    def _start(self) -> None:
        if self._started is None:
            first_s = self._progress.first_text_s
            ttfa_s = 0.0 if first_s is None else self._clock() - first_s
            self._started = Started(ttfa_s * 1000, self._queue_s() * 1000)
            self.emit(self._started)

    def _send_filler(self) -> None:
        self.emit(Warning_("nothing_to_speak", "the text holds nothing that can be spoken"))
        length = round(FILLER_S * self._shape.sample_rate)
        samples, mel = None, None
        if self._path is not None:
            self._path.flags = FLAG_FILLER
            samples = np.zeros(length, np.float32)
        if self._mel is not None:
            self._mel.flags = FLAG_FILLER
            frames = length // self._shape.hop_length
            mel = np.full((frames, self._shape.n_mels), _MEL_FLOOR, np.float32)
        self._send(Chunk(samples, mel, (), last=True))

    def _finish(self, stats: StreamStats) -> None:
        self.tell_flushes()
        step_s = self._shape.step_frames * self._shape.hop_length / self._shape.sample_rate
        sound_s = stats.steps * step_s / self._speed
        done = Done(
            reason=self._progress.reason,
            samples=self.sent_samples,
            chars=self._progress.inbox.chars,
            ttfa_ms=self._started.ttfa_ms if self._started else 0.0,
            rtf=stats.compute_s / sound_s if sound_s else 0.0,
            queue_ms=stats.queue_s * 1000,
            steps=stats.steps,
            underruns=stats.underruns,
            starved_ms=stats.starved_s * 1000,
        )
        self.emit(done)
