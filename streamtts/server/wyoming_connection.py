"""One Wyoming client: carries out what its session says, within bounds."""

from __future__ import annotations

import asyncio
import functools
import logging
import queue
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from streamtts import __version__, events
from streamtts.errors import BadField, RequestError, StreamTTSError
from streamtts.protocol import messages
from streamtts.protocol.actions import Admit, Feed, Pass, Record, Release, Send
from streamtts.protocol.wyoming import WyomingSession
from streamtts.protocol.wyoming_framing import Parser, max_json_bytes
from streamtts.protocol.wyoming_requests import Action, Close, Fault
from streamtts.server.gateway import Gateway
from streamtts.server.outbox import Entry, Outbox
from streamtts.settings import ContextSettings

if TYPE_CHECKING:
    from streamtts.context import Context

READ_BYTES = 16_384
WRITE_BUFFER_BYTES = 32_768
BURST = 16  # messages of one client in a row before others get their turn
LINGER_S = 1.0  # for a client to read why it was closed
LINGER_BYTES = 1_048_576  # that it may go on sending meanwhile

logger = logging.getLogger(__name__)


class Connection:
    """One client; `run` returns when it is gone.

    Args:
        gateway: shared by all connections.
        reader: of its socket; `writer` too.
        number: for the log.

    Attributes:
        begun: whether it has ever opened a context.
    """

    def __init__(
        self,
        gateway: Gateway,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
    ) -> None:
        self._gateway = gateway
        self._config = gateway.config.wyoming
        self._reader = reader
        self._writer = writer
        self._name = f"wyoming {number}"
        self._loop = asyncio.get_running_loop()
        limits = gateway.config.limits
        self._parser = Parser(max_json_bytes(limits.chars_per_context))
        self._session: WyomingSession[ContextSettings] = WyomingSession(
            voices=gateway.voices,
            settings=self._settings,
            max_requests=limits.contexts,
            version=__version__,
        )
        self._outbox = Outbox(
            self._send,
            full_bytes=gateway.config.server.outbox_bytes,
            on_full=self._set_paused,
            clock=gateway.clock,
        )
        self._contexts: dict[Record[ContextSettings], Context] = {}
        self._inbox: queue.SimpleQueue[tuple[Record[ContextSettings], events.Event]]
        self._inbox = queue.SimpleQueue()
        self._turn = 0
        self._woken = False
        self._draining = self._finishing = self._closed = self._given_up = False
        self._touched_s = gateway.clock()
        self._partial_s: float | None = None
        self.begun = False

    @property
    def outbox(self) -> tuple[int, bool]:
        """Bytes that wait for the client, and whether they are so many that it is not served."""
        return self._outbox.bytes, self._outbox.full

    async def run(self, refusal: StreamTTSError | None = None) -> None:
        """Serves the client, or tells it why not, until the connection is closed."""
        self._gateway.join(self)
        self._writer.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        if refusal is not None:
            self._perform(self._session.broken(refusal))
        reading = asyncio.create_task(self._read(), name=f"{self._name} reader")
        writing = asyncio.create_task(self._write(), name=f"{self._name} writer")
        tasks = (reading, writing)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._finishing:
                await asyncio.wait(tasks, timeout=LINGER_S)
        finally:
            self._closed = True
            self._gateway.leave(self)
            for context in self._contexts.values():
                context.cancel()
            self._contexts.clear()
            self._writer.transport.abort()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def drain(self) -> None:
        """Closes as soon as nothing is being said."""
        self._draining = True
        self._finish_when_drained()

    def stop(self, code: int, reason: str) -> None:
        """Closes now, without what still waits."""
        logger.debug("closed connection=%r reason=%r", self._name, reason)
        self._writer.transport.abort()

    def check_stalled(self) -> None:
        """Closes a client that reads nothing, sends half a message, or has nothing to say."""
        if self._closed:
            return
        server, now_s = self._gateway.config.server, self._gateway.clock()
        if self._outbox.stalled_s() > server.slow_reader_s:
            self._give_up(f"nothing was read for {server.slow_reader_s:g} s")
        elif self._partial_s is not None and now_s - self._partial_s > server.header_timeout_s:
            self._partial_s = None
            late = BadField(f"no whole message within {server.header_timeout_s:g} s")
            self._perform(self._session.broken(late))
        elif self._session.expectant and now_s - self._touched_s > self._config.idle_s:
            self._finish()

    def _give_up(self, why: str) -> None:
        if not self._given_up:
            self._given_up = True
            self._gateway.metrics.slow_closes += 1
            logger.info("slow reader connection=%r: %s", self._name, why)
            self.stop(1008, f"slow reader: {why}")

    def _settings(self, given: Mapping[str, Any]) -> ContextSettings:
        config = self._config
        return self._gateway.settings(
            {"lead_ms": config.lead_ms, "text_format": config.text_format, **given}
        )

    # --- the socket

    async def _read(self) -> None:
        discarded = 0
        try:
            while data := await self._reader.read(READ_BYTES):
                if not self._finishing:
                    await self._take(data)
                    continue
                discarded += len(data)
                if discarded > LINGER_BYTES:
                    return
        except OSError:
            logger.debug("client is gone connection=%r", self._name)
        except Exception:
            self._broken()

    async def _take(self, data: bytes) -> None:
        self._touched_s = self._gateway.clock()
        try:
            for event in self._parser.feed(data):
                self._partial_s = None
                self._perform(self._session.receive(event))
                if self._finishing:
                    return
                self._turn = (self._turn + 1) % BURST
                if self._turn == 0:
                    await asyncio.sleep(0)
        except RequestError as error:
            self._perform(self._session.broken(error))
        if not self._parser.partial:
            self._partial_s = None
        elif self._partial_s is None:
            self._partial_s = self._touched_s

    async def _write(self) -> None:
        try:
            await self._outbox.run()
            self._writer.write_eof()  # he reads what came before, and then the end
        except OSError:
            logger.debug("client is gone connection=%r", self._name)

    async def _send(self, frame: str | bytes) -> None:
        assert isinstance(frame, bytes)
        self._writer.write(frame)
        await self._writer.drain()
        self._touched_s = self._gateway.clock()
        self._gateway.metrics.sent_bytes += len(frame)

    def _put(self, send: Send | Fault) -> None:
        urgent = isinstance(send, Send) and send.urgent
        if not self._outbox.put(Entry(send.frame), urgent=urgent):
            self._give_up("too much is waiting")

    def _finish(self) -> None:
        self._finishing = True
        self._partial_s = None
        self._outbox.finish()

    def _finish_when_drained(self) -> None:
        if self._draining and not self._session.busy:
            self._finish()

    def _set_paused(self, paused: bool) -> None:
        for context in self._contexts.values():
            context.set_paused(paused)

    def _broken(self) -> None:
        """Our own bug: it ends this connection, and no other."""
        logger.exception("connection failed connection=%r", self._name)
        self._perform(self._session.broken(StreamTTSError("internal error")))

    # --- the service

    def _on_event(self, record: Record[ContextSettings], event: events.Event) -> None:
        """Called from the service's threads: hops onto the loop, once for many events."""
        self._inbox.put((record, event))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        try:
            self._take_events()
        except Exception:
            self._broken()

    def _take_events(self) -> None:
        self._woken = False
        while not self._inbox.empty():
            record, event = self._inbox.get_nowait()
            if self._closed or record.over:
                continue
            self._perform(self._session.event(record, event))
            if record.over:
                self._contexts.pop(record, None)
                self._finish_when_drained()

    def _perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Send():
                    self._put(action)
                case Fault():
                    logger.info(
                        "refused connection=%r code=%s message=%r",
                        self._name, action.code, action.message,
                    )  # fmt: skip
                    self._put(action)
                case Close():
                    self._finish()
                case Admit():
                    self._admit(action.record)
                case Release():
                    if action.record in self._contexts:
                        self._contexts[action.record].release()
                case Feed() | Pass():
                    self._hand_on(action)

    def _admit(self, record: Record[ContextSettings]) -> None:
        service = self._gateway.service
        assert service is not None
        try:
            context = service.open(
                record.settings, functools.partial(self._on_event, record), queued=record.held
            )
        except StreamTTSError as error:
            self._perform(self._session.refused(record, error))
            return
        self.begun = True
        self._contexts[record] = context
        if self._outbox.full:
            context.set_paused(True)
        self._take_events()  # `Opened`, before anything that answers what comes next

    def _hand_on(self, action: Feed | Pass) -> None:
        context = self._contexts.get(action.record)
        if context is None:
            return
        try:
            match action:
                case Feed():
                    context.feed(action.text)
                case Pass(message=messages.End()):
                    context.end()
                case Pass(message=messages.Cancel()):
                    context.cancel()
        except RequestError as error:
            self._perform(self._session.report(action.record, error))
