"""One worker: a server without a port of its own, whose connections come from the parent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from streamtts.config import Config
from streamtts.errors import StreamTTSError
from streamtts.server import channel as wire
from streamtts.server.channel import Channel
from streamtts.server.companions import WYOMING, Companion, WyomingPort
from streamtts.server.gateway import Gateway
from streamtts.server.lifecycle import SIGNALS, Lifecycle, Loaded, loop_factory
from streamtts.server.merge import merged
from streamtts.server.security import Keys, load_keys
from streamtts.server.wyoming import WyomingServer

REPORT_EVERY_S = 0.1  # when something has changed
REPORT_AT_LEAST_S = 0.5
MAX_FILES = 65_536
METRICS_S = 2.0  # for the parent to collect them
LOG_FORMAT = "%(asctime)s %(levelname)s worker={} %(name)s %(message)s"

logger = logging.getLogger(__name__)


Load: TypeAlias = Callable[[Config], Loaded]
MakeBridge: TypeAlias = Callable[[Gateway, int], Companion | None]


def no_bridge(gateway: Gateway, number: int) -> None:
    """Makes no bridge."""


def main(arguments: Sequence[str], load: Load, make_bridge: MakeBridge = no_bridge) -> int:
    """Runs the worker that `Workers` has started; returns its exit status.

    Args:
        arguments: its number and the descriptor of its end of the channel. The configuration comes
            on standard input.
        load: as for `Lifecycle`.
        make_bridge: what else speaks out of the service of the worker of that number.
    """
    for number in SIGNALS:  # until the loop takes them
        signal.signal(number, signal.SIG_IGN)
    worker, descriptor = map(int, arguments)
    config = msgspec.json.decode(sys.stdin.buffer.read(), type=Config)
    logging.basicConfig(
        level=config.log.level.upper(), format=LOG_FORMAT.format(worker), stream=sys.stderr
    )
    _allow_files()
    sock = socket.socket(fileno=descriptor)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(Worker(worker, config, load, make_bridge).run(sock))


def _allow_files() -> None:
    """Takes what the system offers: a connection that finds no descriptor here is lost."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    offered = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < offered:
        resource.setrlimit(resource.RLIMIT_NOFILE, (offered, hard))


class Worker:
    """Serves until its parent says stop or is gone.

    Args:
        number: told in `/metrics`.
        config: of the whole server.
        load: as for `Lifecycle`.
        make_bridge: see `main`.
    """

    def __init__(
        self, number: int, config: Config, load: Load, make_bridge: MakeBridge = no_bridge
    ) -> None:
        announce = config.wyoming.announce and number == 0
        wyoming = msgspec.structs.replace(config.wyoming, announce=announce)
        self._number = number
        self._config = msgspec.structs.replace(config, wyoming=wyoming)
        self._load = load
        self._make_bridge = make_bridge
        self._wyoming: WyomingPort | None = None
        self._adopting: set[asyncio.Task[None]] = set()
        self._taken = 0
        self._asked: asyncio.Future[str] | None = None
        self._gateway: Gateway
        self._lifecycle: Lifecycle
        self._channel: Channel

    async def run(self, sock: socket.socket, *, take_signals: bool = True) -> int:
        """Serves what comes through the channel; returns the exit status."""
        self._channel = Channel(sock, wire.TO_WORKER, self._on_message, self._orphaned)
        try:
            await self._serve(take_signals)
        except StreamTTSError as error:
            self._channel.send(wire.Failed(str(error)))
            return 1
        except Exception as error:
            detail = traceback.format_exc()
            self._channel.send(wire.Failed(f"{type(error).__name__}: {error}", detail))
            return 1
        finally:
            self._channel.close()
        return 0

    async def _serve(self, take_signals: bool) -> None:
        self._gateway = Gateway(self._config, Keys(load_keys(self._config)))
        self._gateway.all_metrics = self._all_metrics
        companions: list[Companion] = []
        if self._config.wyoming.enabled:
            self._wyoming = WyomingPort(WyomingServer(self._gateway, None))
            companions.append(self._wyoming)
        bridge = self._make_bridge(self._gateway, self._number)
        if bridge is not None:
            companions.append(bridge)
        self._lifecycle = Lifecycle(self._gateway, lambda: self._load(self._config), companions)
        self._lifecycle.server.on_closing = self._close_door
        loop = asyncio.get_running_loop()
        if take_signals:  # perhaps sent to the whole group: the second one is the parent's
            for number in SIGNALS:
                loop.add_signal_handler(number, self._lifecycle.drain)
        reporting = asyncio.create_task(self._report(), name="reports")
        try:
            await self._lifecycle.run(take_signals=False)
        finally:
            reporting.cancel()
            await asyncio.wait([reporting])

    async def _report(self) -> None:
        await self._lifecycle.server.up.wait()
        self._channel.start()
        said, age_s = None, 0.0
        while True:
            report = self._state()
            age_s += REPORT_EVERY_S
            if (report != said or age_s >= REPORT_AT_LEAST_S) and not self._channel.full:
                self._channel.send(report)
                said, age_s = report, 0.0
            await asyncio.sleep(REPORT_EVERY_S)

    def _state(self) -> wire.Report:
        gateway, server = self._gateway, self._lifecycle.server
        connections = len(server.server_state.connections) + len(self._adopting)
        if self._wyoming is not None:
            connections += self._wyoming.clients
        begun = sum(peer.begun for peer in gateway.peers)
        alive = gateway.service.stats().contexts if gateway.service is not None else 0
        return wire.Report(
            gateway.phase.value, alive + max(0, connections - begun), connections, self._taken
        )

    def _on_message(self, message: Any, sock: socket.socket | None) -> None:
        match message:
            case wire.Connection(port=port):
                self._take(port, sock)
            case wire.GiveMetrics(round=number):
                text = self._gateway.metrics.render().decode()
                self._channel.send(wire.OwnMetrics(number, text))
            case wire.AllMetrics(text=text):
                if self._asked is not None and not self._asked.done():
                    self._asked.set_result(text)
            case wire.Drain():
                self._lifecycle.drain()
            case wire.Stop():
                self._lifecycle.stop()

    def _take(self, port: str, sock: socket.socket | None) -> None:
        self._taken += 1
        self._channel.send(wire.Taken(self._taken))
        if sock is None:
            logger.error("a connection is lost: too many files are open; raise the limit (ulimit)")
            return
        task = asyncio.create_task(self._adopt(port, sock), name="adopt")
        self._adopting.add(task)
        task.add_done_callback(self._adopting.discard)

    async def _adopt(self, port: str, sock: socket.socket) -> None:
        try:
            if port != WYOMING:
                await self._lifecycle.server.adopt(sock)
            elif self._wyoming is not None:
                await self._wyoming.adopt(sock)
        except OSError as error:  # no TLS, or gone
            logger.debug("connection lost before it began: %s", error)
            sock.close()

    def _close_door(self) -> None:
        self._channel.pause()
        for task in self._adopting:
            task.cancel()

    def _orphaned(self) -> None:
        logger.error("the parent is gone: draining")
        self._lifecycle.drain()

    async def _all_metrics(self) -> bytes:
        """What every worker shows; this one's own when the parent does not answer."""
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
            self._channel.send(wire.WantMetrics())
        asked = self._asked
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asked), METRICS_S)
        if self._asked is asked:
            self._asked = None
        if asked.done():
            return asked.result().encode()
        return merged({self._number: self._gateway.metrics.render().decode()}).encode()
