"""A parent on the loop of the test, with real worker processes in front of the fake service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from streamtts import config as schema
from streamtts.server import lifecycle
from streamtts.server.workers import Workers
from support.fake_worker import PROGRAM
from support.live_server import GUARD_S, Client


class LiveWorkers:
    """A parent and its workers on a free port of 127.0.0.1.

    Args:
        config: TOML.
        program: of the workers.
        workers: their number.
    """

    def __init__(
        self, config: str = "", program: tuple[str, ...] = PROGRAM, workers: int = 2
    ) -> None:
        parsed = schema.parse(config)
        server = msgspec.structs.replace(parsed.server, workers=workers)
        self.sock = lifecycle.bind("127.0.0.1", 0)
        self.port: int = self.sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.parent = Workers(msgspec.structs.replace(parsed, server=server), program)
        self.task = asyncio.create_task(
            self.parent.run(self.sock, take_signals=False), name="parent"
        )

    def pid(self, number: int) -> int:
        return self.parent.processes[number].pid

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(GUARD_S):
            while not true():
                assert not self.task.done(), self.task
                await asyncio.sleep(0.02)

    async def ended(self) -> None:
        await asyncio.wait_for(asyncio.shield(self.task), GUARD_S)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        url = f"ws://127.0.0.1:{self.port}/v1/stream"
        async with connect(url, proxy=None, compression=None) as socket:
            yield Client(socket)

    async def speakers(self, stack: contextlib.AsyncExitStack, number: int) -> list[Client]:
        """So many clients in the middle of a context "a"."""
        clients = [await stack.enter_async_context(self.client()) for _ in range(number)]
        for c in clients:
            await c.send("text", context_id="a", text="one two ")
        await asyncio.gather(*(c.until("started") for c in clients))
        return clients

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as browser:
            return await browser.get(f"{self.url}{path}")

    async def samples(self, name: str) -> dict[str, float]:
        """A metric of all workers: label -> value."""
        answer = await self.get("/metrics")
        assert answer.status_code == 200
        return {
            sample.labels.get("worker", ""): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.name == name
        }


@contextlib.asynccontextmanager
async def live_workers(config: str = "", workers: int = 2) -> AsyncIterator[LiveWorkers]:
    """Ready workers; stopped in the end if they still run."""
    live = LiveWorkers(config, workers=workers)
    try:
        await live.until(lambda: live.parent.ready == workers)
        yield live
    finally:
        if not live.task.done():
            live.parent.signalled()
            live.parent.signalled()
            await live.ended()
        live.sock.close()


async def finish(c: Client) -> int:
    """Speaks the context "a" of a speaker to its end; returns its samples."""
    await c.send("text", context_id="a", text="three")
    await c.send("end", context_id="a")
    samples: int = (await c.until("done", context_id="a"))["samples"]
    return samples


async def closing(c: Client) -> int:
    """The code with which the server closes a connection."""
    with pytest.raises(ConnectionClosed) as closed:
        await c.until("nothing")
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code
