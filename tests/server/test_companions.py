"""What else speaks out of the same service: it comes and goes with the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from support.fake_service import VOICES, FakeService
from support.live_server import GUARD_S

from streamtts import config as schema
from streamtts.errors import ConfigError, VoiceError
from streamtts.server import lifecycle
from streamtts.server.gateway import Gateway, Phase
from streamtts.server.security import Keys


class Companion:
    def __init__(self, error: Exception | None = None) -> None:
        self.gateway: Gateway
        self.calls: list[str] = []
        self.error = error
        self.called = asyncio.Condition()
        self.spoken = asyncio.Event()

    async def start(self) -> None:
        assert self.gateway.phase is Phase.READY
        await self._note("start")
        if self.error is not None:
            raise self.error

    async def drain(self, limit_s: float) -> bool:
        assert self.gateway.phase is Phase.DRAINING
        await self._note(f"drain {limit_s:g}")
        await self.spoken.wait()
        return True

    async def close(self) -> None:
        await self._note("close")

    async def until(self, *calls: str) -> None:
        async with self.called:
            await asyncio.wait_for(self.called.wait_for(lambda: self.calls == [*calls]), GUARD_S)

    async def _note(self, call: str) -> None:
        async with self.called:
            self.calls.append(call)
            self.called.notify_all()


def run(
    companion: Companion,
    meanwhile: Callable[[lifecycle.Lifecycle], Awaitable[None]],
    *,
    voice_error: VoiceError | None = None,
    config: str = "",
) -> FakeService:
    """Runs a server with a companion; returns its service."""
    service = FakeService()

    def load() -> lifecycle.Loaded:
        if voice_error is not None:
            raise voice_error
        return service, VOICES  # type: ignore[return-value]

    async def main() -> None:
        companion.gateway = Gateway(schema.parse(config), Keys(()))
        server = lifecycle.Lifecycle(companion.gateway, load, [companion])
        running = asyncio.create_task(
            server.run(lifecycle.bind("127.0.0.1", 0), take_signals=False)
        )
        await meanwhile(server)
        await asyncio.wait_for(running, GUARD_S)

    try:
        asyncio.run(main())
    finally:
        assert service.closed or voice_error is not None
    return service


def test_it_drains_with_the_server() -> None:
    companion = Companion()

    async def meanwhile(server: lifecycle.Lifecycle) -> None:
        await companion.until("start")
        server.signalled()
        await companion.until("start", "drain 30")
        assert not server.server.should_exit  # it still speaks
        companion.spoken.set()

    run(companion, meanwhile)
    assert companion.calls == ["start", "drain 30", "close"]


def test_its_drain_has_an_end() -> None:
    companion = Companion()

    async def meanwhile(server: lifecycle.Lifecycle) -> None:
        await companion.until("start")
        server.signalled()

    run(companion, meanwhile, config="[server]\ndrain_s = 0.1")
    assert companion.calls == ["start", "drain 0.1", "close"]


def test_a_second_signal_waits_for_nobody() -> None:
    companion = Companion()

    async def meanwhile(server: lifecycle.Lifecycle) -> None:
        await companion.until("start")
        server.signalled()
        server.signalled()

    run(companion, meanwhile)
    assert companion.calls[0] == "start"
    assert companion.calls[-1] == "close"


def test_one_that_cannot_start_ends_the_server() -> None:
    companion = Companion(ConfigError("wyoming.port: taken meanwhile"))

    async def meanwhile(server: lifecycle.Lifecycle) -> None:
        pass

    with pytest.raises(ConfigError, match="taken meanwhile"):
        run(companion, meanwhile)
    assert companion.calls == ["start", "close"]


def test_without_a_voice_it_is_closed_and_never_started() -> None:
    companion = Companion()

    async def meanwhile(server: lifecycle.Lifecycle) -> None:
        pass

    with pytest.raises(VoiceError):
        run(companion, meanwhile, voice_error=VoiceError("damaged"))
    assert companion.calls == ["close"]
