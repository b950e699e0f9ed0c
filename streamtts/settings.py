"""What a context may ask for, and the ranges that are accepted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from streamtts.audio.formats import AudioFormat
from streamtts.config import MAX_BUFFER_DELAY_MS, MAX_LEAD_MS
from streamtts.errors import BadField

STREAMS = ("audio", "mel", "alignment")
TIMESTAMPS = ("word", "phone")
TEXT_FORMATS = ("plain", "markdown")
MAX_SEED = 2**31 - 1


class ContextSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one context is to be spoken and delivered.

    Attributes:
        voice: id of a voice; None for the server's own.
        speaker: None or "": a voice has one speaker so far.
        speed: 0.5 to 2; 2 is twice as fast.
        pitch: 0.5 to 2; ratio of F0.
        pitch_range: 0 to 2; 0 is monotone, 1 as learned.
        seed: 0 to 2**31 - 1; the same text and seed give the same samples.
        text_format: "plain" or "markdown".
        normalize: False when numbers and abbreviations are already words.
        max_buffer_delay_ms: 0 to 10,000; how long text may stall before what has arrived is
            spoken as if it were all.
        audio: encoding, rate and chunk length.
        streams: what is pushed, of STREAMS.
        timestamps: of TIMESTAMPS.
        lead_ms: 0 to 60,000; how far ahead of the listener sound is made; 0 for no bound.
    """

    voice: str | None = None
    speaker: str | None = None
    speed: float = 1.0
    pitch: float = 1.0
    pitch_range: float = 1.0
    seed: int = 0
    text_format: str = "plain"
    normalize: bool = True
    max_buffer_delay_ms: int = 600
    audio: AudioFormat = AudioFormat()
    streams: tuple[str, ...] = ("audio",)
    timestamps: tuple[str, ...] = ()
    lead_ms: int = 2000

    def check(self) -> None:
        """Checks every field but `voice` and `audio`, which only the service can judge.

        Raises:
            BadField: the first field that is out of range, with what would be right.
        """
        _between("speed", self.speed, 0.5, 2.0)
        _between("pitch", self.pitch, 0.5, 2.0)
        _between("pitch_range", self.pitch_range, 0.0, 2.0)
        _between("seed", self.seed, 0, MAX_SEED)
        _between("max_buffer_delay_ms", self.max_buffer_delay_ms, 0, MAX_BUFFER_DELAY_MS)
        _between("lead_ms", self.lead_ms, 0, MAX_LEAD_MS)
        if self.speaker:
            raise BadField(f"speaker {self.speaker[:40]!r}: voices with several speakers: not yet")
        if self.text_format == "ssml":
            raise BadField("text_format 'ssml': not yet; use one of plain, markdown")
        _among("text_format", (self.text_format,), TEXT_FORMATS)
        _among("streams", self.streams, STREAMS)
        _among("timestamps", self.timestamps, TIMESTAMPS)
        if not {"audio", "mel"} & set(self.streams):
            raise BadField("streams must hold audio or mel")


class Limits(Protocol):
    """What a context needs of `[limits]`."""

    @property
    def chars_per_context(self) -> int:
        """Code points waiting to be spoken."""

    @property
    def all_contexts(self) -> int:
        """Contexts alive at a time."""

    @property
    def idle_s(self) -> float:
        """Seconds without text or sound after which a context ends."""


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also refuses nan
        raise BadField(f"{name} must be between {_plain(low)} and {_plain(high)}, not {value!r}")


def _plain(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _among(name: str, values: Sequence[str], allowed: Sequence[str]) -> None:
    for value in values:
        if value not in allowed:
            raise BadField(f"{name}: {value[:40]!r} is not one of {', '.join(allowed)}")
