"""The one ASGI application behind the port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from streamtts.server import http
from streamtts.server.gateway import Gateway
from streamtts.server.websocket import stream

LAG_EVERY_S = 0.1
STALLED_CHECKS = 8  # looks at every client within the time that it may stop reading


STREAM_PATH = "/v1/stream"


def create_app(gateway: Gateway) -> ASGIApp:
    """Routes on top of a gateway; nothing runs before the application's lifespan begins.

    The native WebSocket goes past Starlette: its middleware would stay on the stack of every
    connection, a fifth of what an idle one costs.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(_watch_lag(gateway), name="loop lag"),
            asyncio.create_task(_watch_readers(gateway), name="slow readers"),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    app = Starlette(
        routes=[
            Route("/", http.about),
            Route("/healthz", http.healthz),
            Route("/readyz", http.readyz),
            Route("/metrics", http.metrics),
            Route("/v1/voices", http.voices),
            Route("/v1/capabilities", http.capabilities),
        ],
        lifespan=lifespan,
    )
    app.state.gateway = gateway

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == STREAM_PATH:
            await stream(gateway, scope, receive, send)
        else:
            await app(scope, receive, send)

    return route


async def _watch_lag(gateway: Gateway) -> None:
    while True:
        due = gateway.clock() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        gateway.metrics.observe_lag(max(0.0, gateway.clock() - due))


async def _watch_readers(gateway: Gateway) -> None:
    while True:
        await asyncio.sleep(gateway.config.server.slow_reader_s / STALLED_CHECKS)
        for peer in tuple(gateway.peers):
            peer.check_stalled()
