"""A bridge that speaks through a server elsewhere, with the project's own client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from support.bridges import bridge, until
from support.fake_service import CHUNK_SAMPLES, VOICES, FakeService
from support.live_server import LiveServer, live_server
from support.mosquitto import Device, Mosquitto

from streamtts.client import connect
from streamtts.errors import StreamStuck
from streamtts.mqtt.bridge import Bridge
from streamtts.mqtt.desk import LEAD_MS
from streamtts.mqtt.remote import RemoteBackend

MakeDevice = Callable[..., Device]


@contextlib.asynccontextmanager
async def remote(
    broker: Mosquitto, url: str, prefix: str, **options: object
) -> AsyncIterator[Bridge]:
    backend = RemoteBackend(lambda lead_ms: connect(url, lead_ms=lead_ms))
    backend.start(LEAD_MS)
    async with bridge(broker.port, backend, prefix=prefix, **options) as running:
        backend.on_change = running.tell_state
        yield running


def test_say_text_and_cancel_through_a_server(broker: Mosquitto, device: MakeDevice) -> None:
    house = device(broker.port, "far/#")

    async def main(server: LiveServer) -> None:
        async with remote(broker, server.ws, "far") as running:
            house.say("far/kitchen/say", {"id": "a", "text": "Two words", "speed": 1.5})
            done = await asyncio.to_thread(house.event, "a", "done")
            assert (done["samples"], done["chars"]) == (3 * CHUNK_SAMPLES, 9)
            house.say("far/hall/say", {"id": "b", "stream": True})
            await asyncio.to_thread(house.event, "b", "accepted")
            for delta in ({"delta": "a "}, {"delta": "b", "flush": True}, {"end": True}):
                house.say("far/hall/text/b", delta)
            await asyncio.to_thread(house.event, "b", "done")
            house.say("far/den/say", {"id": "c", "stream": True})
            await asyncio.to_thread(house.event, "c", "accepted")
            house.say("far/den/text/c", {"delta": "word " * 20})
            await asyncio.to_thread(house.wait, lambda got: len(house.chunks("c")) > 8)
            house.say("far/den/cancel", {"id": "c"})
            cancelled = await asyncio.to_thread(house.event, "c", "cancelled")
            assert cancelled["sent_samples"] == sum(len(x.sound) // 2 for x in house.chunks("c"))
            house.say("far/den/say", {"id": "d", "text": "x", "voice": "nobody"})
            error = await asyncio.to_thread(house.event, "d", "error")
            assert error["code"] == "unknown_voice"
            await until(lambda: running.sites.idle)

    service = FakeService()
    with live_server(lambda: (service, VOICES)) as server:
        asyncio.run(main(server))
    assert house.events("a") == ["accepted", "words", "started", "words", "done"]
    assert house.events("b").count("flushed") == 1
    assert service.contexts[0].settings.speed == 1.5
    assert any(call == "playback" for call, _ in service.contexts[2].calls)


def test_more_devices_than_one_connection_may_have(broker: Mosquitto, device: MakeDevice) -> None:
    house = device(broker.port, "many/#")

    async def main(server: LiveServer) -> None:
        async with remote(broker, server.ws, "many"):
            for number in range(5):
                house.say(f"many/site{number}/say", {"id": f"r{number}", "text": "word " * 6})
            for number in range(5):
                await asyncio.to_thread(house.event, f"r{number}", "done")

    with live_server(lambda: (FakeService(), VOICES), "[limits]\ncontexts = 2") as server:
        asyncio.run(main(server))


def test_without_a_server_requests_wait_and_are_spoken_when_it_is_there(
    broker: Mosquitto, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamtts.mqtt.remote.FIRST_BACKOFF_S", 0.1)
    house = device(broker.port, "later/#")
    server = LiveServer(lambda: (FakeService(), VOICES))  # its port is taken, nobody answers yet

    async def main() -> None:
        async with remote(broker, server.ws, "later") as running:
            house.say("later/kitchen/say", {"id": "a", "text": "Hello"})
            await until(lambda: running.sites.waiting == 1)
            states = [got.json["voices"] for got in house.got if "/status/" in got.topic]
            assert states == [[]]
            server.start()
            await asyncio.to_thread(house.event, "a", "done")
            house.wait(lambda got: any(b'"other"' in one.payload for one in got))

    try:
        asyncio.run(main())
    finally:
        server.stop()
    assert house.events("a").count("accepted") == 1


def test_a_server_that_goes_ends_what_it_spoke_with_an_error(
    broker: Mosquitto, device: MakeDevice
) -> None:
    house = device(broker.port, "goes/#")

    async def main(server: LiveServer) -> None:
        async with remote(broker, server.ws, "goes"):
            house.say("goes/kitchen/say", {"id": "a", "stream": True})
            await asyncio.to_thread(house.event, "a", "accepted")
            await asyncio.to_thread(server.stop)
            error = await asyncio.to_thread(house.event, "a", "error")
            assert error["final"]

    with live_server(lambda: (FakeService(), VOICES)) as server:
        asyncio.run(main(server))


def test_an_error_of_the_server_is_told(broker: Mosquitto, device: MakeDevice) -> None:
    house = device(broker.port, "stuck/#")
    service = FakeService()

    async def main(server: LiveServer) -> None:
        async with remote(broker, server.ws, "stuck"):
            house.say("stuck/kitchen/say", {"id": "a", "stream": True})
            await asyncio.to_thread(house.event, "a", "accepted")
            service.contexts[0].fail(StreamStuck("no progress"))
            error = await asyncio.to_thread(house.event, "a", "error")
            assert (error["code"], error["message"]) == ("stuck", "no progress")

    with live_server(lambda: (service, VOICES)) as server:
        asyncio.run(main(server))
