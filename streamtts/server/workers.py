"""The parent of several workers: starts them, keeps them alive, stands at their door.

Every worker is a process with one engine. The parent only accepts: it hands each connection to the
worker with the least to do and is out of its way from then on. It never loads the model.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from streamtts.config import Config, check_files
from streamtts.errors import ConfigError, StreamTTSError
from streamtts.server import channel as wire
from streamtts.server import wyoming
from streamtts.server.channel import Channel
from streamtts.server.companions import WYOMING
from streamtts.server.door import Door, Link
from streamtts.server.lifecycle import GOODBYE_S, SIGNALS, address, bind
from streamtts.server.process import ended, pause, spawn, tell_config
from streamtts.server.rounds import Rounds
from streamtts.server.security import load_keys

STEADY_S = 60.0  # a worker that has lived so long is started again at once
CLOSING_S = 10.0  # for a worker to let go of everything, after the last stream

logger = logging.getLogger(__name__)


def serve(config: Config, program: Sequence[str]) -> None:
    """Serves with several workers until a signal stops them.

    Args:
        config: `server.workers` of them.
        program: arguments for the interpreter that call `worker.main`.

    Raises:
        StreamTTSError: the port is in use, a file is missing, no worker can load the voice.
    """
    if not hasattr(socket, "send_fds"):
        raise ConfigError("server.workers: this system cannot pass connections on; 1 is possible")
    check_files(config)
    load_keys(config)
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(bind(config.server.host, config.server.port))
        wyoming_sock = None
        if config.wyoming.enabled:
            wyoming_sock = stack.enter_context(wyoming.bind(config))
            port = wyoming_sock.getsockname()[1]
            config = msgspec.structs.replace(
                config, wyoming=msgspec.structs.replace(config.wyoming, port=port)
            )
        logger.info("listening on %s workers=%d", address(config, sock), config.server.workers)
        asyncio.run(Workers(config, program).run(sock, wyoming_sock))


class Workers:
    """Runs the workers of one server until it is stopped.

    Args:
        config: `server.workers` of them.
        program: arguments for the interpreter that call `worker.main`; the number of the worker
            and a descriptor follow.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        config: Config,
        program: Sequence[str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._program = tuple(program)
        self._clock = clock
        self._door = Door({}, 1, clock)
        self._processes: dict[int, Process] = {}
        self._signals = 0
        self._ending = asyncio.Event()
        self._killer: asyncio.TimerHandle | None = None
        self._ever_ready = False
        self._wyoming_sock: socket.socket | None = None
        self._error: StreamTTSError | None = None
        self._failures: dict[int, wire.Failed] = {}
        self._restarts = 0
        self._rounds = Rounds(self._own_metrics)

    @property
    def processes(self) -> Mapping[int, Process]:
        """Number of a worker -> its process."""
        return self._processes

    @property
    def ready(self) -> int:
        """How many take contexts."""
        return sum(link.seat.ready for link in self._door.links)

    async def run(
        self,
        sock: socket.socket,
        wyoming_sock: socket.socket | None = None,
        *,
        take_signals: bool = True,
    ) -> None:
        """Serves on a listening socket; returns after a drain or a second signal.

        Args:
            sock: for WebSockets and HTTP.
            wyoming_sock: bound; listens as soon as one worker is ready, until the drain.
            take_signals: be told by signals, in the main thread.

        Raises:
            StreamTTSError: the workers cannot load, before any of them ever could.
        """
        loop = asyncio.get_running_loop()
        if take_signals:
            for number in SIGNALS:
                loop.add_signal_handler(number, self.signalled)
        self._door = Door({"http": sock}, self._config.server.connections, self._clock)
        self._wyoming_sock = wyoming_sock
        keepers = [
            asyncio.create_task(self._keep(number), name=f"worker {number}")
            for number in range(self._config.server.workers)
        ]
        try:
            await asyncio.gather(*keepers)
        finally:
            self._ending.set()
            self._kill()
            await asyncio.gather(*keepers, return_exceptions=True)
            self._door.close()
            await self._rounds.close()
            if self._killer is not None:
                self._killer.cancel()
            if take_signals:
                for number in SIGNALS:
                    loop.remove_signal_handler(number)
        if self._error is not None:
            raise self._error
        logger.info("stopped")

    def signalled(self) -> None:
        """The first signal drains, the second stops now."""
        self._signals += 1
        self._ending.set()
        self._door.remove(WYOMING)
        if self._signals == 1:
            logger.info("draining; a second signal stops now")
            self._end(wire.Drain(), self._config.server.drain_s + GOODBYE_S + CLOSING_S)
        else:
            self._end(wire.Stop(), GOODBYE_S + CLOSING_S)

    def _end(self, message: wire.Message, limit_s: float) -> None:
        for link in self._door.links:
            if link.seat.report is None:  # it still starts, and would not hear
                self._kill(link.seat.number)
            link.channel.send(message)
        if self._killer is not None:
            self._killer.cancel()
        self._killer = asyncio.get_running_loop().call_later(limit_s, self._kill)

    def _kill(self, *numbers: int) -> None:
        for number in numbers or tuple(self._processes):
            with contextlib.suppress(ProcessLookupError):
                self._processes[number].kill()

    # --- one worker after the other in one place

    async def _keep(self, number: int) -> None:
        quick_deaths = 0
        while not self._ending.is_set():
            began_s = self._clock()
            how = await self._live(number)
            if self._ending.is_set():
                return
            failure = self._failures.get(number)
            if failure is not None and failure.detail:
                logger.error("worker=%d\n%s", number, failure.detail)
            if not self._ever_ready:
                self._give_up(how if failure else f"worker {number} {how} before it was ready")
                return
            self._restarts += 1
            quick_deaths = 0 if self._clock() - began_s >= STEADY_S else quick_deaths + 1
            pause_s = pause(quick_deaths)
            logger.error("worker=%d %s; a new one starts in %g s", number, how, pause_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause_s)

    async def _live(self, number: int) -> str:
        """One worker from its start to its end; returns how it ended."""
        self._failures.pop(number, None)
        try:
            link, process = await self._start(number)
        except OSError as error:
            return f"cannot be started: {error}"
        self._processes[number] = process
        self._door.enter(link)
        self._rounds.links = self._door.links
        try:
            if self._ending.is_set():  # meanwhile
                process.kill()
            await tell_config(process, self._config)
            status = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            link.channel.read_rest()  # what it said and took at last
            link.channel.close()
            del self._processes[number]
            self._door.leave(link)
            self._rounds.links = self._door.links
        failure = self._failures.get(number)
        return failure.error if failure is not None else ended(status)

    async def _start(self, number: int) -> tuple[Link, Process]:
        process, sock = await spawn(self._program, number)
        link: Link

        def on_message(message: Any, sock: socket.socket | None) -> None:
            self._on_message(link, message)

        link = Link(
            number,
            Channel(sock, wire.TO_PARENT, on_message, lambda: None, lambda: self._door.wake()),
        )
        link.channel.start()
        return link, process

    def _on_message(self, link: Link, message: Any) -> None:
        match message:
            case wire.Report():
                first = link.seat.report is None
                self._door.report(link, message)
                if link.seat.ready and not self._ever_ready:
                    self._ever_ready = True
                    self._open_wyoming()
                if first and self._signals:  # what was sent before it had ears
                    link.channel.send(wire.Drain() if self._signals == 1 else wire.Stop())
            case wire.Taken(count=count):
                link.taken(count)
            case wire.Failed():
                self._failures[link.seat.number] = message
            case wire.WantMetrics():
                self._rounds.ask(link)
            case wire.OwnMetrics():
                self._rounds.answer(link.seat.number, message)

    def _open_wyoming(self) -> None:
        sock = self._wyoming_sock
        if sock is None or self._ending.is_set():
            return
        try:
            sock.listen(wyoming.BACKLOG)
        except OSError as error:  # somebody else, between `bind` and now
            self._give_up(f"wyoming.port: cannot listen on {self._config.wyoming.port}: {error}")
            return
        wyoming.tell(self._config.wyoming.host, self._config.wyoming.port)
        self._door.add(WYOMING, sock)

    def _give_up(self, why: str) -> None:
        self._error = StreamTTSError(why)
        self._ending.set()
        self._kill()

    def _own_metrics(self) -> str:
        return (
            "# HELP streamtts_workers Workers that take contexts\n"
            "# TYPE streamtts_workers gauge\n"
            f"streamtts_workers {self.ready}\n"
            "# HELP streamtts_worker_restarts_total Workers started in place of one that ended\n"
            "# TYPE streamtts_worker_restarts_total counter\n"
            f"streamtts_worker_restarts_total {self._restarts}\n"
        )
