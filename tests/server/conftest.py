from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.fake_service import VOICES, FakeService
from support.live_server import LiveServer, live_server


@pytest.fixture(scope="module")
def service() -> FakeService:
    return FakeService(chars_per_context=1000)


@pytest.fixture(scope="module")
def server(service: FakeService) -> Iterator[LiveServer]:
    """A real server in front of the fake service, shared by the tests of a file."""
    with live_server(lambda: (service, VOICES)) as running:
        yield running


@pytest.fixture
def serve() -> Iterator[Callable[..., LiveServer]]:
    """Starts a server of one's own, with a configuration of one's own."""
    running: list[LiveServer] = []

    def start(config: str = "", service: FakeService | None = None) -> LiveServer:
        fake = service or FakeService()
        live = LiveServer(lambda: (fake, VOICES), config)
        running.append(live)
        live.start()
        return live

    yield start
    for live in running:
        live.stop()
