"""One struct per message of `streamtts.v1`. Unknown fields are ignored; None is "not given"."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from streamtts.protocol.parts import (
    AudioInfo,
    AudioRequest,
    Capabilities,
    Item,
    Limits,
    MelInfo,
    Metrics,
    Spoken,
    Step,
    Symbol,
    VoiceInfo,
)

SUBPROTOCOL = "streamtts.v1"
EVERY = "*"  # in place of a `context_id` of `cancel`

Id = Annotated[str, Meta(min_length=1, max_length=128)]
Samples = Annotated[int, Meta(ge=0, le=2**53)]
OnConflict = Literal["queue", "preempt", "parallel"]
Transport = Literal["binary", "base64"]


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """A message with its `type` as the tag."""


class Hello(_Message, frozen=True, kw_only=True):
    """Defaults of this connection."""

    audio: AudioRequest | None = None
    streams: tuple[str, ...] | None = None
    timestamps: tuple[str, ...] | None = None
    lead_ms: int | None = None
    transport: Transport | None = None


class Open(_Message, frozen=True, kw_only=True):
    """Begins a context; implied by the first `text`, which may carry the same fields."""

    context_id: Id
    voice: str | None = None
    speaker: str | None = None
    speed: float | None = None
    pitch: float | None = None
    pitch_range: float | None = None
    seed: int | None = None
    text_format: str | None = None
    normalize: bool | None = None
    max_buffer_delay_ms: int | None = None
    audio: AudioRequest | None = None
    streams: tuple[str, ...] | None = None
    timestamps: tuple[str, ...] | None = None
    on_conflict: OnConflict | None = None


class Text(Open, frozen=True, kw_only=True, tag="text"):
    """A raw delta of text."""

    text: str


class Flush(_Message, frozen=True, kw_only=True):
    """Speak all so far as if it were final."""

    context_id: Id
    flush_id: Annotated[str, Meta(max_length=128)] | None = None


class End(_Message, frozen=True, kw_only=True):
    """No more text."""

    context_id: Id


class Cancel(_Message, frozen=True, kw_only=True):
    """Barge-in; "*" is every context of the connection."""

    context_id: Id
    played_samples: Samples | None = None


class Playback(_Message, frozen=True, kw_only=True):
    """The listener's clock."""

    context_id: Id
    played_samples: Samples


class Ping(_Message, frozen=True, kw_only=True):
    """Asks for a `pong` with the same `t`."""

    t: float | int | str | None = None


ClientMessage: TypeAlias = Hello | Open | Text | Flush | End | Cancel | Playback | Ping
CLIENT_TYPES = ("hello", "open", "text", "flush", "end", "cancel", "playback", "ping")


class Ready(_Message, frozen=True, kw_only=True):
    """The first message on every connection."""

    session_id: str
    server: str
    voices: tuple[VoiceInfo, ...]
    audio: AudioInfo
    limits: Limits
    capabilities: Capabilities


class Opened(_Message, frozen=True, kw_only=True):
    """A context exists; `handle` is its number in binary frames."""

    context_id: str
    handle: int
    audio: AudioInfo | None = None
    mel: MelInfo | UnsetType = UNSET
    queue_position: int = 0


class Started(_Message, frozen=True, kw_only=True):
    """The first sound follows."""

    context_id: str
    ttfa_ms: float
    queue_ms: float


class Audio(_Message, frozen=True, kw_only=True):
    """A binary frame as JSON, for `transport` base64."""

    context_id: str
    seq: int
    flags: int
    first_sample: int
    data: bytes


class Alignment(_Message, frozen=True, kw_only=True):
    """Where the attention stands."""

    context_id: str
    steps: tuple[Step, ...]
    symbols: tuple[Symbol, ...]


class Words(_Message, frozen=True, kw_only=True):
    """Words with their times."""

    context_id: str
    items: tuple[Item, ...]


class Phones(_Message, frozen=True, kw_only=True):
    """Phones with their times."""

    context_id: str
    items: tuple[Item, ...]


class Flushed(_Message, frozen=True, kw_only=True):
    """Everything before a `flush` has been sent; it ends before `sample`."""

    context_id: str
    flush_id: str | None = None
    sample: int


class Done(_Message, frozen=True, kw_only=True):
    """A context came to its end; `reason` is end or idle."""

    context_id: str
    reason: str
    samples: int
    chars: int
    metrics: Metrics


class Cancelled(_Message, frozen=True, kw_only=True):
    """A context was cut short; nothing more comes of it."""

    context_id: str
    generated_samples: int
    sent_samples: int
    spoken: Spoken


class Warning_(_Message, frozen=True, kw_only=True, tag="warning"):  # noqa: N801 - Warning is a builtin
    """Something was odd and goes on."""

    code: str
    message: str
    context_id: str | UnsetType = UNSET


class Error(_Message, frozen=True, kw_only=True):
    """Something was refused; with `final` its context is over."""

    code: str
    message: str
    context_id: str | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET
    final: bool = False


class Pong(_Message, frozen=True, kw_only=True):
    """The answer to `ping`; `server_t` is the server's clock in seconds since 1970."""

    t: float | int | str | None
    server_t: float


ServerMessage: TypeAlias = (
    Ready
    | Opened
    | Started
    | Audio
    | Alignment
    | Words
    | Phones
    | Flushed
    | Done
    | Cancelled
    | Warning_
    | Error
    | Pong
)


class Malformed(msgspec.Struct, frozen=True, kw_only=True):
    """A frame that is no message: what to answer, and as much of it as could be read."""

    code: str
    message: str
    type: str | None = None
    context_id: str | None = None
