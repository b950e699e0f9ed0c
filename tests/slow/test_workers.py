"""Several workers behind one port: what takes a while. With the fake service, and for real."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from support.live_server import GUARD_S, Client
from support.live_workers import closing, finish, live_workers
from support.tiny_voice import save_tiny_voice
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.slow
START_GUARD_S = 180.0  # two processes that load torch, on a machine that does other things too
WHOLE = 4 * 640  # samples of what a speaker says


def test_a_second_signal_stops_all_now() -> None:
    async def main() -> None:
        async with live_workers() as server, contextlib.AsyncExitStack() as stack:
            clients = await server.speakers(stack, 2)
            server.parent.signalled()
            server.parent.signalled()
            assert [await closing(c) for c in clients] == [1001, 1001]
            await server.ended()

    asyncio.run(main())


def test_a_worker_that_is_told_to_go_speaks_to_the_end_and_is_replaced() -> None:
    async def main() -> None:
        async with live_workers() as server, contextlib.AsyncExitStack() as stack:
            clients = await server.speakers(stack, 2)
            old = server.pid(1)
            os.kill(old, signal.SIGTERM)
            await server.until(lambda: server.parent.ready == 1)
            assert [await finish(c) for c in clients] == [WHOLE] * 2
            await server.until(lambda: server.parent.ready == 2 and server.pid(1) != old)

    asyncio.run(main())


def test_a_worker_that_hangs_gets_nothing_and_is_killed_in_the_end() -> None:
    async def main() -> None:
        async with live_workers("[server]\ndrain_s = 0.1") as server:
            hung = server.pid(0)
            os.kill(hung, signal.SIGSTOP)
            async with contextlib.AsyncExitStack() as stack:
                await asyncio.sleep(2.5)  # what it takes for a worker to count as hung
                clients = await server.speakers(stack, 4)
                assert await server.samples("streamtts_contexts") == {"1": 4}
                assert [await finish(c) for c in clients] == [WHOLE] * 4
            server.parent.signalled()
            await server.ended()
            with pytest.raises(ProcessLookupError):
                os.kill(hung, 0)

    asyncio.run(main())


def test_a_burst_of_connections_is_answered_and_spread() -> None:
    async def ask(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer[:12]

    async def main() -> None:
        async with live_workers() as server:
            async with asyncio.timeout(GUARD_S):
                answers = await asyncio.gather(*(ask(server.port) for _ in range(500)))
            assert Counter(answers) == {b"HTTP/1.1 200": 500}
            handed = [link.seat.handed for link in server.parent._door.links]
            assert min(handed) > 200

    asyncio.run(main())


# --- the real thing


class Served:
    """`streamtts serve --workers 2` with a tiny voice."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, "-m", "streamtts", "serve", str(config)]
        self.process = subprocess.Popen(
            [*command, "--workers", "2", "--port", "0"], stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self.over = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def until(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Waits for lines of the log."""

        def found() -> list[re.Match[str]]:
            matches = (re.search(pattern, line) for line in self.lines)
            return [match for match in matches if match is not None]

        with self._changed:
            self._changed.wait_for(lambda: len(found()) >= times or self.over, START_GUARD_S)
            assert len(found()) >= times, self.lines
            return found()[-1]

    def port(self) -> int:
        port = int(self.until(r"listening on http://127\.0\.0\.1:(\d+) workers=2")[1])
        self.until("ready voices=tiny", 2)
        return port

    def close(self) -> None:
        """Ends it; its workers end with it, or this waits for ever."""
        self.process.kill()
        self.process.wait()
        self._reader.join(GUARD_S)
        assert not self._reader.is_alive()  # nobody holds its standard error
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self.over = True
            self._changed.notify_all()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], Served]]:
    save_tiny_voice(tmp_path)
    running: list[Served] = []

    def start(more: str = "") -> Served:
        path = tmp_path / "streamtts.toml"
        path.write_text(f'[voice]\nid = "tiny"\ndir = "{tmp_path}"\n{more}')
        running.append(Served(path))
        return running[-1]

    yield start
    for served in running:
        served.close()


async def speaking(stack: contextlib.AsyncExitStack, port: int, number: int) -> list[Client]:
    clients = []
    for _ in range(number):
        url = f"ws://127.0.0.1:{port}/v1/stream"
        socket = await stack.enter_async_context(connect(url, proxy=None, max_queue=None))
        clients.append(Client(socket))
        await clients[-1].send("text", context_id="a", text="This goes on for quite a while. " * 4)
    for c in clients:
        await c.until("started")
    return clients


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT]])
def test_serve_drains(serve: Callable[[str], Served], signals: list[signal.Signals]) -> None:
    served = serve("")

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            clients = await speaking(stack, served.port(), 4)
            for number in signals:
                served.process.send_signal(number)
            await asyncio.to_thread(served.until, "draining")
            for c in clients:
                await c.send("end", context_id="a")
            assert [(await c.until("done"))["reason"] for c in clients] == ["end"] * 4
            assert [await closing(c) for c in clients] == [1001] * 4

    asyncio.run(main())
    assert served.process.wait(GUARD_S) == 0
    assert not any("Traceback" in line for line in served.lines)


def test_without_their_parent_workers_speak_to_the_end_and_go(
    serve: Callable[[str], Served],
) -> None:
    served = serve("")

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            port = served.port()
            clients = await speaking(stack, port, 4)
            served.process.kill()
            await asyncio.to_thread(served.until, "the parent is gone", 2)
            with pytest.raises(ConnectionRefusedError):  # the port is free at once
                await asyncio.open_connection("127.0.0.1", port)
            for c in clients:
                await c.send("end", context_id="a")
            assert [(await c.until("done"))["reason"] for c in clients] == ["end"] * 4
            for c in clients:
                with pytest.raises(ConnectionClosed):
                    await c.until("nothing")

    asyncio.run(main())
    served.until("stopped", 2)


def test_wyoming_is_behind_one_port_too(serve: Callable[[str], Served]) -> None:
    served = serve("[wyoming]\nenabled = true\nport = 0\n")
    port = int(served.until(r"wyoming listening host=127\.0\.0\.1 port=(\d+)")[1])
    http = served.port()

    async def describe() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b'{"type": "describe"}\n')
        answer = await asyncio.wait_for(reader.readline(), GUARD_S)
        writer.close()
        return answer

    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False) as browser, asyncio.timeout(GUARD_S):
            url = f"http://127.0.0.1:{http}/metrics"
            while "streamtts_workers 2" not in (await browser.get(url)).text:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # the parent knows a moment after the log
            for answer in await asyncio.gather(*(describe() for _ in range(6))):
                assert b'"info"' in answer
            metrics = (await browser.get(url)).text
        connected = dict(re.findall(r'streamtts_connected_total\{worker="(\d)"\} (\d)', metrics))
        assert connected == {"0": "3", "1": "3"}

    asyncio.run(main())


def test_a_voice_that_is_not_there_is_one_line(
    serve: Callable[[str], Served], tmp_path: Path
) -> None:
    (tmp_path / "tiny" / "voice.json").unlink()
    served = serve("")
    assert served.process.wait(GUARD_S) == 1
    (line,) = [line for line in served.lines if "tiny" in line]
    assert line.startswith("streamtts: there is no voice 'tiny'")
    assert not any("Traceback" in line for line in served.lines)
