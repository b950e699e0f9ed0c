"""Speech without a server: `Speech.load().stream(deltas)`."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from streamtts.audio.files import SoundFileWriter
from streamtts.audio.formats import AudioFormat, from_bytes
from streamtts.config import Config
from streamtts.engine.engine import Engine
from streamtts.engine.runner import Runner
from streamtts.errors import ConfigError, StreamStuck, StreamTTSError, VoiceError
from streamtts.events import AudioChunk, Event, Failed, Warning_
from streamtts.inbox import FrontEndLike
from streamtts.service import ContextSettings, Service
from streamtts.text.frontend import FrontEnd
from streamtts.text.phonemes import Pronouncer, load_lexicon
from streamtts.text.user_lexicon import load_user_lexicon
from streamtts.voice.manifest import Manifest
from streamtts.voice.store import SHIPPED, list_voices, load_voice

__all__ = ["ContextSettings", "Speech", "build"]

_DELTA_CHARS = 4096  # a longer delta is taken in pieces, so that sound comes out in between
_NO_LIMIT = 2**40

_logger = logging.getLogger(__name__)


def build(
    config: Config, *, clock: Callable[[], float] = time.monotonic
) -> tuple[Service, Manifest]:
    """Loads a voice and puts engine and service on top; nothing is started.

    Args:
        config: `engine`, `voice` and `limits` are read.
        clock: monotonic seconds.

    Raises:
        VoiceError: there is no voice, or it is damaged.
        UnknownVoice: there is none of that id.
        ConfigError: the user lexicon cannot be read, or there is no CUDA device.
    """
    directories = (Path(config.voice.dir), SHIPPED) if config.voice.dir else (SHIPPED,)
    voice_id = config.voice.id
    if not voice_id:
        found = list_voices(directories)
        if not found:
            where = ", ".join(map(str, directories))
            raise VoiceError(f"there is no voice in {where}; train one with `streamtts train`")
        voice_id = found[0].id
    voice = load_voice(voice_id, directories)
    device = _device(config.engine.device)
    if config.engine.bfloat16 and (device.type != "cpu" or not voice.vocoder.use_bfloat16()):
        _logger.warning("engine.bfloat16: this machine is no faster with it; float32 is used")
    torch.set_num_threads(max(1, config.engine.threads // 2))
    words = load_user_lexicon(Path(config.voice.lexicon)) if config.voice.lexicon else {}
    pronouncer = Pronouncer(load_lexicon(), words)

    def make_front_end(text_format: str, normalize: bool) -> FrontEndLike:
        return FrontEnd(pronouncer, text_format=text_format, normalize=normalize)

    runner = Runner(
        voice.acoustic.to(device),
        voice.vocoder.to(device),
        slots=config.engine.slots,
        f0_mean_ln=voice.manifest.f0_mean_ln,
    )
    engine = Engine(runner, config.engine, clock=clock)
    service = Service(engine, (voice.id,), config.limits, make_front_end, clock=clock)
    return service, voice.manifest


def _device(wanted: str) -> torch.device:
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ConfigError('engine.device: there is no CUDA device; use "cpu" or "auto"')
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


class Speech:
    """A voice that speaks in the caller's own thread, as far as text and caller go.

    Nothing here depends on time: the sound for the text that has come is made before the next
    delta is asked for, and what needs more text waits for it, however long that takes. A delta of
    None says: speak all so far as if it were final.

    Args:
        service: not started, on a clock that stands still.
        sample_rate: Hz of the voice.
    """

    def __init__(self, service: Service, sample_rate: int) -> None:
        self._service = service
        self.sample_rate = sample_rate

    @classmethod
    def load(cls, config: Config | None = None) -> Speech:
        """Loads a voice; sets the number of torch's threads to `engine.threads`.

        Args:
            config: `voice` and `engine` are read; None for the shipped voice.

        Raises:
            VoiceError: there is no voice, or it is damaged.
            UnknownVoice: there is none of that id.
        """
        config = config or Config()
        patient = msgspec.structs.replace(
            config.limits, idle_s=float(_NO_LIMIT), chars_per_context=_NO_LIMIT
        )
        config = msgspec.structs.replace(config, limits=patient)
        service, manifest = build(config, clock=lambda: 0.0)
        return cls(service, manifest.sample_rate)

    def __enter__(self) -> Speech:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes it."""
        self.close()

    def close(self) -> None:
        """Ends what still speaks."""
        self._service.close()

    def events(
        self, deltas: str | Iterable[str | None], settings: ContextSettings | None = None
    ) -> Iterator[Event]:
        """Speaks text as it comes.

        Args:
            deltas: text in pieces, cut anywhere.
            settings: `lead_ms` and `max_buffer_delay_ms` mean nothing here.

        Yields:
            everything that a server's client would be told (streamtts/events.py).

        Raises:
            StreamTTSError: the text cannot be spoken.
        """
        settings = msgspec.structs.replace(settings or ContextSettings(), lead_ms=0)
        happened: deque[Event] = deque()
        context = self._service.open(settings, happened.append)
        try:
            for delta in [deltas] if isinstance(deltas, str) else deltas:
                if delta is None:
                    context.flush()
                for start in range(0, len(delta or ""), _DELTA_CHARS):
                    context.feed((delta or "")[start : start + _DELTA_CHARS])
                    yield from self._pump(happened)
                yield from self._pump(happened)
            context.end()
            yield from self._pump(happened)
            if not context.ended:
                raise StreamStuck("the voice stopped before the end of its text")
        finally:
            context.cancel()
            while not context.ended and self._service.turn():
                pass

    def stream(
        self, deltas: str | Iterable[str | None], settings: ContextSettings | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Speaks text as it comes: chunks of float32 (S,), full scale at 1.

        Args:
            deltas: text in pieces, cut anywhere.
            settings: of `audio`, rate and `frame_ms` are read.

        Yields:
            the sound, in chunks of `frame_ms`.

        Raises:
            StreamTTSError: the text cannot be spoken.
        """
        settings = settings or ContextSettings()
        audio = AudioFormat("pcm_f32le", settings.audio.sample_rate, settings.audio.frame_ms)
        settings = msgspec.structs.replace(settings, audio=audio)
        for event in self.events(deltas, settings):
            if isinstance(event, AudioChunk) and event.samples:
                yield from_bytes(event.data, "pcm_f32le")

    def say(self, text: str, settings: ContextSettings | None = None) -> NDArray[np.float32]:
        """Speaks a whole text: float32 (S,)."""
        return np.concatenate([np.zeros(0, np.float32), *self.stream(text, settings)])

    def write(
        self,
        text: str | Iterable[str | None],
        path: str | Path,
        settings: ContextSettings | None = None,
    ) -> int:
        """Speaks into a file, as the text comes.

        Args:
            text: whole or in pieces.
            path: its ending chooses the format, see `streamtts.audio.files`.
            settings: as for `stream`.

        Returns:
            the number of samples written.

        Raises:
            BadField: an ending that is not known.
            StreamTTSError: the text cannot be spoken.
        """
        rate = (settings and settings.audio.sample_rate) or self.sample_rate
        with SoundFileWriter(path, rate) as file:
            for chunk in self.stream(text, settings):
                file.write(chunk)
            return file.samples

    def _pump(self, happened: deque[Event]) -> Iterator[Event]:
        """Lets the voice go on until it needs more text."""
        moved = True
        while moved:
            moved = self._service.turn()
            while happened:
                event = happened.popleft()
                if isinstance(event, Failed):
                    error = StreamTTSError(event.message)
                    error.code = event.code
                    raise error
                if isinstance(event, Warning_):
                    _logger.warning("%s: %s", event.code, event.message)
                yield event
