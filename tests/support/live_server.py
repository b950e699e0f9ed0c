"""A real server, uvicorn and all, on a thread of its own; and a real client to talk to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from streamtts import config as schema
from streamtts.config import Config
from streamtts.protocol.frames import HEADER_BYTES, Header, unpack_header
from streamtts.protocol.parts import VoiceInfo
from streamtts.server import lifecycle
from streamtts.server.gateway import Gateway
from streamtts.server.security import Keys, load_keys

GUARD_S = 60.0  # against hanging


class WatchedGateway(Gateway):
    """Tells another thread that it serves."""

    def __init__(self, config: Config, keys: Keys) -> None:
        super().__init__(config, keys)
        self.serving = threading.Event()
        self.emptied = threading.Event()

    def leave(self, peer: Any) -> None:
        super().leave(peer)
        self.emptied.set()

    def serve(self, service: Any, voices: Sequence[VoiceInfo]) -> None:
        super().serve(service, voices)
        self.serving.set()


class LiveServer:
    """A server on a free port of 127.0.0.1.

    Args:
        load: as for `Lifecycle`.
        config: TOML; the port is taken from it (0 by default).
    """

    def __init__(self, load: Callable[[], Any], config: str = "") -> None:
        parsed = schema.parse(config)
        self.config = msgspec.structs.replace(
            parsed, server=msgspec.structs.replace(parsed.server, port=0)
        )
        self.gateway = WatchedGateway(self.config, Keys(load_keys(self.config)))
        self._sock = lifecycle.bind(self.config.server.host, 0)
        self.port: int = self._sock.getsockname()[1]
        self.lifecycle = lifecycle.Lifecycle(self.gateway, load)
        self.error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="live server")

    @property
    def secure(self) -> bool:
        return bool(self.config.tls.cert)

    @property
    def ws(self) -> str:
        return f"{'wss' if self.secure else 'ws'}://127.0.0.1:{self.port}/v1/stream"

    @property
    def http(self) -> str:
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self.port}"

    def start(self, *, wait: bool = True) -> None:
        self._thread.start()
        if wait:
            assert self.gateway.serving.wait(GUARD_S)

    def signal(self) -> None:
        """What SIGTERM does."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.lifecycle.signalled)

    def stop(self) -> None:
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self.signal()
                self.signal()
        self.join()

    def join(self) -> None:
        self._thread.join(GUARD_S)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lifecycle.loop_factory()) as runner:
            self._loop = runner.get_loop()
            try:
                runner.run(self.lifecycle.run(self._sock, take_signals=False))
            except BaseException as error:
                self.error = error


@contextlib.contextmanager
def live_server(load: Callable[[], Any], config: str = "") -> Iterator[LiveServer]:
    server = LiveServer(load, config)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Client:
    """A client that keeps everything it was told."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []
        self.chunks: list[tuple[Header, bytes]] = []
        self.order: list[dict[str, Any] | Header] = []

    async def send(self, type_: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": type_, **fields}))

    async def receive(self) -> dict[str, Any] | Header:
        frame = await asyncio.wait_for(self.socket.recv(), GUARD_S)
        if isinstance(frame, bytes):
            header = unpack_header(frame)
            self.chunks.append((header, frame[HEADER_BYTES:]))
            self.order.append(header)
            return header
        message: dict[str, Any] = json.loads(frame)
        self.messages.append(message)
        self.order.append(message)
        return message

    async def until(self, type_: str, **fields: Any) -> dict[str, Any]:
        """Reads on until a message of that type with those fields."""
        while True:
            got = await self.receive()
            if isinstance(got, dict) and got["type"] == type_ and got.items() >= fields.items():
                return got

    async def until_chunks(self, number: int) -> None:
        while len(self.chunks) < number:
            await self.receive()

    def of(self, type_: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == type_]

    def audio(self, handle: int) -> bytes:
        return b"".join(
            data for header, data in self.chunks if header.handle == handle and header.flags < 16
        )

    async def say(self, context_id: str, *deltas: str, **settings: Any) -> dict[str, Any]:
        """A whole context, up to its `done`."""
        await self.send("open", context_id=context_id, **settings)
        for delta in deltas:
            await self.send("text", context_id=context_id, text=delta)
        await self.send("end", context_id=context_id)
        return await self.until("done", context_id=context_id)

    def handle(self, context_id: str) -> int:
        """The newest handle of a context of that name."""
        handles = [m["handle"] for m in self.of("opened") if m["context_id"] == context_id]
        newest: int = handles[-1]
        return newest

    def ends(self) -> list[str]:
        """The contexts that have ended, in that order."""
        return [
            message["context_id"]
            for message in self.messages
            if message["type"] in ("done", "cancelled")
            or (message["type"] == "error" and message["final"])
        ]

    async def barrier(self) -> None:
        """Everything sent before has been taken, everything it caused at once has arrived."""
        mark = f"barrier {len(self.messages)}"
        await self.send("ping", t=mark)
        await self.until("pong", t=mark)


@contextlib.asynccontextmanager
async def client(server: LiveServer, **options: Any) -> AsyncIterator[Client]:
    options = {"proxy": None, "compression": None, "max_size": None} | options
    async with connect(server.ws, **options) as socket:
        yield Client(socket)
