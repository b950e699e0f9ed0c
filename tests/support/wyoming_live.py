"""A Wyoming server on a free port, in the loop of the test that uses it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from wyoming.client import AsyncTcpClient

from streamtts import config as schema
from streamtts.protocol.parts import VoiceInfo
from streamtts.server.gateway import Gateway
from streamtts.server.security import Keys
from streamtts.server.wyoming import WyomingServer, bind
from support.fake_service import VOICES, FakeService


@dataclass
class Live:
    """What a test needs of the server."""

    gateway: Gateway
    server: WyomingServer
    service: Any
    port: int

    def client(self) -> AsyncTcpClient:
        return AsyncTcpClient("127.0.0.1", self.port)

    def raw(self, receive_buffer: int = 65536) -> socket.socket:
        """A socket that reads only when the test does; blocking: use it off the loop."""
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(20)
        raw.connect(("127.0.0.1", self.port))
        return raw

    async def gone(self) -> None:
        """Waits until no client is left."""
        await asyncio.wait_for(self.gateway.quiet.wait(), 20)


@contextlib.asynccontextmanager
async def wyoming_server(
    config: str = "",
    service: Any = None,
    voices: Sequence[VoiceInfo] = VOICES,
    clock: Callable[[], float] | None = None,
) -> AsyncIterator[Live]:
    """Serves a fake service, or another one.

    Args:
        config: TOML; `enabled` and a free port are put under [wyoming].
        service: None for a `FakeService` of its own.
        voices: of the service.
        clock: of the gateway.
    """
    head, _, wyoming = config.partition("[wyoming]")
    parsed = schema.parse(f"{head}\n[wyoming]\nenabled = true\nport = 0\n{wyoming}")
    gateway = Gateway(parsed, Keys(()), **({"clock": clock} if clock else {}))
    server = WyomingServer(gateway, bind(parsed))
    service = service or FakeService()
    gateway.serve(service, voices)
    await server.start()
    try:
        yield Live(gateway, server, service, server.port)
    finally:
        await server.close()
        await asyncio.to_thread(service.close)
