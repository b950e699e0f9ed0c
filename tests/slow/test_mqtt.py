"""Loudspeakers with 300 ms of buffer, the real voice and a real broker."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.bridges import bridge, until
from support.fake_door import FakeDoor
from support.fake_service import FakeService
from support.mosquitto import MOSQUITTO, Device, Mosquitto

from streamtts.mqtt.backend import LocalBackend

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "tests" / "bench" / "mqtt_house.py"
MINUTES = float(os.environ.get("SATELLITE_MINUTES", "10"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sites", "seconds"), [(1, 60 * MINUTES), (50, 20.0)], ids=["one satellite", "fifty at once"]
)
def test_no_device_runs_dry_or_is_overfilled(sites: int, seconds: float) -> None:
    command = [sys.executable, str(HOUSE), "--sites", str(sites), "--seconds", str(seconds)]
    ran = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=3 * seconds + 300
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "verdict: all met" in ran.stdout


@pytest.mark.slow
def test_no_request_is_lost_or_spoken_twice_over_restarts_of_the_broker(tmp_path: Path) -> None:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    broker = Mosquitto(tmp_path, "allow_anonymous true\nmax_inflight_messages 200")
    broker.start()
    service = FakeService()
    wanted = [f"request {number} " + "word " * (number % 7) for number in range(90)]

    async def main() -> None:
        backend = LocalBackend(FakeDoor(service), 20_000)
        options = {"in_flight": 200, "site_queue": 50}
        async with bridge(broker.port, backend, prefix="many", **options) as running:
            house = Device(broker.port, "many/nothing")
            for number, text in enumerate(wanted):
                house.say(f"many/site{number % 6}/say", {"id": f"r{number}", "text": text})
                if number % 30 == 20:
                    await asyncio.sleep(0.3)  # some have begun, some wait, some are on their way
                    broker.stop()
                    await until(lambda: not running.connected)
                    broker.start()
                    await until(lambda: running.connected)
            await until(lambda: len(service.contexts) >= len(wanted))
            await until(lambda: running.sites.idle)
            house.close()

    try:
        asyncio.run(main())
    finally:
        broker.stop()
    assert sorted(context.text for context in service.contexts) == sorted(wanted)
