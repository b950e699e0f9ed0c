"""Rude clients beside a good one: its sound is what it would be alone, and nothing is left over.

Every test has a neighbour who speaks the same sentence again and again, and every test ends when
the server holds what it held before: tasks, threads, handles, slots, contexts.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from support.live_server import Client, LiveServer, client, live_server
from support.raw_client import frames, handshake, send_text, text_frame
from support.readings import held, read, returned
from support.real_service import letters, load

SENTENCE = "the quick brown fox jumps over the dog, so it goes."
LONG = "all work and no play makes a dull day, " * 100
NO_MATTER = 1000  # the tests' own threads are counted too
ROUNDING = 0.01  # batches of other sizes add up in another order
RESET = struct.pack("ii", 1, 0)  # closes with a reset, as a process does that was killed


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    config = "[server]\nslow_reader_s = 1.0\noutbox_bytes = 8192"
    with live_server(lambda: load(letters, slots=8, queue=300), config) as running:
        yield running


async def speak(c: Client) -> NDArray[np.float32]:
    """One sentence; chunks must be whole and in order."""
    begun = len(c.chunks)
    done = await c.say("n", SENTENCE, seed=3)
    chunks = c.chunks[begun:]
    assert [header.seq for header, _ in chunks] == list(range(len(chunks)))
    sound = b"".join(data for _, data in chunks)
    assert len(sound) == 2 * done["samples"]
    return np.frombuffer(sound, "<i2").astype(np.float32)


@contextlib.asynccontextmanager
async def neighbour(server: LiveServer) -> AsyncIterator[None]:
    """Speaks while the block runs, twice at least; then the server must be as it was before."""
    before = held(read(server.http))._replace(threads=NO_MATTER)
    async with client(server) as c:
        await c.send("hello", lead_ms=0)
        alone = await speak(c)
        over = asyncio.Event()

        async def go_on() -> None:
            for round_ in itertools.count():
                again = await speak(c)
                assert len(again) == len(alone)
                assert np.std(again - alone) <= ROUNDING * np.std(alone)
                if over.is_set() and round_ > 0:
                    return

        speaking = asyncio.create_task(go_on())
        try:
            yield
        finally:
            over.set()
            await speaking
    now = await returned(server.http, before)
    assert all(a <= b for a, b in zip(now, before, strict=True)), (now, before)


def test_many_connections_that_send_nothing(server: LiveServer) -> None:
    async def main() -> None:
        async with neighbour(server), contextlib.AsyncExitStack() as stack:
            silent = [await stack.enter_async_context(client(server)) for _ in range(100)]
            connections = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
            await silent[-1].barrier()
            assert read(server.http)["connections"] == 101
            for raw in connections:
                raw.close()

    asyncio.run(main())


def test_one_byte_at_a_time_is_not_reading(server: LiveServer) -> None:
    """Descheduled, then closed with 1008, though a byte is taken now and then."""
    closes = read(server.http)["slow_reader_closes_total"]
    raw = handshake(server.port, 4096)
    send_text(raw, type="hello", lead_ms=0)
    send_text(raw, type="text", context_id="slow", text=LONG)

    async def main() -> None:
        descheduled = False
        async with neighbour(server), client(server) as c:
            while read(server.http)["slow_reader_closes_total"] == closes:
                raw.recv(1)
                await c.say("clock", "so it goes.")
                descheduled |= read(server.http)["slow_readers"] == 1
            raw.close()
        assert descheduled

    asyncio.run(main())


def test_ten_thousand_contexts_on_one_connection(server: LiveServer) -> None:
    async def main() -> None:
        async with neighbour(server), client(server) as c:
            for number in range(10_000):
                await c.send("open", context_id=f"c{number}", on_conflict="parallel")
            await c.until("error", context_id="c9999")
            limit = c.messages[0]["limits"]["contexts"]
            assert len(c.of("opened")) == limit
            codes = Counter((m["code"], m["final"]) for m in c.of("error"))
            assert codes == {("context_limit", True): 10_000 - limit}
            assert read(server.http)["contexts"] <= limit + 1
            await c.send("cancel", context_id="*")
            while len(c.of("cancelled")) < limit:
                await c.receive()

    asyncio.run(main())


def test_the_same_by_one_who_does_not_read(server: LiveServer) -> None:
    closes = read(server.http)["slow_reader_closes_total"]
    raw = handshake(server.port, 4096)
    flood = b"".join(
        text_frame({"type": "open", "context_id": f"{'c' * 100}{number}"}) for number in range(3000)
    )

    async def main() -> None:
        async with neighbour(server), client(server) as c:
            await asyncio.to_thread(raw.sendall, flood)
            while read(server.http)["slow_reader_closes_total"] == closes:
                await c.say("clock", "so it goes.")
            raw.close()

    asyncio.run(main())


def test_cancels_of_contexts_that_never_were(server: LiveServer) -> None:
    async def main() -> None:
        async with neighbour(server), client(server) as c:
            for number in range(2000):
                await c.send("cancel", context_id=f"never {number}")
            await c.send("cancel", context_id="*")
            await c.until("error", context_id="never 1999")
            codes = Counter((m["code"], m["final"]) for m in c.of("error"))
            assert codes == {("unknown_context", False): 2000}
            await c.say("a", "so it goes.")

    asyncio.run(main())


def test_two_hundred_opens_at_once(server: LiveServer) -> None:
    """Everybody is answered, and ends once; the one engine serves them in turn."""
    asked = [
        text_frame({"type": "hello", "lead_ms": 0})
        + text_frame({"type": "text", "context_id": "a", "text": "so it goes."})
        + text_frame({"type": "end", "context_id": "a"})
    ]

    def listen(raw: socket.socket) -> list[str]:
        told = []
        for frame in frames(raw):
            if isinstance(frame, dict):
                told.append(frame["type"])
                if frame["type"] == "error":
                    assert frame["code"] == "capacity"
                    assert frame["final"]
                    assert frame["retry_after_ms"] > 0
                if frame["type"] in ("done", "error"):
                    break
        raw.close()
        return told

    async def main() -> None:
        async with neighbour(server):
            crowd = [await asyncio.to_thread(handshake, server.port) for _ in range(200)]
            for raw in crowd:
                raw.sendall(asked[0])
            heard = await asyncio.gather(*(asyncio.to_thread(listen, raw) for raw in crowd))
            ends = Counter(told[-1] for told in heard)
            assert ends["done"] >= 8
            assert ends["done"] + ends["error"] == 200

    asyncio.run(main())


def test_clients_that_are_killed_by_the_dozen(server: LiveServer) -> None:
    async def main() -> None:
        async with neighbour(server):
            for _ in range(3):
                dozen = [await asyncio.to_thread(handshake, server.port) for _ in range(12)]
                for raw in dozen:
                    send_text(raw, type="text", context_id="a", text=LONG)
                first = [next(frames(raw)) for raw in dozen]
                assert len(first) == 12
                for raw in dozen:
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    raw.close()

    asyncio.run(main())


def test_half_a_message_and_then_nothing(server: LiveServer) -> None:
    async def main() -> None:
        async with neighbour(server):
            halves = [await asyncio.to_thread(handshake, server.port) for _ in range(12)]
            whole = text_frame({"type": "text", "context_id": "a", "text": LONG})
            for cut, raw in enumerate(halves):
                raw.sendall(whole[: 1 + cut * len(whole) // 12])
            for raw in halves:
                raw.close()

    asyncio.run(main())
