"""One WebSocket of the native protocol: carries out what its session says."""

from __future__ import annotations

import asyncio
import functools
import logging
import queue
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope
from starlette.types import Send as SendMessage
from starlette.websockets import WebSocket

from streamtts import events
from streamtts.errors import Overloaded, RequestError, StreamTTSError, Unauthorized
from streamtts.protocol import messages
from streamtts.protocol.actions import (
    Action,
    Admit,
    Feed,
    Pass,
    Record,
    Release,
    Send,
)
from streamtts.protocol.codec import encode
from streamtts.protocol.session import ServerSession
from streamtts.server.cut import endings
from streamtts.server.gateway import Gateway
from streamtts.server.handshake import refusal, turn_away
from streamtts.server.outbox import Entry, Outbox
from streamtts.server.security import choose_subprotocol, shown_keys
from streamtts.settings import ContextSettings

if TYPE_CHECKING:
    from streamtts.context import Context

HANG_UP = "streamtts.hang_up"  # extension of the ASGI scope: closes although the socket is full
BURST = 16  # messages of one client in a row before others get their turn
CROWDED_RETRY_MS = 1000  # when no more connections are taken
FINISH_S = 5.0  # for the last frames of a connection that our own bug has ended

logger = logging.getLogger(__name__)


async def stream(gateway: Gateway, scope: Scope, receive: Receive, send: SendMessage) -> None:
    """`/v1/stream`: checks who is there, then speaks with him until one side closes."""
    websocket = WebSocket(scope, receive, send)
    refused = refusal(websocket, gateway)
    if refused is not None:
        await websocket.send_denial_response(refused)
        return
    offered = scope["subprotocols"]
    await websocket.accept(subprotocol=choose_subprotocol(offered))
    query_key = websocket.query_params.get("key") if gateway.config.auth.query_key else None
    welcome = gateway.keys.accept(shown_keys(websocket.headers, offered, query_key))
    del websocket  # the headers need not live as long as the connection
    scope["headers"] = []
    if not welcome:
        gateway.metrics.refused["key"] += 1
        await turn_away(send, Unauthorized("no key, or a wrong one"), 1008)
    elif len(gateway.peers) >= gateway.config.server.connections:
        gateway.metrics.refused["connections"] += 1
        error = Overloaded("too many connections are open", retry_after_ms=CROWDED_RETRY_MS)
        await turn_away(send, error, 1013)
    else:
        await Connection(gateway, receive, send, scope["extensions"].get(HANG_UP)).run()


class Connection:
    """One client: reads without ever waiting for text work, writes through one outbox."""

    def __init__(
        self,
        gateway: Gateway,
        receive: Receive,
        send: SendMessage,
        hang_up: Callable[[int, str], None] | None,
    ) -> None:
        self._gateway = gateway
        self._receive = receive
        self._send_message = send
        self._hang_up = hang_up
        self._loop = asyncio.get_running_loop()
        self._session_id = uuid.uuid4().hex
        self._session: ServerSession[ContextSettings] = ServerSession(
            max_contexts=gateway.config.limits.contexts,
            settings=gateway.settings,
            clock=gateway.wall_clock,
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
        self._woken = False
        self._closed = False
        self._given_up = False
        self._draining = False
        self._close = (1000, "bye")
        self.begun = False

    async def run(self) -> None:
        """Serves the client until the connection is closed."""
        self._gateway.join(self)
        self._put(Send(encode(self._gateway.greeting(self._session_id))))
        writer = asyncio.create_task(self._write(), name=f"writer {self._session_id}")
        try:
            await self._read()
        except Exception:
            logger.exception("connection failed session=%s", self._session_id)
            self._finish(1011, "internal error")
            await asyncio.wait([writer], timeout=FINISH_S)
        finally:
            self._closed = True
            self._gateway.leave(self)
            for context in self._contexts.values():
                context.cancel()
            self._contexts.clear()
            writer.cancel()
            await asyncio.wait([writer])

    def drain(self) -> None:
        """Closes with 1001 as soon as nothing is being said."""
        self._draining = True
        self._finish_when_drained()

    def stop(self, code: int, reason: str) -> None:
        """Closes now, without what still waits."""
        if self._hang_up is None:  # not under our own protocol class: when the client reads
            self._finish(code, reason)
        else:
            self._hang_up(code, reason)

    @property
    def outbox(self) -> tuple[int, bool]:
        """Bytes that wait for the client, and whether they are so many that it is not served."""
        return self._outbox.bytes, self._outbox.full

    def check_stalled(self) -> None:
        """Closes a client that has read nothing for too long."""
        limit_s = self._gateway.config.server.slow_reader_s
        if self._outbox.stalled_s() > limit_s:
            self._give_up(f"nothing was read for {limit_s:g} s")

    def _give_up(self, why: str) -> None:
        if not self._given_up:
            self._given_up = True
            self._gateway.metrics.slow_closes += 1
            logger.info("slow reader session=%s", self._session_id)
            self.stop(1008, f"slow reader: {why}")

    # --- the socket

    async def _read(self) -> None:
        turn = 0
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            self._perform(self._session.receive(message["bytes"] if text is None else text))
            del message, text  # while the next one is awaited
            turn = (turn + 1) % BURST
            if turn == 0:
                await asyncio.sleep(0)

    async def _write(self) -> None:
        try:
            await self._outbox.run()
            code, reason = self._close
            await self._send_message({"type": "websocket.close", "code": code, "reason": reason})
        except OSError:  # what the server raises when the client is gone
            logger.debug("client is gone session=%s", self._session_id)

    async def _send(self, frame: str | bytes) -> None:
        kind = "bytes" if isinstance(frame, bytes) else "text"
        await self._send_message({"type": "websocket.send", kind: frame})
        self._gateway.metrics.sent_bytes += len(frame)

    def _put(self, send: Send) -> None:
        entry = Entry(send.frame, send.record, send.droppable, send.sample)
        if not self._outbox.put(entry, urgent=send.urgent):
            self._give_up("too much is waiting")

    def _finish(self, code: int, reason: str) -> None:
        self._close = (code, reason)
        self._outbox.finish()

    def _finish_when_drained(self) -> None:
        if self._draining and not self._session.live:
            self._finish(1001, "the server is going away")

    def _set_paused(self, paused: bool) -> None:
        for context in self._contexts.values():
            context.set_paused(paused)

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
            logger.exception("connection failed session=%s", self._session_id)
            self._finish(1011, "internal error")

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
            self._finish_when_drained()
            return
        self._contexts[record] = context
        self.begun = True
        if self._outbox.full:
            context.set_paused(True)
        self._take_events()  # `Opened`, before anything that answers what comes next

    def _hand_on(self, action: Feed | Pass) -> None:
        record = action.record
        context = self._contexts.get(record)
        if context is None:
            return
        try:
            match action:
                case Feed():
                    context.feed(action.text)
                case Pass(message=messages.Flush(flush_id=flush_id)):
                    context.flush(flush_id)
                case Pass(message=messages.End()):
                    context.end()
                case Pass(message=messages.Cancel(played_samples=played)):
                    self._cancel(record, context, played)
                case Pass(message=messages.Playback(played_samples=played)):
                    record.played = played
                    context.playback(played)
        except RequestError as error:
            self._perform(self._session.report(record, error))

    def _cancel(
        self, record: Record[ContextSettings], context: Context, played: int | None
    ) -> None:
        self._take_events()  # what has been made already is cut as well
        if record.over:
            return
        heard = record.played if played is None else played
        dropped = self._outbox.drop(record)
        if dropped:
            cut = dropped[0].sample or 0
            for ending in endings(dropped, record.settings.audio):
                self._perform(self._session.event(record, ending))
                cut += ending.samples if isinstance(ending, events.AudioChunk) else 0
            record.cut = cut
            heard = cut if heard is None else min(heard, cut)
        context.cancel(heard)
