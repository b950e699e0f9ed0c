"""More who want to speak than slots: places, deadlines and refusals, as a client is told them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from support.fake_voice import FakeFrontEnd, fake_runner
from support.live_server import Client, LiveServer, client, live_server
from support.readings import read
from support.real_service import TINY

from streamtts.config import EngineConfig, LimitsConfig
from streamtts.engine.engine import Engine
from streamtts.service import Service

LONG = "all work and no play makes a dull day, " * 100


@pytest.fixture
def server() -> Iterator[LiveServer]:
    """One slot, two places in front of it."""
    config = EngineConfig(queue=2, queue_s=1.0)
    engine = Engine(fake_runner(1), config, clock=time.monotonic)
    service = Service(engine, ["tiny"], LimitsConfig(), lambda *asked: FakeFrontEnd())
    service.start()
    service.warm_up()
    with live_server(lambda: (service, (TINY,))) as running:
        yield running


async def ask(c: Client, context_id: str) -> dict[str, object]:
    """Wants to say something short, beside whatever else the connection does."""
    await c.send("text", context_id=context_id, text="so it goes.", on_conflict="parallel")
    await c.send("end", context_id=context_id)
    return await c.until("opened", context_id=context_id)


async def place(server: LiveServer, waiting: int) -> None:
    """Until so many wait: a stream takes its place with its first words, off the loop."""
    while True:
        if (await asyncio.to_thread(read, server.http))["waiting"] == waiting:
            return
        await asyncio.sleep(0.01)


def test_places_in_the_queue_and_the_refusal_behind_them(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server, max_queue=None) as busy, client(server) as c:
            await busy.send("text", context_id="long", text=LONG)
            assert (await busy.until("opened"))["queue_position"] == 0
            await busy.until("started")
            for position, name in enumerate("ab", start=1):
                assert (await ask(c, name))["queue_position"] == position
                await place(server, position)
            await c.send("open", context_id="c", on_conflict="parallel")
            error = await c.until("error", context_id="c")
            assert (error["code"], error["final"]) == ("capacity", True)
            assert error["retry_after_ms"] > 0
            assert read(server.http)["refused_total", "capacity"] == 1
            await busy.send("cancel", context_id="long")
            await c.until("done", context_id="a")
            done = await c.until("done", context_id="b")
            assert done["metrics"]["queue_ms"] > 0
            assert (await ask(c, "d"))["queue_position"] == 0  # there is room again
            await c.until("done", context_id="d")

    asyncio.run(main())


def test_who_waits_too_long_is_told_so(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server, max_queue=None) as busy, client(server) as c:
            await busy.send("text", context_id="long", text=LONG)
            await busy.until("started")
            await ask(c, "late")
            error = await c.until("error", context_id="late")
            assert (error["code"], error["final"]) == ("capacity", True)
            assert error["retry_after_ms"] > 0
            served = await asyncio.to_thread(read, server.http)
            assert served["refused_total", "deadline"] == 1
            assert served["waiting"] == 0
            assert busy.ends() == []

    asyncio.run(main())


def test_who_gives_up_while_waiting_is_cancelled(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server, max_queue=None) as busy, client(server) as c:
            await busy.send("text", context_id="long", text=LONG)
            await busy.until("started")
            await ask(c, "a")
            await place(server, 1)
            await c.send("cancel", context_id="a")
            cancelled = await c.until("cancelled", context_id="a")
            assert (cancelled["generated_samples"], cancelled["sent_samples"]) == (0, 0)
            assert cancelled["spoken"] == {"chars": 0, "words": 0, "text": ""}
            assert (await asyncio.to_thread(read, server.http))["waiting"] == 0

    asyncio.run(main())
