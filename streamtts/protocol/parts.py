"""The objects inside messages."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class AudioRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The `audio` of `hello` and `open`."""

    encoding: str | None = None
    sample_rate: int | None = None
    frame_ms: int | None = None


class VoiceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A voice that the server has."""

    id: str
    name: str = ""
    language: str = ""
    description: str = ""
    sample_rate: int = 0


class AudioInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Sound as it will come."""

    encoding: str
    sample_rate: int
    channels: int = 1
    frame_ms: int | None = None


class MelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Mel frames as they will come; `hop_length` in samples at `sample_rate`."""

    n_mels: int
    hop_length: int
    sample_rate: int


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection may ask for."""

    contexts: int
    chars_per_context: int
    message_bytes: int
    idle_s: float


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What this server can; names as in `hello` and `open`."""

    encodings: tuple[str, ...] = ()
    sample_rates: tuple[int, ...] = ()
    streams: tuple[str, ...] = ()
    timestamps: tuple[str, ...] = ()
    transports: tuple[str, ...] = ()
    text_formats: tuple[str, ...] = ()
    on_conflict: tuple[str, ...] = ()


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """From `sample` on the attention stood on `position`."""

    sample: int
    position: int
    hazard: float


class Symbol(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol that was entered, with its span in the client's text."""

    position: int
    phone: str
    char_start: int
    char_end: int


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A word or phone: samples of the audio, code points of the client's text."""

    index: int
    text: str
    start: int
    end: int | UnsetType = UNSET
    char_start: int
    char_end: int


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """How a context went."""

    ttfa_ms: float
    rtf: float
    queue_ms: float
    steps: int
    underruns: int
    starved_ms: float


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """What was heard: code points, whole words, and the text itself."""

    chars: int
    words: int
    text: str
