"""A WebSocket by hand, for clients that no library would be: rude, slow, half dead."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any, TypeAlias

from streamtts.protocol.frames import HEADER_BYTES, Header, unpack_header

Frame: TypeAlias = dict[str, Any] | tuple[Header, bytes]

GUARD_S = 20.0
_TEXT, _BINARY = 0x1, 0x2
_UPGRADE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def handshake(port: int, receive_buffer: int = 65536) -> socket.socket:
    """Connects with a window of one's own: the kernel would else swallow seconds of sound."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.settimeout(GUARD_S)
    raw.connect(("127.0.0.1", port))
    raw.sendall(_UPGRADE)
    head = b""
    while not head.endswith(b"\r\n\r\n"):  # byte by byte: what follows belongs to the caller
        head += raw.recv(1)
    assert head.startswith(b"HTTP/1.1 101")
    return raw


def text_frame(message: dict[str, Any]) -> bytes:
    """One masked text frame; the mask is all zero."""
    payload = json.dumps(message).encode()
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + payload


def send_text(raw: socket.socket, **message: Any) -> None:
    raw.sendall(text_frame(message))


def frames(raw: socket.socket) -> Iterator[Frame]:
    """Messages and chunks as they come, until the server closes; ask once for each socket."""
    stream = raw.makefile("rb")
    while head := stream.read(2):
        length = head[1]
        if length >= 126:
            length = int.from_bytes(stream.read(2 if length == 126 else 8), "big")
        payload = stream.read(length)
        if head[0] & 15 == _TEXT:
            yield json.loads(payload)
        elif head[0] & 15 == _BINARY:
            yield unpack_header(payload), payload[HEADER_BYTES:]


def until(coming: Iterator[Frame], *types: str) -> list[Frame]:
    """Everything up to the last of these messages, each of which must come."""
    missing, got = set(types), []
    for frame in coming:
        got.append(frame)
        if isinstance(frame, dict):
            missing.discard(frame["type"])
            if not missing:
                return got
    raise AssertionError(f"closed before {missing}")
