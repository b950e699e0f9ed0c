"""A connection's contexts as records, and what the transport is asked to do with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET

from streamtts import events
from streamtts.errors import StreamTTSError
from streamtts.protocol import messages
from streamtts.protocol.codec import encode
from streamtts.protocol.table import State

NOT_SETTINGS = frozenset({"type", "context_id", "on_conflict", "transport", "text"})

S = TypeVar("S")
Given: TypeAlias = Mapping[str, Any]


@dataclass(eq=False, slots=True)
class Record(Generic[S]):
    """One context of a connection, from its opening to its end.

    Attributes:
        context_id: the client's name for it.
        handle: its number in binary frames.
        settings: what it was opened with.
        base64: chunks go out as JSON.
        held: it waits until every context before it has ended.
        position: contexts that were before it when it was opened.
        state: one of the table's live states, until `over`.
        over: its last message has been made; nothing follows.
        half: the first half of a surrogate pair, waiting for the second.
        counted: the chunks that its samples are counted by: those of audio, where it was asked for.
        played: what the listener last said that it has heard, in samples.
        cut: samples that went out before the transport dropped the rest at a cancel.
        warned: settings whose change was answered already.
    """

    context_id: str
    handle: int
    settings: S
    base64: bool
    held: bool
    position: int
    state: State = State.OPEN
    over: bool = False
    half: str = ""
    counted: type[events.AudioChunk] | type[events.MelChunk] = events.AudioChunk
    played: int | None = None
    cut: int | None = None
    warned: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Send:
    """Put a frame into the outbox.

    Attributes:
        frame: str for a text frame, bytes for a binary one.
        record: the context that it is about.
        urgent: it overtakes everything that waits.
        droppable: it need not go out once the context has been cancelled.
        sample: of a chunk that its context is counted by: samples before it.
    """

    frame: str | bytes
    record: Record[Any] | None = None
    urgent: bool = False
    droppable: bool = False
    sample: int | None = None


@dataclass(frozen=True, slots=True)
class Admit(Generic[S]):
    """Open `record` in the service; call `refused` when it will not have it."""

    record: Record[S]


@dataclass(frozen=True, slots=True)
class Feed:
    """Hand on text; call `report` when it is refused."""

    record: Record[Any]
    text: str


@dataclass(frozen=True, slots=True)
class Pass:
    """Hand on a `flush`, `end`, `cancel` or `playback`."""

    record: Record[Any]
    message: messages.Flush | messages.End | messages.Cancel | messages.Playback


@dataclass(frozen=True, slots=True)
class Release:
    """Let a held context speak: nothing is before it any more."""

    record: Record[Any]


Action: TypeAlias = Send | Admit[Any] | Feed | Pass | Release


def feed(record: Record[Any], text: str) -> list[Action]:
    """Joins halves of surrogate pairs that were cut apart; lonely ones become U+FFFD."""
    text, record.half = record.half + text, ""
    if text and "\ud800" <= text[-1] <= "\udbff":
        text, record.half = text[:-1], text[-1]
    if not text:
        return []
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return [Feed(record, text)]


def given(message: messages.Open | messages.Hello) -> dict[str, Any]:
    """The settings that a message names, without those that are None."""
    fields: dict[str, Any] = msgspec.to_builtins(message)
    given = {k: v for k, v in fields.items() if v is not None and k not in NOT_SETTINGS}
    if "audio" in given:
        given["audio"] = {k: v for k, v in given["audio"].items() if v is not None}
    return given


def merge(under: Given, over: Given) -> dict[str, Any]:
    """Settings over settings; `audio` field by field."""
    merged = {**under, **over}
    if "audio" in under and "audio" in over:
        merged["audio"] = {**under["audio"], **over["audio"]}
    return merged


def changes(record: Record[Any], given: Given) -> list[str]:
    """The settings that differ from those of a context, and of which it was not warned yet."""
    settings = msgspec.to_builtins(record.settings)
    return sorted(
        name
        for name, value in given.items()
        if name not in record.warned and not same(value, settings.get(name))
    )


def same(value: object, current: object) -> bool:
    """Whether a setting that a client repeats is the one that it has."""
    if isinstance(value, dict) and isinstance(current, dict):
        return all(current.get(name) == part for name, part in value.items())
    if isinstance(value, list | tuple) and isinstance(current, list | tuple):
        return sorted(value) == sorted(current)
    return value == current


def error_frame(
    error: StreamTTSError, context_id: str | None = None, *, final: bool = False
) -> Send:
    """An error of ours as the frame that tells of it."""
    message = messages.Error(
        code=error.code,
        message=str(error),
        context_id=UNSET if context_id is None else context_id,
        retry_after_ms=UNSET if error.retry_after_ms is None else error.retry_after_ms,
        final=final,
    )
    return Send(encode(message))
