"""Messages of QoS 1 that the broker has not confirmed: sent again, in order; and properties."""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

MAX_UNCONFIRMED = 10_000

logger = logging.getLogger(__name__)


class Publication(NamedTuple):
    """A message for the broker."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    expiry_s: int | None
    correlation: bytes | None

    def properties(self) -> Properties | None:
        """What MQTT 5 says of it."""
        if not self.expiry_s and self.correlation is None:
            return None
        return packet_properties(
            PacketTypes.PUBLISH,
            MessageExpiryInterval=self.expiry_s,
            CorrelationData=self.correlation,
        )


class Outbox:
    """Bounded; what is beyond is refused."""

    def __init__(self) -> None:
        self._sent: dict[int, Publication] = {}
        self._unsent: list[Publication] = []
        self._emptied = asyncio.Event()
        self._emptied.set()

    @property
    def full(self) -> bool:
        """The broker has not confirmed anything for too long."""
        if len(self._sent) + len(self._unsent) < MAX_UNCONFIRMED:
            return False
        logger.warning("the broker confirms nothing: an event is lost")
        return True

    def put(self, publication: Publication) -> bool:
        """Keeps a message for when there is a connection; whether there was room."""
        if self.full:
            return False
        self._unsent.append(publication)
        self._emptied.clear()
        return True

    def sent(self, publication: Publication, mid: int) -> None:
        """Notes the number under which a message went out."""
        self._sent[mid] = publication
        self._emptied.clear()

    def confirmed(self, mid: int) -> None:
        """The broker has it."""
        self._sent.pop(mid, None)
        if not self._sent and not self._unsent:
            self._emptied.set()

    def again(self) -> list[Publication]:
        """Everything that a new connection has to send, in order."""
        waiting = [*self._sent.values(), *self._unsent]
        self._sent.clear()
        self._unsent.clear()
        return waiting

    async def empty(self, timeout_s: float) -> bool:
        """Waits until everything is confirmed; whether it is."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._emptied.wait()
        except TimeoutError:
            return False
        return True


def packet_properties(kind: int, **values: object) -> Properties:
    """Properties of a packet of MQTT 5; those without a value are left out."""
    properties: Properties = Properties(kind)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        if value is not None:
            setattr(properties, name, value)
    return properties
