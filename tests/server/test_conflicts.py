"""Several contexts on one connection: queue, preempt, parallel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from support.fake_service import FakeContext, FakeService
from support.live_server import LiveServer, client


def last(service: FakeService) -> FakeContext:
    return service.contexts[-1]


def test_queue_speaks_one_after_the_other(server: LiveServer, service: FakeService) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="one two")
            await c.send("text", context_id="b", text="three")
            await c.send("end", context_id="b")
            assert (await c.until("opened", context_id="b"))["queue_position"] == 1
            await c.barrier()
            assert ("release", None) not in last(service).calls
            await c.send("end", context_id="a")
            await c.until("done", context_id="b")
            handles = [header.handle for header, _ in c.chunks]
            assert handles == sorted(handles)
            assert [m["context_id"] for m in c.of("done")] == ["a", "b"]

    asyncio.run(main())


def test_preempt_cancels_what_is_spoken(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="endless")
            await c.until_chunks(3)
            await c.send("text", context_id="b", text="stop", on_conflict="preempt")
            await c.until("cancelled", context_id="a")
            await c.send("end", context_id="b")
            await c.until("done", context_id="b")

    asyncio.run(main())


def test_parallel_contexts_mix(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="endless")
            await c.send("text", context_id="b", text="one", on_conflict="parallel")
            await c.send("end", context_id="b")
            await c.until("done", context_id="b")
            await c.send("cancel", context_id="*")
            await c.until("cancelled", context_id="a")
            assert len({header.handle for header, _ in c.chunks}) == 2

    asyncio.run(main())


def test_capacity_is_told_with_a_time(serve: Callable[..., LiveServer]) -> None:
    server = serve(service=FakeService(capacity=1))

    async def main() -> None:
        async with client(server) as c:
            await c.send("open", context_id="a")
            await c.send("open", context_id="b", on_conflict="parallel")
            error = await c.until("error", context_id="b")
            assert (error["code"], error["final"], error["retry_after_ms"]) == (
                "capacity",
                True,
                250,
            )

    asyncio.run(main())


def test_contexts_of_one_connection_are_limited(serve: Callable[..., LiveServer]) -> None:
    server = serve("[limits]\ncontexts = 2")

    async def main() -> None:
        async with client(server) as c:
            for name in "abc":
                await c.send("open", context_id=name)
            error = await c.until("error", context_id="c")
            assert (error["code"], error["final"]) == ("context_limit", True)

    asyncio.run(main())
