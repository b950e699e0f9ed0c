"""How a connection comes about: the address, the key, the proxy, and the server's first word."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from streamtts.client.connection import Connection
from streamtts.client.failures import ConnectionLost, from_close, from_message, from_status
from streamtts.errors import BadField, RequestError
from streamtts.protocol.codec import decode_server
from streamtts.protocol.messages import SUBPROTOCOL, Error, Hello, Ready

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import AsyncIterator

DEFAULT_URL = "ws://127.0.0.1:8765"
PATH = "/v1/stream"
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_MAX_QUEUED_BYTES = 64 * 1024 * 1024


@contextlib.asynccontextmanager
async def connect(
    url: str = DEFAULT_URL,
    *,
    token: str | None = None,
    lead_ms: int | None = None,
    ssl: tls.SSLContext | None = None,
    open_timeout_s: float = 10.0,
    max_queued_bytes: int = _MAX_QUEUED_BYTES,
) -> AsyncIterator[Connection]:
    """Connects to a server for the length of an `async with` block.

    Args:
        url: `ws://host:port` or `wss://host:port` (http and https mean the same).
        token: key of the server, if it wants one.
        lead_ms: how far sound may be ahead of its playback; 0 for as fast as it is made.
        ssl: trust for wss, where the system's is not enough.
        open_timeout_s: how long the server may take to answer.
        max_queued_bytes: sound of one utterance that may wait to be taken; an utterance that
            nobody listens to is cancelled there and raises `Overrun`.

    Yields:
        The connection, after the server's `ready`.

    Raises:
        Unauthorized: no key, or a wrong one.
        Overloaded: the server takes no more connections.
        ConnectionLost: nobody answers, or not this protocol.
    """
    try:
        async with asyncio.timeout(open_timeout_s):
            socket = await _open_socket(_with_path(url), token, ssl)
            ready = await _ready(socket)
    except InvalidStatus as refused:
        raise from_status(refused) from refused
    except ConnectionClosed as closed:
        raise from_close(closed) from closed
    except TimeoutError:
        raise ConnectionLost(f"{url} did not answer within {open_timeout_s:g} s") from None
    except (OSError, InvalidHandshake, EOFError) as error:
        raise ConnectionLost(f"cannot connect to {url}: {error}") from error
    connection = Connection(socket, ready, max_queued_bytes)
    try:
        if lead_ms is not None:
            await connection.greet(Hello(lead_ms=lead_ms))
        yield connection
    finally:
        await connection.close()


async def _open_socket(url: str, token: str | None, ssl: tls.SSLContext | None) -> ClientConnection:
    parts = urlsplit(url)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return await connect_socket(
        url,
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        additional_headers=headers,
        compression=None,
        proxy=None if _is_loopback(parts.hostname or "") else True,
        ssl=ssl if parts.scheme == "wss" else None,
        open_timeout=None,
        max_size=_MAX_MESSAGE_BYTES,
    )


async def _ready(socket: ClientConnection) -> Ready:
    """Waits for the first message; closes the socket when it is not `ready`.

    Raises:
        StreamTTSError: the server refuses, in its own words.
        ConnectionLost: it speaks another protocol.
    """
    try:
        frame = await socket.recv()
        try:
            message = decode_server(frame)
        except RequestError:
            message = None
        if isinstance(message, Error):
            raise from_message(message)
        if not isinstance(message, Ready):
            raise ConnectionLost(f"this is no streamtts server: it began with {frame!r:.80}")
    except BaseException:
        await socket.close()
        raise
    return message


def _with_path(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss"):
        raise BadField(f"{url!r} is no address of a server: ws://host:port or wss://host:port")
    path = parts.path if parts.path not in ("", "/") else PATH
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
