"""Announcing the Wyoming port, without a network."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import socket
import types
from typing import Any

import msgspec
import pytest
import zeroconf
import zeroconf.asyncio
from support.wyoming_live import wyoming_server

from streamtts.config import WyomingConfig
from streamtts.errors import ConfigError
from streamtts.server import wyoming_discovery as discovery
from streamtts.server.wyoming_discovery import Announcement, addresses, service_info


class FakeZeroconf:
    """Notes what it is asked to do."""

    def __init__(self) -> None:
        self.interfaces: Any = None
        self.info: Any = None
        self.error: Exception | None = None
        self.calls: asyncio.Queue[str] = asyncio.Queue()

    def __call__(self, interfaces: Any) -> FakeZeroconf:
        self.interfaces = interfaces
        return self

    async def async_register_service(self, info: Any, *, allow_name_change: bool) -> Any:
        assert allow_name_change
        if self.error is not None:
            raise self.error
        self.info = info

        async def announced() -> None:
            self.calls.put_nowait("registered")

        return announced()

    async def async_unregister_all_services(self) -> None:
        self.calls.put_nowait("unregistered")

    async def async_close(self) -> None:
        self.calls.put_nowait("closed")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeZeroconf:
    made = FakeZeroconf()
    monkeypatch.setattr(zeroconf.asyncio, "AsyncZeroconf", made)
    return made


async def until(fake: FakeZeroconf, call: str) -> list[str]:
    calls = []
    while not calls or calls[-1] != call:
        calls.append(await asyncio.wait_for(fake.calls.get(), 10))
    return calls


def test_it_is_announced_and_taken_back(
    fake: FakeZeroconf, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        announcement = Announcement("192.0.2.7", 10200)
        announcement.start()
        assert await until(fake, "registered") == ["registered"]
        assert fake.interfaces == ["192.0.2.7"]
        assert fake.info.type == "_wyoming._tcp.local."
        assert fake.info.parsed_addresses() == ["192.0.2.7"]
        assert fake.info.port == 10200
        await announcement.close()
        assert await until(fake, "closed") == ["unregistered", "closed"]
        await announcement.close()

    asyncio.run(main())
    assert "wyoming announced name=streamtts-" in caplog.text


def test_a_network_that_does_not_want_it_is_one_line(
    fake: FakeZeroconf, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        fake.error = zeroconf.NonUniqueNameException()
        announcement = Announcement("192.0.2.7", 10200)
        announcement.start()
        await until(fake, "closed")
        await announcement.close()

    asyncio.run(main())
    assert "wyoming cannot be announced: NonUniqueNameException" in caplog.text


def test_loopback_is_not_announced(fake: FakeZeroconf, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with wyoming_server("[wyoming]\nannounce = true"):
            pass

    asyncio.run(main())
    assert fake.interfaces is None
    assert "wyoming is not announced: 127.0.0.1 is reached from here only" in caplog.text


def test_without_the_package_the_start_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    config = WyomingConfig(enabled=True, host="0.0.0.0", announce=True)
    with pytest.raises(ConfigError, match=r"pip install 'streamtts\[discovery\]', or set it to"):
        discovery.check_announce(config)
    discovery.check_announce(msgspec.structs.replace(config, announce=False))
    discovery.check_announce(msgspec.structs.replace(config, host="127.0.0.1"))


def test_whoever_can_reach_it_may_speak_and_the_log_says_so(
    fake: FakeZeroconf, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with wyoming_server('[wyoming]\nhost = "0.0.0.0"') as live:
            assert f"whoever reaches 0.0.0.0:{live.port} may speak" in caplog.text

    asyncio.run(main())
    assert fake.interfaces is None


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    import ifaddr

    def adapters() -> list[Any]:
        ips = ["127.0.0.1", "192.0.2.7", "169.254.3.4", ("2001:db8::7", 0, 0), ("fe80::1", 0, 2)]
        return [types.SimpleNamespace(ips=[types.SimpleNamespace(ip=ip) for ip in ips])]

    monkeypatch.setattr(ifaddr, "get_adapters", adapters)
    assert addresses("192.0.2.9") == ["192.0.2.9"]
    assert addresses("0.0.0.0") == ["192.0.2.7"]
    assert addresses("::") == ["192.0.2.7", "2001:db8::7"]


@pytest.mark.parametrize("host", ["kitchen", "kitchen.example.org", "k" * 80, "ü" * 40])
def test_the_name_is_one_that_dns_takes_and_stays_the_same(host: str) -> None:
    info = service_info(host, 10200, ["192.0.2.7"])
    label = info.name.removesuffix("._wyoming._tcp.local.")
    assert label.startswith(f"streamtts-{host[:7].partition('.')[0]}")
    assert label.endswith("-10200")
    assert len(label.encode()) <= 63
    assert service_info(host, 10200, ["192.0.2.8"]).name == info.name


@pytest.mark.slow
def test_home_assistant_would_find_it() -> None:
    """With the package itself, over the multicast of this machine's own first address."""
    host = addresses("0.0.0.0")[0]

    async def main() -> None:
        found: asyncio.Queue[str] = asyncio.Queue()

        def seen(zeroconf: Any, service_type: str, name: str, state_change: Any) -> None:
            found.put_nowait(f"{state_change.name} {name}")

        listener = zeroconf.asyncio.AsyncZeroconf(interfaces=[host])
        browser = zeroconf.asyncio.AsyncServiceBrowser(
            listener.zeroconf, discovery.SERVICE, handlers=[seen]
        )
        announcement = Announcement(host, 10200)
        announcement.start()
        name = service_info(socket.gethostname(), 10200, [host]).name
        assert await asyncio.wait_for(found.get(), 20) == f"Added {name}"
        await announcement.close()
        assert await asyncio.wait_for(found.get(), 20) == f"Removed {name}"
        await browser.async_cancel()
        await listener.async_close()

    asyncio.run(main())
