"""A request of a device, and what the sites ask their bridge to do. Plain values."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from streamtts import events


class Receipt(Protocol):
    """A message of the broker that is not acknowledged yet."""

    def ack(self) -> None:
        """Acknowledges it; nothing happens when its session is gone."""


class Delivery(enum.Enum):
    """How the sound of a request goes out.

    Attributes:
        PACED: never more than the device's buffer ahead.
        AWAITED: the same, and the device tells when it has played it.
        WHOLE: as fast as it is made, and the device tells when it has played it.
    """

    PACED = "paced"
    AWAITED = "awaited"
    WHOLE = "whole"


@dataclass(eq=False, slots=True, kw_only=True)
class Request:
    """What a device wants spoken.

    Attributes:
        site: where.
        id: the device's name for it.
        text: whole; empty when `stream`.
        stream: the text follows.
        priority: higher ones go first and cut in.
        settings: of its context, as `open` has them.
        receipt: acknowledged once it is settled.
        session: which of the broker's sessions it came through.
        event_topic: where its events go.
        correlation: sent back with them.
        delivery: how its sound goes out.
        extra: what its dialect keeps.
        settled: it has been acknowledged.
        deltas: text that has come since it was accepted.
    """

    site: str
    id: str
    text: str
    stream: bool = False
    priority: int = 0
    settings: dict[str, Any]
    receipt: Receipt | None = None
    session: str = ""
    event_topic: str = ""
    correlation: bytes | None = None
    delivery: Delivery = Delivery.PACED
    extra: Any = None
    settled: bool = False
    deltas: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Open:
    """Open a context for it."""

    request: Request


@dataclass(frozen=True, slots=True)
class Speak:
    """Give its context the whole text."""

    request: Request


@dataclass(frozen=True, slots=True)
class Accept:
    """It has a slot: tell its device, which may send text now."""

    request: Request
    audio: events.AudioInfo


@dataclass(frozen=True, slots=True)
class Settle:
    """Acknowledge it to the broker: it will not be delivered again."""

    request: Request


@dataclass(frozen=True, slots=True)
class Send:
    """Send a chunk to the device."""

    request: Request
    chunk: events.AudioChunk


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the device of an event; `reason` belongs to `Cancelled`."""

    request: Request
    event: events.Event
    reason: str = "cancel"


@dataclass(frozen=True, slots=True)
class Stop:
    """Cancel its context."""

    request: Request
    played_samples: int | None


@dataclass(frozen=True, slots=True)
class Drop:
    """Cancel its context and listen to it no more."""

    request: Request


@dataclass(frozen=True, slots=True)
class Played:
    """Tell its context how much has been heard."""

    request: Request
    played_samples: int


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing more comes of it, and its device has played what it got."""

    request: Request


Action: TypeAlias = Open | Speak | Accept | Settle | Send | Tell | Stop | Drop | Played | Over
