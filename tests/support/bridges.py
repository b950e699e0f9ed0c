"""Bridges for tests: in this process, over a fake gateway."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from streamtts.config import MqttConfig
from streamtts.mqtt.backend import Backend, LocalBackend
from streamtts.mqtt.bridge import Bridge
from streamtts.mqtt.run import make_broker
from support.fake_door import FakeDoor
from support.mosquitto import GUARD_S


@contextlib.asynccontextmanager
async def bridge(
    port: int,
    backend: Backend | None = None,
    *,
    prefix: str,
    server_id: str = "one",
    **options: Any,
) -> AsyncIterator[Bridge]:
    """A bridge that is connected."""
    config = MqttConfig(host="127.0.0.1", port=port, prefix=prefix, **options)
    speaker = backend or LocalBackend(FakeDoor(), 20_000)
    running = Bridge(config, make_broker(config, {}), speaker, server_id)
    await running.start()
    try:
        await until(lambda: running.connected)
        yield running
    finally:
        await running.close()


async def until(true: Callable[[], Any]) -> None:
    """Waits until something becomes true; bounded, as a guard against hanging only."""
    async with asyncio.timeout(GUARD_S):
        while not true():  # noqa: ASYNC110 - what it looks at has no event
            await asyncio.sleep(0.01)
