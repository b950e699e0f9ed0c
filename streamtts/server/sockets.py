"""uvicorn's two protocol classes, with what they lack.

A limit on the time that headers may take; a way to close a client that reads nothing; a close
frame that is not lost when the client is still sending a message that is too big.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio.transports import BaseTransport, Transport
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from streamtts.server.websocket import HANG_UP

WRITE_BUFFER_BYTES = 32_768  # what lies here and in the kernel is beyond recall at a barge-in
SLICE_BYTES = 16_384  # about 1 ms of one-letter messages
LINGER_S = 1.0  # for a client to read why it was closed

logger = logging.getLogger(__name__)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket that can be hung up, and that lingers after a protocol error."""

    _flood = b""

    def connection_made(self, transport: BaseTransport) -> None:
        """Keeps little in the process's own buffer."""
        super().connection_made(transport)
        cast(Transport, transport).set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Takes a flood of small messages in slices, so that others get their turn between."""
        if not self._flood and len(data) <= SLICE_BYTES:
            super().data_received(data)
            return
        if not self._flood:
            self.loop.call_soon(self._take_slice)
        self._flood += data

    def _take_slice(self) -> None:
        if not self.disconnected:
            head, self._flood = self._flood[:SLICE_BYTES], self._flood[SLICE_BYTES:]
            super().data_received(head)
            if self._flood:
                self.loop.call_soon(self._take_slice)

    def send_receive_event_to_app(self) -> None:
        """Hands on a whole message; text that is not UTF-8 closes with 1007."""
        if self.curr_msg_data_type != "text" or self.close_sent:
            super().send_receive_event_to_app()
            return
        data, self.frames = b"".join(self.frames), []
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            logger.info("closed with 1007: byte %d of a message is not UTF-8", error.start)
            self.conn.send_close(1007, "text that is not UTF-8")
            self.handle_parser_exception()
            return
        self.queue.put_nowait({"type": "websocket.receive", "text": text})
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def handle_connect(self, event: Request) -> None:
        """Offers `hang_up` to the application."""
        super().handle_connect(event)
        if not self.close_sent:
            extensions = cast(dict[str, Any], self.scope)["extensions"]
            extensions[HANG_UP] = self.hang_up

    def start_keepalive(self) -> None:
        """Comes right after the handshake, whose messages need not be kept."""
        super().start_keepalive()
        del self.request, self.response

    def hang_up(self, code: int, reason: str) -> None:
        """Closes at once, although what was written before has not been read."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.disconnected = True  # a send that waits for the client now ends
        self.writable.set()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def handle_parser_exception(self) -> None:
        """Says why (1009, 1002, 1007) and reads on for a while: a reset would swallow it."""
        if self.close_sent:
            return
        assert self.conn.close_sent is not None
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.disconnected = True
        self.writable.set()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.close)


class HTTPProtocol(H11Protocol):
    """HTTP whose headers must arrive in time."""

    header_timeout_s: float  # set by `with_header_timeout`

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Starts the clock of the first request."""
        super().connection_made(transport)
        self._header_timer: asyncio.TimerHandle | None = None
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Stops the clock when the headers are whole, starts it for those of a next request."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and self.conn.our_state is h11.IDLE:
            self._arm()
        else:
            self._disarm()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """A WebSocket has its own ways to find out who is gone."""
        self._disarm()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._disarm()
        super().connection_lost(exc)

    def _arm(self) -> None:
        if self._header_timer is None:
            timer = self.loop.call_later(self.header_timeout_s, self._too_slow)
            self._header_timer = timer

    def _disarm(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _too_slow(self) -> None:
        self._header_timer = None
        if not self.transport.is_closing():
            self.send_400_response(f"no whole header within {self.header_timeout_s:g} s\n")


def with_header_timeout(timeout_s: float) -> type[HTTPProtocol]:
    """The HTTP protocol class for one server: uvicorn makes its instances itself."""

    class Limited(HTTPProtocol):
        header_timeout_s = timeout_s

    return Limited
