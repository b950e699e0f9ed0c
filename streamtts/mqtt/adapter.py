"""The one place that knows aiomqtt and paho: a session with a broker that comes back by itself.

aiomqtt connects and keeps the connection alive. Three things go past it to the paho client that it
wraps: acknowledging a message by hand, publishing without waiting, and whether the broker still
knew the session.
"""

from __future__ import annotations

import contextlib
import logging
import random
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiomqtt
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from streamtts.mqtt.broker import Broker, Inbound, Will
from streamtts.mqtt.incoming import Incoming
from streamtts.mqtt.keeping import check_cancelled, keep
from streamtts.mqtt.outgoing import Outbox, Publication, packet_properties

KEEPALIVE_S, CONNECT_TIMEOUT_S = 20, 10.0
MAX_PACKET_BYTES = 2_097_152
SEND_QUEUE_PACKETS = 2000  # that the socket does not take; sound beyond is thrown away
_QUEUE_SLACK = 256  # QoS 0 messages on top of those that wait to be acknowledged

logger = logging.getLogger(__name__)
_paho_logger = logging.getLogger(f"{__name__}.paho")


class Session:
    """A session that the broker keeps while we are away.

    Args:
        broker: where.
        identifier: the session's name; whoever connects with it takes it over.
        receive_maximum: messages handed to us before we have acknowledged the first.
        on_message: called on the loop, one at a time; acknowledges each message itself.
        on_up: told after every connect, before any message, whether the broker still knew us.
        on_ready: told when the broker has confirmed the subscriptions after a connect.
        on_down: told when a connection is lost.
        will: said by the broker when we vanish.
        fresh: begin without what an earlier process of this identifier left.
        lasting: come back after a loss; otherwise `run` ends.
        jitter: between 0 and 1, at random.

    Attributes:
        connected: now.
        ready: connected, and every subscription has been confirmed.
    """

    def __init__(
        self,
        broker: Broker,
        identifier: str,
        *,
        receive_maximum: int,
        on_message: Callable[[Inbound], None],
        on_up: Callable[[bool], None] = lambda present: None,
        on_ready: Callable[[], None] = lambda: None,
        on_down: Callable[[], None] = lambda: None,
        will: Will | None = None,
        fresh: bool = False,
        lasting: bool = True,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.identifier = identifier
        self.connected = False
        self.ready = False
        self._unconfirmed: set[int | None] = set()
        self._broker = broker
        self._receive_maximum = receive_maximum
        self._on_message = on_message
        self._on_up = on_up
        self._on_ready = on_ready
        self._on_down = on_down
        self._will = will
        self._fresh = fresh
        self._lasting = lasting
        self._jitter = jitter
        self._filters: dict[str, int] = {}
        self._outbox = Outbox()
        self._client: paho.Client | None = None
        self._present = False
        self._begun = False
        self._incoming = Incoming()
        self._v5 = broker.version == "5"

    # --- what its user calls, on the loop

    async def run(self) -> None:
        """Connects, and connects again, until cancelled (or once, when not `lasting`)."""
        await keep(self._connection, self._report, lasting=self._lasting, jitter=self._jitter)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        expiry_s: int | None = None,
        correlation: bytes | None = None,
    ) -> bool:
        """Sends a message without waiting.

        QoS 1 goes out again after a reconnect until the broker has confirmed it. QoS 0 is thrown
        away when there is no connection, or one that takes nothing.

        Returns:
            whether it went out or will.
        """
        publication = Publication(topic, payload, qos, retain, expiry_s, correlation)
        client = self._client
        if client is None:
            return qos > 0 and self._outbox.put(publication)
        full = self._outbox.full if qos else len(client._out_packet) > SEND_QUEUE_PACKETS
        return not full and self._send(client, publication)

    def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        """Subscribes now and after every reconnect; ahead of whatever is published next."""
        self._filters[topic_filter] = qos
        if self._client is not None:
            self._client.subscribe(topic_filter, qos)

    def unsubscribe(self, topic_filter: str) -> None:
        """Wants no more of a filter."""
        self._filters.pop(topic_filter, None)
        if self._client is not None:
            self._client.unsubscribe(topic_filter)

    async def flushed(self, timeout_s: float) -> bool:
        """Waits until the broker has confirmed every QoS 1 message; whether it has."""
        return await self._outbox.empty(timeout_s)

    def forget(self) -> None:
        """Lets the broker drop the session as soon as we go (MQTT 5)."""
        if self._client is not None and self._v5:
            properties = packet_properties(PacketTypes.DISCONNECT, SessionExpiryInterval=0)
            self._client.disconnect(properties=properties)

    # --- a connection

    async def _connection(self) -> None:
        if self._fresh:  # apart: Mosquitto 2.0 saves no session that began clean
            async with self._connect(clean=True):
                pass
            self._fresh = False
        async with self._connect(clean=False) as client:
            if client._client.socket() is None:  # lost so soon that aiomqtt has missed it
                raise aiomqtt.MqttError("the connection was lost at once")
            try:
                self._begin(client._client)
                async for message in client.messages:
                    self._take(message, client._client)
            finally:
                self._end()

    @contextlib.asynccontextmanager
    async def _connect(self, *, clean: bool) -> AsyncIterator[aiomqtt.Client]:
        client = self._make_client(clean=clean)
        try:
            async with client:
                check_cancelled()
                yield client
        finally:
            with contextlib.suppress(OSError, ValueError):
                client._client._sock_close()  # whatever state it is in
            if client._disconnected.done() and not client._disconnected.cancelled():
                client._disconnected.exception()  # it has been told, or nobody wants to know

    def _make_client(self, *, clean: bool) -> aiomqtt.Client:
        broker, properties = self._broker, None
        if self._v5:
            properties = packet_properties(
                PacketTypes.CONNECT,
                SessionExpiryInterval=0 if clean else broker.session_s,
                ReceiveMaximum=self._receive_maximum,
                MaximumPacketSize=MAX_PACKET_BYTES,
            )
        self._incoming.connect()
        will = self._will and aiomqtt.Will(self._will.topic, self._will.payload, 1, True)
        client = aiomqtt.Client(
            broker.host,
            broker.port,
            username=broker.username or None,
            password=broker.password or None,
            logger=_paho_logger,
            identifier=self.identifier,
            protocol=aiomqtt.ProtocolVersion.V5 if self._v5 else aiomqtt.ProtocolVersion.V311,
            will=will,
            clean_session=None if self._v5 else clean,
            clean_start=clean if self._v5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
            timeout=CONNECT_TIMEOUT_S,
            keepalive=KEEPALIVE_S,
            max_queued_incoming_messages=self._receive_maximum + _QUEUE_SLACK,
            properties=properties,
            tls_context=broker.tls,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        self._hook(client)
        return client

    def _hook(self, made: aiomqtt.Client) -> None:
        wrapped, queue = made._client, made._queue
        wrapped.manual_ack_set(True)
        wrapped.suppress_exceptions = True  # a topic that is no UTF-8 is logged and skipped
        inner: Any = wrapped.on_connect
        inner_message: Any = wrapped.on_message

        def on_connect(client: Any, data: Any, flags: Any, code: ReasonCode, props: Any) -> None:
            self._present = bool(flags.session_present)
            inner(client, data, flags, code, props)

        def on_publish(client: Any, data: Any, mid: int, code: ReasonCode, props: Any) -> None:
            self._outbox.confirmed(mid)
            if code.is_failure:
                logger.warning("the broker refuses a message: %s", code)

        def on_subscribe(
            client: Any, data: Any, mid: int, codes: list[ReasonCode], props: Any
        ) -> None:
            for code in (code for code in codes if code.is_failure):
                logger.error("the broker refuses a subscription: %s", code)
            self._subscribed(mid)

        def on_message(client: Any, data: Any, message: paho.MQTTMessage) -> None:
            if not message.qos and queue.qsize() >= _QUEUE_SLACK:
                return  # the other places are for those that must not be lost
            if message.dup:
                self._incoming.mark(message.mid)
            inner_message(client, data, message)

        wrapped.on_connect, wrapped.on_message = on_connect, on_message
        wrapped.on_publish, wrapped.on_subscribe = on_publish, on_subscribe
        wrapped.on_unsubscribe = lambda *details: None

    def _begin(self, wrapped: paho.Client) -> None:
        self.connected, self._client = True, wrapped
        logger.info("connected session=%s known=%s", self.identifier, self._present)
        if not self._present:
            self._incoming.forget()
            if self._begun:
                logger.warning("the broker has forgotten session=%s", self.identifier)
        self._begun = True
        filters = self._filters.items()
        self._unconfirmed = {wrapped.subscribe(name, qos)[1] for name, qos in filters}
        for publication in self._outbox.again():
            self._send(wrapped, publication)
        self._on_up(self._present)
        if not self._unconfirmed:
            self._subscribed()

    def _subscribed(self, mid: int | None = None) -> None:
        self._unconfirmed.discard(mid)
        if not self._unconfirmed and not self.ready:
            self.ready = True
            self._on_ready()

    def _end(self) -> None:
        self.connected, self.ready, self._client = False, False, None
        self._on_down()

    def _send(self, client: paho.Client, publication: Publication) -> bool:
        properties = publication.properties() if self._v5 else None
        info = client.publish(
            publication.topic, publication.payload, publication.qos, publication.retain, properties
        )
        if publication.qos:
            self._outbox.sent(publication, info.mid)
            return True
        return info.rc == paho.MQTT_ERR_SUCCESS

    def _take(self, message: aiomqtt.Message, wrapped: paho.Client) -> None:
        inbound = self._incoming.read(
            message, lambda: self._client is wrapped and wrapped.ack(message.mid, message.qos)
        )
        if inbound is None:
            return
        try:
            self._on_message(inbound)
        except Exception:
            logger.exception("a message failed and is dropped")
            inbound.ack()

    def _report(self, error: Exception, again: bool) -> None:
        where = f"broker {self._broker.host}:{self._broker.port} session={self.identifier}"
        if isinstance(error, aiomqtt.exceptions.MqttConnectError):
            logger.error("%s: refuses us: %s", where, error.rc if error.rc is not None else error)
        elif isinstance(error, aiomqtt.MqttError | OSError | ValueError):
            logger.log(logging.INFO if again else logging.WARNING, "%s: %s", where, error)
        else:
            logger.error("%s: failed", where, exc_info=error)
