"""The Wyoming port: a TCP server of its own beside the one for WebSockets and HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
import socket

from streamtts.config import LOOPBACK, Config
from streamtts.errors import ConfigError, Loading, Overloaded, StreamTTSError
from streamtts.server.gateway import Gateway, Phase
from streamtts.server.wyoming_connection import READ_BYTES, Connection
from streamtts.server.wyoming_discovery import Announcement, check_announce

BACKLOG = 128
SEND_BUFFER_BYTES = 65_536
RETRY_MS = 1000  # when no more connections are taken
STALLED_CHECKS = 8  # looks at every client within the shortest time that it may waste
GOODBYE_S = 3.0  # for the last bytes of connections that are closed

logger = logging.getLogger(__name__)


def bind(config: Config) -> socket.socket:
    """Takes the address before anything is loaded; nobody can connect before `start`.

    Raises:
        ConfigError: it is in use or is none of this machine's; or it is to be announced, and
            nothing here can do that.
    """
    host, port = config.wyoming.host, config.wyoming.port
    check_announce(config.wyoming)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ConfigError(f"wyoming.host: {host} is no address: {error.strerror}") from None
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # inherited
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # inherited as well
        sock.bind(address)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"wyoming.port: {host}:{port} is in use; stop what listens there or take another"
            ) from None
        raise ConfigError(f"wyoming.host: cannot listen on {host}:{port}: {error}") from None
    return sock


def tell(host: str, port: int) -> None:
    """Tells the operator who may come."""
    logger.info("wyoming listening host=%s port=%d", host, port)
    if host not in LOOPBACK:
        logger.warning("Wyoming has no keys: whoever reaches %s:%d may speak", host, port)


class WyomingServer:
    """Serves Wyoming clients out of the gateway's service.

    Args:
        gateway: shared with all other connections.
        sock: from `bind`; closed by `drain` and `close`. None among `workers`, whose parent
            listens at `[wyoming] port` and hands on what it has accepted.
    """

    def __init__(self, gateway: Gateway, sock: socket.socket | None) -> None:
        self._gateway = gateway
        self._config = gateway.config.wyoming
        self._sock = sock
        self._numbers = itertools.count(1)
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._server: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None
        self._announcement: Announcement | None = None
        self._starting = False
        self._stopped = False

    @property
    def port(self) -> int:
        """The port that was bound."""
        if self._sock is None:
            return self._config.port
        port: int = self._sock.getsockname()[1]
        return port

    @property
    def clients(self) -> int:
        """Open connections."""
        return len(self._connections)

    async def start(self) -> None:
        """Begins to take connections. To be called when the gateway serves: voices are known.

        After `drain` or `close` it does nothing.

        Raises:
            ConfigError: something else has begun to listen there in the meantime.
        """
        if self._stopped:
            return
        self._starting = True
        host, port = self._config.host, self.port
        if self._sock is not None:
            try:
                self._server = await asyncio.start_server(
                    self._accept, sock=self._sock, limit=READ_BYTES, backlog=BACKLOG
                )
            except OSError as error:
                raise ConfigError(
                    f"wyoming.port: cannot listen on {host}:{port}: {error}"
                ) from None
            if self._stopped:  # meanwhile
                self._server.close()
                return
            tell(host, port)
        self._watch = asyncio.create_task(self._look_after_clients(), name="wyoming watch")
        if self._config.announce:
            self._announcement = Announcement(host, port)
            self._announcement.start()

    async def adopt(self, sock: socket.socket) -> None:
        """Serves a connection that somebody else has accepted; closes it when it cannot."""
        if self._stopped or not self._starting:
            sock.close()
            return
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(READ_BYTES, loop)
        sock.setblocking(False)
        await loop.connect_accepted_socket(
            lambda: asyncio.StreamReaderProtocol(reader, self._accept, loop), sock
        )

    def drain(self) -> None:
        """Takes no new connections; those that are there end when nothing is being said."""
        self._stop_listening()
        for connection in tuple(self._connections.values()):
            connection.drain()

    async def close(self) -> None:
        """Closes everything now; returns when it is closed. May be called without `start`."""
        self._stop_listening()
        for connection in tuple(self._connections.values()):
            connection.stop(1001, "the server is going away")
        if self._connections:
            await asyncio.wait(tuple(self._connections), timeout=GOODBYE_S)
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        if self._announcement is not None:
            await self._announcement.close()

    def _stop_listening(self) -> None:
        self._stopped = True
        if self._server is not None:
            self._server.close()
        elif self._sock is not None and not self._starting:
            self._sock.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        refusal = self._refusal()
        if refusal is not None and len(self._connections) >= 2 * self._config.connections:
            writer.transport.abort()  # even saying why has a limit
            return
        number = next(self._numbers)
        connection = Connection(self._gateway, reader, writer, number)
        task = asyncio.create_task(connection.run(refusal), name=f"wyoming {number}")
        self._connections[task] = connection
        task.add_done_callback(self._forget)

    def _refusal(self) -> StreamTTSError | None:
        if self._gateway.phase is not Phase.READY:
            self._gateway.metrics.refused["phase"] += 1
            return Loading(f"the server is {self._gateway.phase.value}", retry_after_ms=RETRY_MS)
        if len(self._connections) >= self._config.connections:
            self._gateway.metrics.refused["connections"] += 1
            return Overloaded("too many connections are open", retry_after_ms=RETRY_MS)
        return None

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        if not task.cancelled() and task.exception() is not None:
            logger.error("connection failed", exc_info=task.exception())

    async def _look_after_clients(self) -> None:
        server = self._gateway.config.server
        shortest_s = min(server.slow_reader_s, server.header_timeout_s, self._config.idle_s)
        while True:
            await asyncio.sleep(shortest_s / STALLED_CHECKS)
            for connection in tuple(self._connections.values()):
                with contextlib.suppress(OSError):
                    connection.check_stalled()
