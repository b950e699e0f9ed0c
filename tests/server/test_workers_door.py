"""Connections that one side accepts and the other serves: real sockets, all in one process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.certificate import write_certificate
from support.fake_service import VOICES, FakeService
from support.live_server import GUARD_S, Client
from websockets.asyncio.client import connect

from streamtts import config as schema
from streamtts.config import Config
from streamtts.server import channel as wire
from streamtts.server import lifecycle
from streamtts.server.channel import Channel
from streamtts.server.door import Door, Link
from streamtts.server.lifecycle import SEND_BUFFER_BYTES
from streamtts.server.worker import Worker


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(GUARD_S):
        while not true():  # noqa: ASYNC110 - what comes about on the server's side has no event here
            await asyncio.sleep(0.005)


class Crew:
    """Workers without processes, and the door in front of them."""

    def __init__(self, config: Config, workers: int) -> None:
        self.config = config
        self.sock = lifecycle.bind("127.0.0.1", 0)
        self.port: int = self.sock.getsockname()[1]
        self.services = [FakeService() for _ in range(workers)]
        self.door = Door({"http": self.sock}, config.server.connections, time.monotonic)
        self.failed: dict[int, wire.Failed] = {}
        self.tasks: dict[int, asyncio.Task[int]] = {}
        self.links: dict[int, Link] = {}
        self.workers: dict[int, Worker] = {}

    @property
    def servers(self) -> list[Any]:
        """Their uvicorns."""
        return [worker._lifecycle.server for worker in self.workers.values()]

    def start(self, number: int) -> None:
        ours, theirs = socket.socketpair()

        def load(config: Config) -> Any:
            return self.services[number], VOICES

        worker = self.workers[number] = Worker(number, self.config, load)
        self.tasks[number] = asyncio.create_task(worker.run(theirs, take_signals=False))
        link: Link

        def on_message(message: Any, sock: socket.socket | None) -> None:
            match message:
                case wire.Report():
                    self.door.report(link, message)
                case wire.Taken(count=count):
                    link.taken(count)
                case wire.Failed():
                    self.failed[number] = message

        channel = Channel(ours, wire.TO_PARENT, on_message, lambda: None, lambda: self.door.wake())
        link = self.links[number] = Link(number, channel)
        channel.start()
        self.door.enter(link)

    async def ready(self) -> None:
        await until(lambda: all(link.seat.ready for link in self.links.values()))

    @contextlib.asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[Client]:
        scheme = "wss" if "ssl" in options else "ws"
        options = {"proxy": None, "compression": None} | options
        async with connect(f"{scheme}://127.0.0.1:{self.port}/v1/stream", **options) as socket:
            yield Client(socket)

    async def stop(self) -> None:
        for link in self.links.values():
            link.channel.send(wire.Stop())
        await asyncio.gather(*self.tasks.values())
        for link in self.links.values():
            link.channel.close()
        self.door.close()
        self.sock.close()


@contextlib.asynccontextmanager
async def crew(text: str = "", workers: int = 2) -> AsyncIterator[Crew]:
    made = Crew(schema.parse(text), workers)
    for number in range(workers):
        made.start(number)
    try:
        await made.ready()
        yield made
    finally:
        await made.stop()


def test_streams_are_spread_evenly() -> None:
    async def main() -> None:
        async with crew(workers=3) as workers, contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(workers.client()) for _ in range(9)]
            for number, c in enumerate(clients):
                await c.send("text", context_id=f"{number}", text="for ever")
            await asyncio.gather(*(c.until("started") for c in clients))
            assert [len(service.alive) for service in workers.services] == [3, 3, 3]
            seats = [link.seat for link in workers.links.values()]
            await until(lambda: [seat.load for seat in seats] == [3, 3, 3])

    asyncio.run(main())


def test_who_has_begun_counts_by_what_is_said_and_who_has_not_as_one() -> None:
    async def main() -> None:
        async with crew() as workers, contextlib.AsyncExitStack() as stack:
            loads = [link.seat for link in workers.links.values()]
            a, b = [await stack.enter_async_context(workers.client()) for _ in range(2)]
            await until(lambda: [seat.load for seat in loads] == [1, 1])
            for number in range(4):
                await a.send("text", context_id=f"{number}", text="for ever")
            await until(lambda: sorted(seat.load for seat in loads) == [1, 4])
            more = [await stack.enter_async_context(workers.client()) for _ in range(3)]
            await until(lambda: sorted(seat.load for seat in loads) == [4, 4])
            for number in range(4):
                await a.send("cancel", context_id=f"{number}")
                await a.until("cancelled", context_id=f"{number}")
            await until(lambda: sorted(seat.load for seat in loads) == [0, 4])
            assert sorted(seat.connections for seat in loads) == [1, 4]
            assert (await b.until("ready"))["session_id"]
            assert len(more) == 3

    asyncio.run(main())


def test_http_keeps_its_connection() -> None:
    async def main() -> None:
        async with crew() as workers:
            url = f"http://127.0.0.1:{workers.port}"
            limits = httpx.Limits(max_connections=1)
            async with httpx.AsyncClient(trust_env=False, limits=limits) as browser:
                for _ in range(3):
                    answer = await browser.get(f"{url}/readyz")
                    assert (answer.status_code, answer.text) == (200, "ready\n")
                assert (await browser.get(f"{url}/v1/voices")).json()["default"] == "fake"
            assert sum(link.seat.handed for link in workers.links.values()) == 1

    asyncio.run(main())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, lifecycle.loop_factory()])
def test_sound_leaves_at_once(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Without TCP_NODELAY a small frame waits for the acknowledgement of the one before."""

    async def main() -> None:
        async with crew(workers=1) as workers, workers.client() as c:
            await c.until("ready")
            (protocol,) = workers.servers[0].server_state.connections
            sock = protocol.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * SEND_BUFFER_BYTES

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def test_tls(tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path)

    async def main() -> None:
        async with crew(f'[tls]\ncert = "{cert}"\nkey = "{key}"') as workers:
            trust = ssl.create_default_context(cafile=cert)
            options: dict[str, Any] = {
                "ssl": trust,
                "server_hostname": "localhost",
                "origin": f"https://127.0.0.1:{workers.port}",
            }
            _, plain = await asyncio.open_connection("127.0.0.1", workers.port)
            plain.write(b"GET / HTTP/1.1\r\n\r\n")  # no handshake: nobody else's trouble
            async with workers.client(**options) as a, workers.client(**options) as b:
                for c in (a, b):
                    assert (await c.say("a", "one two"))["samples"] == 3 * 640
            plain.close()
            await plain.wait_closed()
            assert [len(service.contexts) for service in workers.services] == [1, 1]

    asyncio.run(main())


def test_who_sends_nothing_is_counted_and_closed_in_time() -> None:
    async def main() -> None:
        async with crew("[server]\nheader_timeout_s = 0.3") as workers:
            reader, writer = await asyncio.open_connection("127.0.0.1", workers.port)
            await until(lambda: sum(s.seat.load for s in workers.links.values()) == 1)
            answer = await asyncio.wait_for(reader.read(), GUARD_S)
            assert b"no whole header within 0.3 s" in answer
            writer.close()
            await until(lambda: sum(s.seat.load for s in workers.links.values()) == 0)

    asyncio.run(main())


def test_five_hundred_at_once() -> None:
    async def ask(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer

    async def main() -> None:
        async with crew(workers=2) as workers:
            async with asyncio.timeout(GUARD_S):
                answers = await asyncio.gather(*(ask(workers.port) for _ in range(500)))
            assert Counter(answer[:12] for answer in answers) == {b"HTTP/1.1 200": 500}
            handed = [link.seat.handed for link in workers.links.values()]
            assert sum(handed) == 500
            assert min(handed) > 200

    asyncio.run(main())


# --- the door with workers that are only a channel


class Dummy:
    """The worker's end of a channel, which takes nothing before it is told to."""

    def __init__(self, door: Door, number: int = 0) -> None:
        ours, theirs = socket.socketpair()
        self.messages: list[tuple[Any, socket.socket | None]] = []
        self.channel = Channel(
            theirs, wire.TO_WORKER, lambda *both: self.messages.append(both), lambda: None
        )
        self.link = Link(
            number, Channel(ours, wire.TO_PARENT, lambda *_: None, lambda: None, door.wake)
        )
        door.enter(self.link)

    def sockets(self) -> list[socket.socket]:
        return [sock for _, sock in self.messages if sock is not None]

    def close(self) -> None:
        self.channel.close()
        self.link.channel.close()
        for sock in self.sockets():
            sock.close()


@contextlib.contextmanager
def connected(port: int, number: int) -> Any:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(number)
        ]


def test_what_a_worker_never_saw_goes_to_the_next_one() -> None:
    async def main() -> None:
        with lifecycle.bind("127.0.0.1", 0) as listener:
            door = Door({"http": listener}, 100, time.monotonic)
            first = Dummy(door)
            with connected(listener.getsockname()[1], 3) as clients:
                await until(lambda: first.link.seat.handed == 3)
                first.link.taken(1)
                first.close()
                door.leave(first.link)
                assert door.links == ()
                second = Dummy(door, 1)
                second.channel.start()
                await until(lambda: len(second.messages) == 2)
                peers = {sock.getpeername() for sock in second.sockets()}
                assert peers == {sock.getsockname() for sock in clients[1:]}
                assert clients[0].recv(1) == b""  # went down with the first
                second.link.taken(2)
                for sock in second.sockets():
                    sock.send(b"!")
                assert [sock.recv(1) for sock in clients[1:]] == [b"!", b"!"]
                second.close()
                door.leave(second.link)
            door.close()

    asyncio.run(main())


def test_connections_wait_while_no_worker_reads() -> None:
    async def main() -> None:
        with lifecycle.bind("127.0.0.1", 0) as listener:
            door = Door({"http": listener}, 100, time.monotonic)
            sleeper = Dummy(door)
            with connected(listener.getsockname()[1], 400) as clients:
                await until(lambda: sleeper.link.channel.full)
                handed = sleeper.link.seat.handed
                assert handed < 400  # the rest waits in the system's queue, not here
                sleeper.channel.start()
                await until(lambda: len(sleeper.messages) == 400)
                peers = [sock.getpeername() for sock in sleeper.sockets()]
                assert peers == [sock.getsockname() for sock in clients]
            sleeper.close()
            door.leave(sleeper.link)
            door.close()

    asyncio.run(main())


def test_no_descriptors_left_is_a_pause_and_no_spin(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Exhausted(socket.socket):
        refusals = 2

        def accept(self) -> Any:
            if self.refusals:
                self.refusals -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    async def main() -> None:
        monkeypatch.setattr("streamtts.server.door.BREATH_S", 0.01)
        with lifecycle.bind("127.0.0.1", 0) as plain:
            listener = Exhausted(fileno=plain.detach())
        with listener:
            door = Door({"http": listener}, 100, time.monotonic)
            worker = Dummy(door)
            with connected(listener.getsockname()[1], 1):
                await until(lambda: worker.link.seat.handed == 1)
            worker.close()
            door.leave(worker.link)
            door.close()

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "cannot accept: [Errno 24] Too many open files"
    ] * 2


def test_a_long_message_among_sockets_keeps_the_order() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        got: list[tuple[Any, socket.socket | None]] = []
        writer = Channel(ours, wire.TO_PARENT, lambda *_: None, lambda: None)
        reader = Channel(theirs, wire.TO_WORKER, lambda *both: got.append(both), lambda: None)
        text = wire.AllMetrics("é" * 300_000)
        sent: list[wire.Message] = [wire.Connection("a"), text, wire.Connection("b"), wire.Drain()]
        with contextlib.ExitStack() as stack:
            pair = [stack.enter_context(end) for end in socket.socketpair()]
            for message in sent:
                carries = isinstance(message, wire.Connection)
                writer.send(message, pair["ab".index(message.port)] if carries else None)
            assert writer.full
            reader.start()
            await until(lambda: len(got) == 4)
            assert not writer.full
            assert [message for message, _ in got] == sent
            for (_, arrived), original in zip((got[0], got[2]), pair, strict=True):
                assert arrived is not None
                with arrived:
                    assert os.fstat(arrived.fileno()) == os.fstat(original.fileno())
                    assert not arrived.get_inheritable()
        writer.close()
        reader.close()

    asyncio.run(main())


def test_a_socket_without_a_descriptor_is_known_to_be_lost() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        got: list[tuple[Any, socket.socket | None]] = []
        writer = Channel(ours, wire.TO_PARENT, lambda *_: None, lambda: None)
        reader = Channel(theirs, wire.TO_WORKER, lambda *both: got.append(both), lambda: None)
        with lifecycle.bind("127.0.0.1", 0) as carried:
            writer.send(wire.Connection("lost"), carried)
            free = os.dup(0)
            os.close(free)  # the lowest that is not in use
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
            try:
                reader.read()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            writer.send(wire.Connection("found"), carried)
            reader.read()
        assert [message.port for message, _ in got] == ["lost", "found"]
        assert got[0][1] is None
        assert got[1][1] is not None
        got[1][1].close()
        writer.close()
        reader.close()

    asyncio.run(main())


def test_a_worker_says_why_it_gives_up() -> None:
    async def main() -> None:
        config = schema.parse('[auth]\nkeys_file = "/nowhere/keys"')
        workers = Crew(config, 1)
        workers.start(0)
        assert await asyncio.wait_for(workers.tasks[0], GUARD_S) == 1
        await until(lambda: 0 in workers.failed)
        assert "/nowhere/keys" in workers.failed[0].error
        assert workers.failed[0].detail == ""
        await workers.stop()

    asyncio.run(main())
