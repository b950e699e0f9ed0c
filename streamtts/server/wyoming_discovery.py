"""Tells the local network of the Wyoming port, so that Home Assistant finds it by itself."""

from __future__ import annotations

import asyncio
import importlib.util
import ipaddress
import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamtts.config import LOOPBACK, WyomingConfig
from streamtts.errors import ConfigError

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncServiceInfo

SERVICE = "_wyoming._tcp.local."
MAX_LABEL_BYTES = 63  # of DNS
CLOSE_S = 3.0

logger = logging.getLogger(__name__)


def check_announce(config: WyomingConfig) -> None:
    """Looks whether what the configuration asks for can be done.

    Raises:
        ConfigError: the package that announces is not installed.
    """
    wanted = config.announce and config.host not in LOOPBACK
    if wanted and importlib.util.find_spec("zeroconf") is None:
        raise ConfigError(
            "wyoming.announce: needs the package zeroconf: pip install 'streamtts[discovery]', "
            "or set it to false and enter host and port in Home Assistant by hand"
        )


def addresses(host: str) -> list[str]:
    """The addresses by which others reach a host that is listened on."""
    if host not in ("0.0.0.0", "::", ""):
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return [str(found[0][4][0])]
    import ifaddr  # what zeroconf itself asks

    seen: list[str] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            value = ipaddress.ip_address(address)
            right_family = value.version == 4 or host == "::"
            if right_family and not value.is_loopback and not value.is_link_local:
                seen.append(address)
    return seen


def service_info(host_name: str, port: int, reached_at: Sequence[str]) -> AsyncServiceInfo:
    """What is announced. The name stays the same over restarts: Home Assistant remembers it."""
    from zeroconf.asyncio import AsyncServiceInfo

    suffix = f"-{port}"
    name = f"streamtts-{host_name.partition('.')[0]}".encode()[: MAX_LABEL_BYTES - len(suffix)]
    return AsyncServiceInfo(
        SERVICE,
        f"{name.decode(errors='ignore')}{suffix}.{SERVICE}",
        port=port,
        parsed_addresses=list(reached_at),
    )


class Announcement:
    """Announces one port from `start` to `close`; what fails is logged and disturbs nobody.

    Args:
        host: that is listened on.
        port: of the same.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins; takes a second or two in the background."""
        if self._host in LOOPBACK:
            logger.info("wyoming is not announced: %s is reached from here only", self._host)
            return
        self._task = asyncio.create_task(self._announce(), name="wyoming announcement")

    async def close(self) -> None:
        """Takes it back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CLOSE_S)

    async def _announce(self) -> None:
        from zeroconf import Error, InterfaceChoice
        from zeroconf.asyncio import AsyncZeroconf

        try:
            reached_at = await asyncio.to_thread(addresses, self._host)
            everywhere = self._host in ("0.0.0.0", "::")
            announcer = AsyncZeroconf(
                interfaces=InterfaceChoice.Default if everywhere else reached_at
            )
        except OSError as error:
            logger.warning("wyoming cannot be announced: %s", error)
            return
        try:
            info = service_info(socket.gethostname(), self._port, reached_at)
            await (await announcer.async_register_service(info, allow_name_change=True))
            logger.info("wyoming announced name=%s addresses=%s", info.name, ",".join(reached_at))
            await asyncio.Event().wait()  # until it is cancelled
        except (Error, OSError) as error:
            logger.warning("wyoming cannot be announced: %s: %s", type(error).__name__, error)
        finally:
            await announcer.async_unregister_all_services()
            await announcer.async_close()
