"""A broker and its messages, whatever library talks to it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is and who we are there; never logged whole.

    Attributes:
        version: "5" or "3.1.1".
        password: not shown by `repr`.
        session_s: how long the broker keeps what it could not deliver (MQTT 5).
    """

    host: str
    port: int
    version: str = "5"
    username: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None
    session_s: int = 300


class Will(NamedTuple):
    """What the broker says when we are gone; retained, QoS 1."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message from the broker.

    Attributes:
        number: the session's own; the same when the message comes again.
        retained: it is old news, told because we have just subscribed.
        again: it may have been delivered before.
        response_topic: where the answer is wanted (MQTT 5).
        correlation: to be sent back with the answer (MQTT 5).
    """

    topic: str
    payload: bytes
    number: int
    retained: bool
    again: bool
    response_topic: str | None
    correlation: bytes | None
    acknowledge: Callable[[], object]

    def ack(self) -> None:
        """Acknowledges it; nothing happens when its connection is gone."""
        self.acknowledge()
