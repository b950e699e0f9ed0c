"""One connection of the load client, as cheap as it can be.

`streamtts.client` gives every event to a task through a bounded queue: right for a listener, but
a load client shares its cores with the server that it measures. Here websockets' protocol without
IO is fed straight from the socket: no task, no queue and no wake-up a chunk, and its time of
arrival is taken when the loop hands over the bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import urlsplit, urlunsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from streamtts.client import ConnectionLost
from streamtts.client.dial import PATH
from streamtts.client.failures import from_close, from_status
from streamtts.errors import BadField, StreamTTSError
from streamtts.protocol.messages import SUBPROTOCOL

if TYPE_CHECKING:
    from websockets.uri import WebSocketURI

DIAL_LIMIT_S = 15.0
_CLOSE_LIMIT_S = 2.0
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class Receiver(Protocol):
    """Who takes what comes over a connection; times are of `time.monotonic`."""

    def on_binary(self, now_s: float, frame: bytes) -> None:
        """A binary frame, whole."""

    def on_text(self, now_s: float, frame: bytes) -> None:
        """A text frame, whole."""

    def on_lost(self, now_s: float, why: StreamTTSError) -> None:
        """The end, whoever wanted it; nothing comes after it."""


def target(url: str) -> WebSocketURI:
    """The address of a server's native protocol.

    Raises:
        BadField: `url` is none.
    """
    try:
        parts = urlsplit(url if "://" in url else f"ws://{url}")
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        path = parts.path if parts.path not in ("", "/") else PATH
        return parse_uri(urlunsplit((scheme, parts.netloc, path, parts.query, "")))
    except (InvalidURI, ValueError):
        hint = "ws://host:port or wss://host:port"
        raise BadField(f"{url!r} is no address of a server: {hint}") from None


class Wire(asyncio.Protocol):
    """A WebSocket; `dial` makes it."""

    def __init__(self, uri: WebSocketURI, key: str, receiver: Receiver) -> None:
        self._protocol = ClientProtocol(
            uri, subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=_MAX_MESSAGE_BYTES
        )
        self._key = key
        self._receiver = receiver
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._parts_are_text = False
        self.shaken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def post(self, message: bytes) -> None:
        """Sends a text frame; nothing once the connection is closing."""
        if self._protocol.state is OPEN:
            self._protocol.send_text(message)
            self._write()

    def close(self) -> None:
        """Says goodbye; the server cancels what it still speaks here."""
        if self._protocol.state is OPEN:
            self._protocol.send_close(1000)
            self._write()

    async def closed(self) -> None:
        """Waits until the connection is gone, and cuts it when that takes too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await asyncio.shield(self.lost)
        if self._transport is not None:
            self._transport.abort()

    # -- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)
        request = self._protocol.connect()
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        self._protocol.send_request(request)
        self._write()

    def data_received(self, data: bytes) -> None:
        """Hands every frame in it on."""
        now_s = time.monotonic()
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._on_frame(now_s, event)
            elif isinstance(event, Response):
                self._on_response()
        self._write()

    def eof_received(self) -> None:
        """The server will send no more."""
        self._protocol.receive_eof()
        self._write()

    def connection_lost(self, error: Exception | None) -> None:
        """Tells the receiver, once."""
        if not self.shaken.done():
            why = f"the connection broke in the handshake{f': {error}' if error else ''}"
            self.shaken.set_exception(ConnectionLost(why))
            self.shaken.exception()  # `dial` may have given up
        self.lost.set_result(None)
        self._receiver.on_lost(time.monotonic(), self._why())

    def _why(self) -> StreamTTSError:
        if self._protocol.close_rcvd is None:
            return ConnectionLost("the connection to the server broke")
        return from_close(self._protocol.close_exc)

    def _on_response(self) -> None:
        failure = self._protocol.handshake_exc
        if self.shaken.done():
            return
        if failure is None:
            self.shaken.set_result(None)
        elif isinstance(failure, InvalidStatus):
            self.shaken.set_exception(from_status(failure))
        else:
            self.shaken.set_exception(ConnectionLost(f"no WebSocket there: {failure}"))

    def _on_frame(self, now_s: float, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is Opcode.BINARY and frame.fin:
            self._receiver.on_binary(now_s, frame.data)  # type: ignore[arg-type]
        elif opcode is Opcode.TEXT and frame.fin:
            self._receiver.on_text(now_s, frame.data)  # type: ignore[arg-type]
        elif opcode in (Opcode.BINARY, Opcode.TEXT, Opcode.CONT):
            self._on_fragment(now_s, frame)

    def _on_fragment(self, now_s: float, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._parts_are_text = frame.opcode is Opcode.TEXT
            self._parts = []
        self._parts.append(bytes(frame.data))
        if frame.fin:
            whole = b"".join(self._parts)
            self._parts = []
            if self._parts_are_text:
                self._receiver.on_text(now_s, whole)
            else:
                self._receiver.on_binary(now_s, whole)

    def _write(self) -> None:
        assert self._transport is not None
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
            else:  # TLS has no half-closed connections
                self._transport.close()


async def dial(uri: WebSocketURI, key: str, receiver: Receiver) -> Wire:
    """Connects; the server's `ready` comes to the receiver.

    Raises:
        StreamTTSError: it cannot be done; which kind and what it says tells why.
    """
    loop = asyncio.get_running_loop()
    wire: Wire | None = None
    try:
        async with asyncio.timeout(DIAL_LIMIT_S):
            _, wire = await loop.create_connection(
                lambda: Wire(uri, key, receiver),
                uri.host,
                uri.port,
                ssl=ssl.create_default_context() if uri.secure else None,
            )
            await wire.shaken
    except TimeoutError:
        failure: StreamTTSError = ConnectionLost(f"no answer within {DIAL_LIMIT_S:g} s")
    except (OSError, InvalidHandshake) as error:
        failure = ConnectionLost(
            f"cannot connect to {uri.host}:{uri.port}: {error} (does the server run there?)"
        )
    except StreamTTSError as error:
        failure = error
    else:
        return wire
    if wire is not None:
        await wire.closed()
    raise failure
