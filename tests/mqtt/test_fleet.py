"""Bridges that share their devices, and one that dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from support.bridge_process import spawn
from support.bridges import bridge, until
from support.mosquitto import Device, Mosquitto

from streamtts.mqtt.fleet import Fleet

MakeDevice = Callable[..., Device]


def test_two_bridges_share_the_requests_and_each_is_spoken_once(
    broker: Mosquitto, device: MakeDevice
) -> None:
    house = device(broker.port, "share/#")

    async def main() -> None:
        async with (
            bridge(broker.port, prefix="share", server_id="one", fleet=True),
            bridge(broker.port, prefix="share", server_id="two", fleet=True),
        ):
            for number in range(8):
                house.say(f"share/site{number}/say", {"id": f"r{number}", "text": "Hello"})
            for number in range(8):
                await asyncio.to_thread(house.event, f"r{number}", "done")

    asyncio.run(main())
    accepted = [house.event(f"r{number}", "accepted")["server"] for number in range(8)]
    assert set(accepted) == {"one", "two"}
    assert all(house.events(f"r{number}").count("accepted") == 1 for number in range(8))


def test_a_cancel_reaches_whichever_bridge_speaks(broker: Mosquitto, device: MakeDevice) -> None:
    house = device(broker.port, "which/#")

    async def main() -> None:
        async with (
            bridge(broker.port, prefix="which", server_id="one", fleet=True),
            bridge(broker.port, prefix="which", server_id="two", fleet=True),
        ):
            for name in ("a", "b"):
                house.say(f"which/{name}/say", {"id": name, "text": "word " * 50})
            for name in ("a", "b"):
                await asyncio.to_thread(house.event, name, "started")
                house.say(f"which/{name}/cancel", {"id": "*"})
            for name in ("a", "b"):
                await asyncio.to_thread(house.event, name, "cancelled")

    asyncio.run(main())


def test_what_a_killed_bridge_had_not_begun_is_spoken_by_another_once(
    broker: Mosquitto, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamtts.mqtt.fleet.GRACE_S", 0.5)
    monkeypatch.setattr("streamtts.mqtt.fleet.QUIET_S", 0.5)
    monkeypatch.setattr("streamtts.mqtt.fleet.LOOK_S", 0.1)
    house = device(broker.port, "kill/#")
    doomed = spawn(broker.port, "kill", "doomed")

    async def main() -> None:
        house.wait(lambda got: any(one.topic.endswith("/status/doomed") for one in got))
        for site in ("kitchen", "hall"):
            house.say(f"kill/{site}/say", {"id": site, "text": "word " * 100})
            house.say(f"kill/{site}/say", {"id": f"{site}-next", "text": "Still to be said"})
        for site in ("kitchen", "hall"):
            await asyncio.to_thread(house.event, site, "started")
        async with bridge(broker.port, prefix="kill", server_id="heir", fleet=True) as running:
            doomed.kill()
            for site in ("kitchen", "hall"):
                await asyncio.to_thread(house.event, f"{site}-next", "done")
                assert house.event(f"{site}-next", "accepted")["server"] == "heir"
                assert house.events(f"{site}-next").count("accepted") == 1
                assert house.events(site).count("accepted") == 1  # begun: not spoken again
            await until(lambda: running.sites.idle)
            await until(lambda: not any("heir of" in task.get_name() for task in running.tasks))
            for number in range(4):  # nothing goes to the dead one any more
                house.say(f"kill/site{number}/say", {"id": f"r{number}", "text": "Hello"})
            for number in range(4):
                await asyncio.to_thread(house.event, f"r{number}", "done")

    try:
        asyncio.run(main())
    finally:
        doomed.kill()
        doomed.wait()


def test_a_bridge_that_comes_back_gets_its_session_back(
    broker: Mosquitto, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamtts.mqtt.fleet.GRACE_S", 0.3)
    monkeypatch.setattr("streamtts.mqtt.fleet.LOOK_S", 0.1)
    house = device(broker.port, "back/#")

    async def main() -> None:
        async with bridge(broker.port, prefix="back", server_id="a", fleet=True) as living:
            async with bridge(broker.port, prefix="back", server_id="b", fleet=True):
                pass
            await until(lambda: any("heir of b" in task.get_name() for task in living.tasks))
            async with bridge(broker.port, prefix="back", server_id="b", fleet=True):
                await until(
                    lambda: not any("heir of b" in task.get_name() for task in living.tasks)
                )
                for number in range(4):
                    house.say(f"back/site{number}/say", {"id": f"r{number}", "text": "Hello"})
                for number in range(4):
                    await asyncio.to_thread(house.event, f"r{number}", "done")

    asyncio.run(main())
    servers = {house.event(f"r{number}", "accepted")["server"] for number in range(4)}
    assert servers == {"a", "b"}


def test_the_heir_is_the_living_bridge_with_the_smallest_name() -> None:
    now_s = 0.0

    async def nobody(server_id: str, still: Callable[[], bool]) -> None:
        raise AssertionError

    fleet = Fleet("b", nobody, lambda: now_s)
    fleet.heard("a", b'{"state":"online"}')
    fleet.heard("c", b'{"state":"offline"}')
    fleet.heard("d", b"nonsense")
    fleet.heard("b", b'{"state":"offline"}')  # of ourselves: the broker's echo
    now_s = 10.0
    assert fleet.due() is None  # a is to look after c
    fleet.heard("a", b'{"state":"offline"}')
    assert fleet.due() == "c"
    fleet.heard("c", b'{"state":"online"}')
    assert fleet.due() is None
    now_s = 20.0
    assert fleet.due() == "a"
