"""Who may open a WebSocket, and what the others are told."""

from __future__ import annotations

import contextlib

from starlette.responses import PlainTextResponse
from starlette.types import Send
from starlette.websockets import WebSocket

from streamtts.errors import Loading, StreamTTSError
from streamtts.protocol.actions import error_frame
from streamtts.server.gateway import Gateway, Phase
from streamtts.server.security import origin_allowed


def refusal(websocket: WebSocket, gateway: Gateway) -> PlainTextResponse | None:
    """The answer to a handshake that is refused; None when it is welcome."""
    config = gateway.config.server
    if not origin_allowed(
        websocket.headers.get("origin"),
        host=websocket.headers.get("host", ""),
        secure=websocket.url.scheme == "wss",
        listen=config.host,
        allowed=config.origins,
    ):
        gateway.metrics.refused["origin"] += 1
        return PlainTextResponse("origin not allowed: see server.origins\n", 403)
    if gateway.phase is not Phase.READY:
        gateway.metrics.refused["phase"] += 1
        text = f"{Loading.code}: the server is {gateway.phase.value}\n"
        return PlainTextResponse(text, 503, headers={"retry-after": "1"})
    return None


async def turn_away(send: Send, error: StreamTTSError, code: int) -> None:
    """Closes a WebSocket that has just been accepted, with the reason as an `error` before."""
    with contextlib.suppress(OSError):  # he is gone
        await send({"type": "websocket.send", "text": error_frame(error).frame})
        await send({"type": "websocket.close", "code": code, "reason": error.code})
