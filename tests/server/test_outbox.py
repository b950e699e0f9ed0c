"""The outbox by itself: order, bounds, what is dropped at a cancel."""

from __future__ import annotations

import asyncio

import pytest

from streamtts.server.outbox import OVERFLOW, OVERFLOW_S, Entry, Outbox


class Socket:
    """Takes frames while it is open."""

    def __init__(self) -> None:
        self.frames: list[str | bytes] = []
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()

    async def send(self, frame: str | bytes) -> None:
        self.asked.set()
        await self.open.wait()
        self.frames.append(frame)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def make(socket: Socket, full_bytes: int = 10) -> tuple[Outbox, list[bool], Clock]:
    full: list[bool] = []
    clock = Clock()
    return Outbox(socket.send, full_bytes=full_bytes, on_full=full.append, clock=clock), full, clock


def test_order_and_urgency() -> None:
    async def main() -> None:
        socket = Socket()
        outbox, _, _ = make(socket)
        for frame in ("a", b"b"):
            assert outbox.put(Entry(frame))
        assert outbox.put(Entry("pong"), urgent=True)
        outbox.finish()
        outbox.put(Entry("too late"))
        await outbox.run()
        assert socket.frames == ["pong", "a", b"b"]
        assert outbox.bytes == 0

    asyncio.run(main())


def test_full_and_relieved() -> None:
    async def main() -> None:
        socket = Socket()
        outbox, full, _ = make(socket, full_bytes=10)
        for _ in range(5):
            outbox.put(Entry(b"123"))
        assert full == [True]
        outbox.finish()
        await outbox.run()
        assert full == [True, False]

    asyncio.run(main())


def test_overflow_is_told_only_when_the_client_does_not_read() -> None:
    async def main() -> None:
        socket = Socket()
        socket.open.clear()
        outbox, _, clock = make(socket, full_bytes=10)
        writer = asyncio.create_task(outbox.run())
        assert outbox.put(Entry(bytes(10 * OVERFLOW)))
        assert outbox.put(Entry(b"a burst of our own"))
        await socket.asked.wait()
        assert outbox.stalled_s() == 0.0
        clock.now += OVERFLOW_S
        assert outbox.stalled_s() == OVERFLOW_S
        assert not outbox.put(Entry(b"too much"))
        writer.cancel()
        await asyncio.wait([writer])

    asyncio.run(main())


def test_a_client_that_reads_is_not_stalled() -> None:
    async def main() -> None:
        socket = Socket()
        outbox, _, clock = make(socket)
        outbox.put(Entry("a"))
        clock.now += 1000
        outbox.finish()
        await outbox.run()
        assert outbox.stalled_s() == 0.0

    asyncio.run(main())


def test_drop_takes_chunks_and_what_follows_them() -> None:
    async def main() -> None:
        socket = Socket()
        outbox, full, _ = make(socket, full_bytes=4)
        mine, other = object(), object()
        outbox.put(Entry("words before", mine, droppable=True))
        outbox.put(Entry(b"other", other, droppable=True, sample=0))
        outbox.put(Entry(b"chunk", mine, droppable=True, sample=640))
        outbox.put(Entry("words", mine, droppable=True))
        outbox.put(Entry("warning", mine))
        outbox.put(Entry(b"chunk", mine, droppable=True, sample=1280))
        dropped = outbox.drop(mine)
        assert [entry.sample for entry in dropped] == [640, None, 1280]
        assert [entry.frame for entry in dropped] == [b"chunk", "words", b"chunk"]
        assert outbox.drop(mine) == []
        outbox.finish()
        await outbox.run()
        assert socket.frames == ["words before", b"other", "warning"]
        assert outbox.bytes == 0
        assert full == [True, False]

    asyncio.run(main())


def test_a_failing_socket_ends_the_writer() -> None:
    async def main() -> None:
        async def send(frame: str | bytes) -> None:
            raise ConnectionResetError

        outbox = Outbox(send, full_bytes=10, on_full=lambda full: None, clock=Clock())
        outbox.put(Entry("a"))
        with pytest.raises(ConnectionResetError):
            await outbox.run()

    asyncio.run(main())
