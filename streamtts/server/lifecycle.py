"""From a bound socket to the last good-bye: uvicorn, signals, loading, drain."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import uvicorn

from streamtts.config import Config
from streamtts.errors import ConfigError
from streamtts.protocol.parts import VoiceInfo
from streamtts.server.asgi import create_app
from streamtts.server.companions import Companion
from streamtts.server.gateway import Gateway, Phase
from streamtts.server.sockets import WebSocketProtocol, with_header_timeout

if TYPE_CHECKING:
    from streamtts.service import Service

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SEND_BUFFER_BYTES = 65_536
BACKLOG = 1024
KEEP_ALIVE_S = 5
GOODBYE_S = 3  # for the last bytes of connections that are closed
PING_INTERVAL_S = 20.0
PING_GRACE = 3  # times `slow_reader_s`: who has stopped reading is told that, not "ping timeout"

logger = logging.getLogger(__name__)

Loaded = tuple["Service", Sequence[VoiceInfo]]


def bind(host: str, port: int) -> socket.socket:
    """Takes the address before anything is loaded.

    Raises:
        ConfigError: it is in use, or is none of this machine's.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ConfigError(f"server.host: {host} is no address: {error.strerror}") from None
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # inherited
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"server.port: {host}:{port} is in use; stop what listens there or take another"
            ) from None
        raise ConfigError(f"server.host: cannot listen on {host}:{port}: {error}") from None
    return sock


class Server(uvicorn.Server):
    """uvicorn without its own hold on the signals, which would stop it at once.

    It can adopt connections that somebody else has accepted.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self.on_closing: Callable[[], None] = lambda: None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to `Lifecycle`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Says when it is up."""
        await super().startup(sockets)
        self.up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Says that it adopts no more."""
        self.on_closing()
        await super().shutdown(sockets)

    async def adopt(self, sock: socket.socket) -> None:
        """Serves an accepted connection as one of its own; to be called while it is up."""
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(self._protocol, sock, ssl=self.config.ssl)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def make_server(gateway: Gateway) -> Server:
    """Sets up uvicorn as this project wants it.

    Raises:
        ConfigError: the certificate or its key cannot be used.
    """
    config = gateway.config
    settings = uvicorn.Config(
        create_app(gateway),
        http=with_header_timeout(config.server.header_timeout_s),
        ws=WebSocketProtocol,
        ws_max_size=config.limits.message_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_GRACE * config.server.slow_reader_s,
        lifespan="on",
        log_config=None,
        log_level="warning",  # at "info" it logs addresses with their keys
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GOODBYE_S,
        ssl_certfile=config.tls.cert or None,
        ssl_keyfile=config.tls.key or None,
    )
    try:
        settings.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"tls.cert, tls.key: {error}") from None
    return Server(settings)


class Lifecycle:
    """Runs one server until it is stopped.

    Args:
        gateway: shared by its connections.
        load: makes the service and its voices, and speaks the warm-up; blocks, so it runs on a
            thread of its own.
        companions: start when the voice is loaded, drain and close with the server.
    """

    def __init__(
        self, gateway: Gateway, load: Callable[[], Loaded], companions: Sequence[Companion] = ()
    ) -> None:
        self._gateway = gateway
        self._load = load
        self._companions = companions
        self._started: list[Companion] = []
        self.server = make_server(gateway)
        self._signals = 0
        self._stopping: asyncio.Task[None] | None = None

    async def run(self, *socks: socket.socket, take_signals: bool = True) -> None:
        """Serves on bound sockets; returns after a drain or a second signal.

        Raises:
            StreamTTSError: loading failed.
        """
        loop = asyncio.get_running_loop()
        if take_signals:
            for number in SIGNALS:
                loop.add_signal_handler(number, self.signalled)
        loading = asyncio.create_task(self._become_ready(), name="loading")
        try:
            await self.server.serve(sockets=list(socks))
        finally:
            if take_signals:
                for number in SIGNALS:
                    loop.remove_signal_handler(number)
            if self._stopping is not None:
                self._stopping.cancel()
                await asyncio.wait([self._stopping])
            await asyncio.wait([loading])
            for companion in self._companions:
                await companion.close()
        if self._gateway.service is not None:
            await asyncio.to_thread(self._gateway.service.close)
        await loading
        logger.info("stopped")

    def signalled(self) -> None:
        """The first signal drains, the second stops now."""
        self._signals += 1
        if self._signals == 1:
            logger.info("draining; a second signal stops now")
            self.drain()
        else:
            self.stop()

    def drain(self) -> None:
        """Lets what is being said be said, then stops."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._drain(), name="drain")

    def stop(self) -> None:
        """Stops now."""
        self._gateway.stop()
        self.server.should_exit = True

    async def _become_ready(self) -> None:
        try:
            service, voices = await asyncio.to_thread(self._load)
            if self._gateway.phase is not Phase.LOADING:  # a signal came first
                await asyncio.to_thread(service.close)
                return
            self._gateway.serve(service, voices)
            logger.info("ready voices=%s", ",".join(voice.id for voice in voices))
            for companion in self._companions:
                if self._stopping is None:
                    self._started.append(companion)
                    await companion.start()
        except Exception:
            self.server.should_exit = True
            raise

    async def _drain(self) -> None:
        gateway = self._gateway
        limit_s = gateway.config.server.drain_s
        gateway.drain()
        draining = [companion.drain(limit_s) for companion in self._started]
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.gather(gateway.quiet.wait(), *draining)
        except TimeoutError:
            logger.warning("drain is over: connections=%d are cut off", len(gateway.peers))
        except Exception:
            logger.exception("drain failed")
        self.stop()


def address(config: Config, sock: socket.socket) -> str:
    """The address to show to people."""
    host, port = sock.getsockname()[:2]
    scheme = "https" if config.tls.cert else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """The uvloop of this machine, where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
