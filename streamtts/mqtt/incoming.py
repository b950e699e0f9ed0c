"""What comes from the broker once more although it has been acknowledged: not taken twice."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from streamtts.mqtt.broker import Inbound

MOST = 1000  # acknowledgements that a connection may take with it

logger = logging.getLogger(__name__)


class Incoming:
    """What one session is handed by the broker.

    A connection that breaks takes acknowledgements of QoS 1 with it. The broker then hands out
    their messages again: under the same numbers, and marked.
    """

    def __init__(self) -> None:
        self._marked: set[int] = set()
        self._acknowledged: OrderedDict[int, bytes] = OrderedDict()

    def connect(self) -> None:
        """A connection is about to be made; marks of the last one mean nothing any more."""
        self._marked.clear()

    def forget(self) -> None:
        """The broker does not know the session: it counts anew."""
        self._acknowledged = OrderedDict()  # receipts from before go on writing into the old one

    def mark(self, number: int) -> None:
        """The broker says that the message of that number may have been here before."""
        self._marked.add(number)

    def read(self, message: Any, acknowledge: Callable[[], object]) -> Inbound | None:
        """Takes a message.

        Args:
            message: an `aiomqtt.Message`.
            acknowledge: tells the broker, as long as there is the connection that brought it.

        Returns:
            None for one that was acknowledged before; it has been once more.
        """
        topic, payload, number = message.topic.value, bytes(message.payload), message.mid
        again = number in self._marked
        self._marked.discard(number)
        acknowledged = self._acknowledged

        def ack() -> None:
            if message.qos:
                acknowledged[number] = _digest(topic, payload)
                acknowledged.move_to_end(number)
                if len(acknowledged) > MOST:
                    acknowledged.popitem(last=False)
            acknowledge()

        if not again:
            acknowledged.pop(number, None)  # the broker has given its number to a new message
        elif acknowledged.get(number) == _digest(topic, payload):
            logger.info("a message has come twice and is taken once: %r", topic)
            ack()
            return None
        return Inbound(
            topic=topic,
            payload=payload,
            number=number,
            retained=bool(message.retain),
            again=again,
            response_topic=getattr(message.properties, "ResponseTopic", None),
            correlation=getattr(message.properties, "CorrelationData", None),
            acknowledge=ack,
        )


def _digest(topic: str, payload: bytes) -> bytes:
    return hashlib.blake2b(topic.encode() + b"\0" + payload, digest_size=16).digest()
