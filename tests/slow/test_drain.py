"""M12 of the project's measures: SIGTERM loses no utterance; kill -9 of one server hurts no other.

Real processes, real voice.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from bench.bench_server import ServerProcess, free_port
from support.live_server import Client
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

TEXT = "The old harbour was quiet in the morning, and only the gulls were awake. "
STREAMS = 6
EXIT_LIMIT_S = 40.0
SERVER = '[server]\ndrain_s = 30.0\n[log]\nlevel = "info"\n'
PROXY = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{front}
  default_backend back
backend back
  balance roundrobin
  option httpchk GET /readyz
{servers}
"""

pytestmark = pytest.mark.slow


class Server(ServerProcess):
    """One that is told to stop by the test itself."""

    def wait(self) -> int:
        """Its exit status."""
        return int(self._process.wait(EXIT_LIMIT_S))


@contextlib.asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    async with connect(f"{url}/v1/stream", proxy=None, compression=None, max_queue=None) as ws:
        yield Client(ws)


async def whole(c: Client, context_id: str) -> int:
    """Reads up to `done`; nothing may be missing. Returns the samples."""
    done = await c.until("done", context_id=context_id)
    handle = c.handle(context_id)
    chunks = [(header, data) for header, data in c.chunks if header.handle == handle]
    assert [header.seq for header, _ in chunks] == list(range(len(chunks)))
    assert sum(len(data) for _, data in chunks) == 2 * done["samples"]
    assert chunks[-1][0].flags & 2
    return int(done["samples"])


def test_sigterm_in_the_middle_of_utterances_loses_none() -> None:
    """Those that sound, those whose text is still coming, and those that wait behind others."""

    async def main(server: Server) -> None:
        async with contextlib.AsyncExitStack() as stack:
            speaking = [await stack.enter_async_context(client(server.url)) for _ in range(STREAMS)]
            idle = await stack.enter_async_context(client(server.url))
            await idle.until("ready")
            for number, c in enumerate(speaking):
                await c.send("text", context_id="first", text=TEXT * (1 + number % 2))
                if number % 3:
                    await c.send("end", context_id="first")
                    await c.send("text", context_id="behind", text=TEXT)
                    await c.send("end", context_id="behind")
            for c in speaking:
                await c.until("started", context_id="first")
            os.kill(server.pid, signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                await idle.until("nothing")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
            with pytest.raises((InvalidStatus, OSError)):
                async with client(server.url):
                    pass
            for number, c in enumerate(speaking):  # text that was still to come is taken
                if not number % 3:
                    await c.send("text", context_id="first", text="Nobody saw it happen.")
                    await c.send("end", context_id="first")
            for number, c in enumerate(speaking):
                assert await whole(c, "first") > 16_000
                if number % 3:
                    assert await whole(c, "behind") > 16_000
                with pytest.raises(ConnectionClosed) as bye:
                    await c.until("nothing")
                assert bye.value.rcvd is not None
                assert bye.value.rcvd.code == 1001
                assert c.of("error") == []

    with Server(more=SERVER) as server:
        asyncio.run(main(server))
        assert server.wait() == 0
        assert "drain is over" not in server.said()


def test_the_second_sigterm_stops_at_once() -> None:
    async def main(server: Server) -> None:
        async with client(server.url) as c:
            await c.send("text", context_id="a", text=TEXT * 20)
            await c.until("started")
            os.kill(server.pid, signal.SIGTERM)
            await _until_refused(server.url)  # the drain has begun
            os.kill(server.pid, signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                await c.until("nothing")

    with Server(more=SERVER) as server:
        asyncio.run(main(server))
        assert server.wait() == 0


@pytest.fixture
def pair() -> Iterator[tuple[ServerProcess, ServerProcess]]:
    with ServerProcess() as one, ServerProcess() as other:
        yield one, other


async def speak_through_a_kill(
    url_of_one: str, url_of_other: str, kill: ServerProcess, other: ServerProcess
) -> None:
    """Streams on both; one is killed; those of the other end whole, and a new one is served."""
    async with contextlib.AsyncExitStack() as stack:
        urls = [url_of_one, url_of_other] * (STREAMS // 2)
        clients = [await stack.enter_async_context(client(url)) for url in urls]
        for c in clients:
            await c.send("text", context_id="a", text=TEXT * 2)
            await c.send("end", context_id="a")
        for c in clients:
            await c.until("started")
        assert other.metrics()["streamtts_connections"] == STREAMS // 2
        os.kill(kill.pid, signal.SIGKILL)
        ends = await asyncio.gather(*(whole(c, "a") for c in clients), return_exceptions=True)
        lost = [end for end in ends if isinstance(end, ConnectionClosed)]
        spoken = [end for end in ends if isinstance(end, int)]
        assert len(lost) == len(spoken) == STREAMS // 2, ends
        assert len(set(spoken)) == 1  # the same text, the same seed
        async with client(url_of_other) as c:
            await c.send("text", context_id="b", text=TEXT)
            await c.send("end", context_id="b")
            assert await whole(c, "b") > 16_000


def test_kill_9_of_one_of_two_servers(pair: tuple[ServerProcess, ServerProcess]) -> None:
    one, other = pair
    asyncio.run(speak_through_a_kill(one.url, other.url, one, other))


def test_kill_9_behind_haproxy(pair: tuple[ServerProcess, ServerProcess], tmp_path: Path) -> None:
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed")
    front = free_port()
    servers = "\n".join(
        f"  server s{i} {server.url.removeprefix('ws://')} check inter 200ms on-marked-down"
        " shutdown-sessions"
        for i, server in enumerate(pair)
    )
    config = tmp_path / "haproxy.cfg"
    config.write_text(PROXY.format(front=front, servers=servers))
    one, other = pair
    with subprocess.Popen(["haproxy", "-db", "-f", str(config)]) as proxy:
        try:
            url = f"ws://127.0.0.1:{front}"
            asyncio.run(_until_up(front))
            asyncio.run(speak_through_a_kill(url, url, one, other))
        finally:
            proxy.terminate()


async def _until_up(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            await asyncio.sleep(0.05)


async def _until_refused(url: str) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                async with client(url):
                    pass
            except (InvalidStatus, OSError):
                return
