"""What comes over the wire as an error becomes the exception of that code again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamtts import errors
from streamtts.errors import Loading, Overloaded, StreamTTSError, Unauthorized

if TYPE_CHECKING:
    from streamtts.protocol.messages import Error

_CODES: dict[str, type[StreamTTSError]] = {
    kind.code: kind
    for kind in (
        errors.BadJSON,
        errors.UnknownType,
        errors.BadField,
        errors.UnknownVoice,
        errors.UnknownContext,
        errors.ContextLimit,
        errors.TextTooLong,
        errors.Unauthorized,
        errors.Overloaded,
        errors.Loading,
        errors.StreamStuck,
    )
}
_CLOSE_CODES: dict[int, type[StreamTTSError]] = {1001: Loading, 1013: Overloaded}
_HTTP_CODES: dict[int, type[StreamTTSError]] = {
    401: Unauthorized,
    403: Unauthorized,
    503: Loading,
}


class ConnectionLost(StreamTTSError):
    """The connection ended while an utterance was still being spoken."""


class Overrun(StreamTTSError):
    """Events came and nobody took them until the bound of the queue was reached."""


def from_message(message: Error) -> StreamTTSError:
    """Turns an `error` message into the exception of its code."""
    retry = None if message.retry_after_ms is UNSET else message.retry_after_ms
    kind = _CODES.get(message.code, StreamTTSError)
    return kind(message.message, retry_after_ms=retry)


def from_close(closed: ConnectionClosed) -> StreamTTSError:
    """Tells why a connection ended: draining, too much load, or something else."""
    if closed.rcvd is None:
        return ConnectionLost("the connection to the server broke")
    code, reason = closed.rcvd.code, closed.rcvd.reason
    kind = _CLOSE_CODES.get(code, ConnectionLost)
    return kind(f"the server closed the connection: {code}{' ' + reason if reason else ''}")


def from_status(refused: InvalidStatus) -> StreamTTSError:
    """Tells why a server would not even open a WebSocket."""
    status = refused.response.status_code
    body = bytes(refused.response.body or b"").decode("utf-8", "replace").strip()
    kind = _HTTP_CODES.get(status, ConnectionLost)
    return kind(f"the server refused the connection: HTTP {status}{': ' + body if body else ''}")
