"""What else speaks out of the service of one server: another port, a broker's bridge."""

from __future__ import annotations

import socket
from typing import Protocol

from streamtts.server.wyoming import WyomingServer

WYOMING = "wyoming"


class Companion(Protocol):
    """Comes and goes with a server."""

    async def start(self) -> None:
        """The gateway serves."""

    async def drain(self, limit_s: float) -> object:
        """Takes nothing new; returns when nothing is being said."""

    async def close(self) -> None:
        """Ends now; also called when it was never started."""


class WyomingPort:
    """The Wyoming server as a companion.

    Args:
        server: not started.
    """

    def __init__(self, server: WyomingServer) -> None:
        self._server = server

    @property
    def clients(self) -> int:
        """Open connections."""
        return self._server.clients

    async def adopt(self, sock: socket.socket) -> None:
        """Serves a connection that the parent has accepted."""
        await self._server.adopt(sock)

    async def start(self) -> None:
        """See `Companion`."""
        await self._server.start()

    async def drain(self, limit_s: float) -> None:
        """See `Companion`; its connections are the gateway's, which waits for them."""
        self._server.drain()

    async def close(self) -> None:
        """See `Companion`."""
        await self._server.close()
