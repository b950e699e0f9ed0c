from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.mosquitto import MOSQUITTO, Device, Mosquitto


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A real broker for the tests of a file."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    running = Mosquitto(tmp_path_factory.mktemp("broker"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A real broker of one's own, to be stopped and started."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    running = Mosquitto(tmp_path)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def device() -> Iterator[Callable[..., Device]]:
    """Makes devices that hear everything below some topics."""
    made: list[Device] = []

    def make(port: int, *filters: str, **options: Any) -> Device:
        made.append(Device(port, *filters, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
