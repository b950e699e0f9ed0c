"""The broker goes and comes back: nothing of QoS 1 is lost, and nothing is spoken twice."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.bridges import bridge, until
from support.fake_door import FakeDoor
from support.fake_service import FakeService
from support.mosquitto import Device, Mosquitto

from streamtts.mqtt.backend import LocalBackend

MakeDevice = Callable[..., Device]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comes back sooner than a bridge should."""
    monkeypatch.setattr("streamtts.mqtt.keeping.FIRST_BACKOFF_S", 0.2)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_broker_restarts_in_mid_utterance(
    own_broker: Mosquitto, device: MakeDevice, version: str
) -> None:
    service = FakeService()

    async def main() -> None:
        backend = LocalBackend(FakeDoor(service), 20_000)
        async with bridge(own_broker.port, backend, prefix="r", version=version) as running:
            house = device(own_broker.port, "r/#", v5=version == "5")
            house.say("r/kitchen/say", {"id": "long", "text": "word " * 30})
            house.say("r/kitchen/say", {"id": "next", "text": "And then."})
            house.say("r/hall/say", {"id": "open", "stream": True})
            await asyncio.to_thread(house.wait, lambda got: len(house.chunks("long")) > 10)
            await asyncio.to_thread(house.event, "open", "accepted")
            own_broker.stop()
            await until(lambda: not running.connected)
            own_broker.start()
            await until(lambda: running.connected)
            await asyncio.to_thread(house.event, "long", "done")
            house.say("r/hall/text/open", {"delta": "Still here.", "end": True})
            await asyncio.to_thread(house.event, "open", "done")
            await asyncio.to_thread(house.event, "next", "done")
            await until(lambda: running.sites.idle)
            texts = sorted(context.text for context in service.contexts)
            assert texts == sorted(["word " * 30, "And then.", "Still here."])
            samples = [chunk.header.first_sample for chunk in house.chunks("long")]
            assert samples[-1] == 30 * 640
            assert samples == sorted(set(samples))
            assert len(samples) > 20  # what was under way when the broker went is gone

    asyncio.run(main())


def test_requests_made_while_the_bridge_is_away_are_spoken_when_it_is_back(
    own_broker: Mosquitto, device: MakeDevice
) -> None:
    house = device(own_broker.port, "away/#")

    async def main() -> None:
        async with bridge(own_broker.port, prefix="away"):
            pass
        house.say("away/kitchen/say", {"id": "a", "text": "Waiting"})
        house.wait(lambda got: got and got[-1].topic == "away/kitchen/say")  # the broker has it
        own_broker.stop()
        own_broker.start()
        back = device(own_broker.port, "away/#")
        async with bridge(own_broker.port, prefix="away"):
            await asyncio.to_thread(back.event, "a", "done")
        assert back.events("a").count("accepted") == 1

    asyncio.run(main())


@contextlib.contextmanager
def elsewhere(folder: Path) -> Iterator[Mosquitto]:
    """The broker of a folder on another port, where its bridge does not find it."""
    config = folder / "mosquitto.conf"
    text = config.read_text()
    moved = Mosquitto(folder)
    moved.start()
    try:
        yield moved
    finally:
        moved.stop()
        config.write_text(text)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_what_is_sent_while_the_bridge_is_away_reaches_it_once(
    own_broker: Mosquitto,
    device: MakeDevice,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    version: str,
) -> None:
    caplog.set_level(logging.INFO)
    service = FakeService()
    cut = "cut site='kitchen' id='long' reason=cancel"

    async def main() -> None:
        backend = LocalBackend(FakeDoor(service), 20_000)
        async with bridge(own_broker.port, backend, prefix="gap", version=version) as running:
            house = device(own_broker.port, "gap/#", v5=version == "5")
            house.say("gap/kitchen/say", {"id": "long", "text": "word " * 1000})
            house.say("gap/hall/say", {"id": "open", "stream": True})
            await asyncio.to_thread(house.event, "long", "started")
            await asyncio.to_thread(house.event, "open", "accepted")
            own_broker.stop()
            await until(lambda: not running.connected)
            with elsewhere(tmp_path) as moved:
                other = device(moved.port, "gap/#", v5=version == "5")
                other.say("gap/hall/text/open", {"delta": "Still "})
                other.say("gap/hall/text/open", {"delta": "Still "})
                other.say("gap/hall/text/open", {"delta": "here.", "end": True})
                other.say("gap/kitchen/cancel", {"id": "long"})
                await asyncio.to_thread(
                    other.wait, lambda got: got and got[-1].topic == "gap/kitchen/cancel"
                )
            assert cut not in caplog.text
            own_broker.start()
            await until(lambda: running.sites.idle)  # by itself "long" would go on for 40 s

    asyncio.run(main())
    assert "session=gap-one-control known=True" in caplog.text
    assert caplog.text.count(cut) == 1
    assert [context.text for context in service.contexts] == ["word " * 1000, "Still Still here."]


def test_what_has_not_begun_outlives_a_drain(own_broker: Mosquitto, device: MakeDevice) -> None:
    house = device(own_broker.port, "drain/#")

    async def main() -> None:
        async with bridge(own_broker.port, prefix="drain") as running:
            house.say("drain/kitchen/say", {"id": "now", "text": "one two three four five six"})
            house.say("drain/kitchen/say", {"id": "later", "text": "seven"})
            await asyncio.to_thread(house.event, "now", "started")
            await until(lambda: running.sites.waiting == 1)
            assert await running.drain(20)
            assert house.events("now")[-1] == "done"
        assert house.events("later") == []
        async with bridge(own_broker.port, prefix="drain"):
            await asyncio.to_thread(house.event, "later", "done")

    asyncio.run(main())
    assert house.events("now").count("accepted") == 1


def test_an_utterance_does_not_wait_for_ever_for_its_broker(
    own_broker: Mosquitto, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamtts.mqtt.bridge.OFFLINE_S", 0.2)

    async def main() -> None:
        async with bridge(own_broker.port, prefix="gone") as running:
            house = device(own_broker.port, "gone/#")
            house.say("gone/kitchen/say", {"id": "a", "text": "word " * 100})
            await asyncio.to_thread(house.event, "a", "started")
            own_broker.stop()
            await until(lambda: running.sites.idle)
            own_broker.start()
            cancelled = await asyncio.to_thread(house.event, "a", "cancelled")
            assert cancelled["reason"] == "offline"
            assert cancelled["sent_samples"] < 100 * 640

    asyncio.run(main())
