#!/usr/bin/env python3
"""A loudspeaker on an MQTT broker, for any computer, and to be read by who builds a small one.

python clients/speaker.py --site kitchen --play            # waits for what others want said there
python clients/speaker.py --site kitchen --say "Tea is ready." -o tea.wav
some-language-model | python clients/speaker.py --site kitchen --stream --play

What goes over the topics is in speaker_wire.py, what the buffer does in speaker_buffer.py and what
answers what in speaker_site.py; this file is the connection and the command.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import logging
import random
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable

from speaker_options import PASSWORD, check, login, parser, tls_context
from speaker_run import Speaker
from speaker_wire import Publication

from streamtts.errors import StreamTTSError

try:
    import aiomqtt
    from paho.mqtt import client as paho
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
except ImportError:
    raise SystemExit("speaker.py needs aiomqtt: pip install 'streamtts[mqtt]'") from None

KEEPALIVE_S = 20
SESSION_S = 60  # how long the broker keeps events for us when we are away (MQTT 5)
CONNECT_TIMEOUT_S = 10.0
FIRST_BACKOFF_S, LAST_BACKOFF_S = 0.5, 15.0
_INBOUND = 2000  # messages; beyond they are thrown away
_OUTBOUND = 100
_RETRY_S = 0.05
_BAD_LOGIN = frozenset({4, 5, 134, 135})
_BAD_VERSION = frozenset({1, 132})
_REFUSED = 128  # in the answer to a subscription


class Link:
    """The connection to the broker; comes back by itself once it has been there.

    Args:
        options: of the command line.
        hello: said first, each time.
        filters: what to subscribe to.
        on_message: takes a topic and its payload.
        on_back: told after every reconnect.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        hello: Publication,
        filters: list[tuple[str, int]],
        on_message: Callable[[str, bytes], None],
        on_back: Callable[[], None],
    ) -> None:
        self._options = options
        self._port = options.port or (8883 if options.tls else 1883)
        self._hello = hello
        self._filters = filters
        self._on_message = on_message
        self._on_back = on_back
        self._identifier = f"streamtts-speaker-{uuid.uuid4().hex[:12]}"
        self._tls = tls_context(options)
        self._username, self._password = login(options)
        self._client: aiomqtt.Client | None = None
        self._sending: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._queue: asyncio.Queue[Publication] = asyncio.Queue(_OUTBOUND)

    @property
    def connected(self) -> bool:
        """Now."""
        return self._up.is_set()

    async def publish(self, publication: Publication) -> None:
        """Sends a message as soon as there is a connection; waits for a place in the queue."""
        await self._queue.put(publication)

    def report(self, publications: list[Publication]) -> None:
        """Sends messages that are worth nothing later."""
        for publication in publications:
            if self._up.is_set() and not self._queue.full():
                self._queue.put_nowait(publication)

    async def send(self) -> None:
        """Carries the queue to the broker, in order, until cancelled."""
        while True:
            publication = await self._queue.get()
            while True:
                await self._up.wait()
                if await self._publish(publication) or not publication.qos:
                    break
                await asyncio.sleep(_RETRY_S)  # until it is known that the connection is gone
            self._queue.task_done()

    async def _publish(self, publication: Publication) -> bool:
        """Sends a message and waits for the broker's word; whether that came."""
        if self._client is None:
            return False
        publish = self._client.publish(*publication)
        sending = self._sending = asyncio.create_task(publish, name="speaker publish")
        try:
            await asyncio.wait([sending])
        finally:
            sending.cancel()
        if sending.cancelled():
            return False
        error = sending.exception()
        if error is not None and not isinstance(error, aiomqtt.MqttError):
            raise error
        return error is None

    async def flushed(self) -> None:
        """Waits until everything has been sent."""
        await self._queue.join()

    async def run(self) -> None:
        """Connects, and connects again, until cancelled.

        Raises:
            StreamTTSError: the broker is not there at first, or refuses us.
        """
        known, attempt = False, 0
        while True:
            try:
                async with self._connect() as client:
                    await self._subscribe(client)
                    await client.publish(*self._hello)
                    self._client = client
                    self._up.set()
                    if known:
                        print("the broker is back", file=sys.stderr)
                        self._on_back()
                    known, attempt = True, 0
                    async for message in client.messages:
                        self._on_message(message.topic.value, bytes(message.payload))
            except (aiomqtt.MqttError, OSError, ValueError) as error:
                why = self._explain(error)
                if not known or isinstance(error, aiomqtt.exceptions.MqttConnectError):
                    raise StreamTTSError(why) from None
                if not attempt:
                    print(f"{why}; trying again", file=sys.stderr)
            finally:
                self._up.clear()
                self._client = None
                if self._sending is not None:
                    self._sending.cancel()  # aiomqtt would wait for a broker that is gone
            backoff_s = min(LAST_BACKOFF_S, FIRST_BACKOFF_S * 2**attempt)
            attempt = min(attempt + 1, 10)
            await asyncio.sleep(backoff_s * (0.5 + random.random() / 2))

    @contextlib.asynccontextmanager
    async def _connect(self) -> AsyncIterator[aiomqtt.Client]:
        v5 = self._options.mqtt == "5"
        properties = None
        if v5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = SESSION_S
        client = aiomqtt.Client(
            self._options.host,
            self._port,
            username=self._username,
            password=self._password,
            identifier=self._identifier,
            protocol=aiomqtt.ProtocolVersion.V5 if v5 else aiomqtt.ProtocolVersion.V311,
            clean_session=None if v5 else True,
            # Mosquitto 2.0 forgets a session that began with a clean start when it restarts; the
            # identifier is a new one anyway
            clean_start=False if v5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
            timeout=CONNECT_TIMEOUT_S,
            keepalive=KEEPALIVE_S,
            max_queued_incoming_messages=_INBOUND,
            properties=properties,
            tls_context=self._tls,
        )
        try:
            async with client:
                yield client
        finally:
            with contextlib.suppress(OSError, ValueError):
                client._client._sock_close()  # also after a refusal
            if client._disconnected.done() and not client._disconnected.cancelled():
                client._disconnected.exception()

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        granted = await client.subscribe(self._filters)
        codes = [code if isinstance(code, int) else code.value for code in granted]
        for (topic_filter, _), code in zip(self._filters, codes, strict=True):
            if code >= _REFUSED:
                raise StreamTTSError(f"the broker does not let us listen to {topic_filter}")

    def _explain(self, error: Exception) -> str:
        where = f"{self._options.host}:{self._port}"
        if not isinstance(error, aiomqtt.exceptions.MqttConnectError):
            what = error.__cause__ or error
            return f"no broker at {where}: {what}" if not self._up.is_set() else f"lost {where}"
        code = getattr(error.rc, "value", error.rc)
        if code in _BAD_LOGIN:
            return (
                f"the broker {where} refuses the login ({error.rc}): check --username and the "
                f"password, in --password-file or {PASSWORD}"
            )
        if code in _BAD_VERSION:
            return f"the broker {where} refuses MQTT {self._options.mqtt}: try --mqtt 3.1.1"
        return f"the broker {where} refuses us: {error.rc}"


async def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status.

    Raises:
        StreamTTSError: of the broker, the server, a file or the sound card.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals: list[int] = []

    def on_signal(number: int) -> None:
        signals.append(number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
            loop.add_signal_handler(number, on_signal, number)
    speaker = Speaker(options, functools.partial(Link, options))
    try:
        stopped = await speaker.run(stop)
    finally:
        speaker.outputs.close()
    return 130 if stopped and signal.SIGINT in signals else 0


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = parser().parse_args(arguments)
    logging.getLogger("mqtt").setLevel(logging.ERROR)  # what matters is told here
    try:
        check(options)
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            return runner.run(run(options))
    except StreamTTSError as error:
        print(f"speaker.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
