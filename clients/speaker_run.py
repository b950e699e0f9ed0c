"""A loudspeaker at work: its clock, its connection, what it says itself, what people see of it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import sys
import uuid
from collections.abc import Callable
from typing import Protocol

from speaker_output import outputs
from speaker_site import Loudspeaker, Report
from speaker_talk import Talk
from speaker_wire import Event, Publication, Topics

from streamtts.client.terminal import chunks

TICK_S = 0.01
METER_S = 0.2


class Link(Protocol):
    """A connection to a broker."""

    @property
    def connected(self) -> bool:
        """Now."""

    async def run(self) -> None:
        """Keeps it until cancelled."""

    async def send(self) -> None:
        """Sends what is published until cancelled."""

    async def publish(self, publication: Publication) -> None:
        """Sends a message as soon as there is a connection; waits for a place in the queue."""

    def report(self, publications: list[Publication]) -> None:
        """Sends messages that are worth nothing later."""

    async def flushed(self) -> None:
        """Waits until everything has been sent."""


class Speaker:
    """A loudspeaker, its connection, and what it says itself.

    Args:
        options: of the command line.
        connect: makes the connection, from what to say first, what to subscribe to, who takes a
            topic and its payload, and who is told of every reconnect.

    Raises:
        StreamTTSError: a wrong option, no sound card, a file that cannot be read or written.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        connect: Callable[
            [Publication, list[tuple[str, int]], Callable[[str, bytes], None], Callable[[], None]],
            Link,
        ],
    ) -> None:
        self._options = options
        self._topics = Topics(options.prefix, options.site)
        self.outputs = outputs(options.output, play=options.play)
        self._loudspeaker = Loudspeaker(
            self._topics, options.buffer_ms, self.outputs, self._on_event, self._on_over, note
        )
        hello = self._topics.buffer(self._loudspeaker.told_ms)
        filters = self._topics.filters
        self._link = connect(hello, filters, self._on_message, self._on_back)
        self._talk: Talk | None = None
        self._loop = asyncio.get_running_loop()
        self._busy = asyncio.Event()
        self._counted = asyncio.Event()
        self._over = 0

    async def run(self, stop: asyncio.Event) -> bool:
        """Plays until it has nothing more to do.

        Args:
            stop: set to leave now.

        Returns:
            whether it was stopped.

        Raises:
            StreamTTSError: the broker, the server, or the sound card.
        """
        begin = (self._link.run, self._link.send, self._tick, self._talks, self._counted.wait)
        tasks = [asyncio.create_task(one(), name=f"speaker {one.__name__}") for one in begin]
        stopped = asyncio.create_task(stop.wait(), name="speaker stop")
        try:
            done, _ = await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if stopped in done and self._talk is not None and self._talk.cancellable:
                tasks[3].cancel()
                await self._talk.cancel()
            if self._talk is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._link.flushed(), 1.0)
            return stopped in done
        finally:
            for task in (*tasks, stopped):
                task.cancel()
            await asyncio.gather(*tasks, stopped, return_exceptions=True)

    async def _talks(self) -> None:
        options = self._options
        if options.say is None and not options.stream:
            await asyncio.Event().wait()
        id_ = uuid.uuid4().hex[:12]
        self._talk = Talk(id_, self._topics, self._loudspeaker, self._link.publish, self._connected)
        names = ("voice", "speed", "priority")
        given = {name: getattr(options, name) for name in names}
        settings = {name: value for name, value in given.items() if value is not None}
        text = options.say if options.say is not None else chunks(sys.stdin.fileno())
        after_s = math.inf if options.cancel_after is None else options.cancel_after
        await self._talk.run(text, settings, after_s)

    def _connected(self) -> bool:
        return self._link.connected

    async def _tick(self) -> None:
        meter_s = 0.0
        while True:
            await self._busy.wait()
            now_s = self._loop.time()
            self._link.report(self._loudspeaker.tick(now_s))
            if self._loudspeaker.playing is None:
                self._busy.clear()
            elif now_s - meter_s >= METER_S and sys.stderr.isatty():
                meter_s = now_s
                print(f"\r{self._meter()}\x1b[K", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(TICK_S)

    def _meter(self) -> str:
        held_ms, room_ms = self._loudspeaker.held_ms, self._options.buffer_ms
        playing = self._loudspeaker.playing
        underruns = 0 if playing is None else playing.buffer.underruns
        bar = "#" * round(30 * min(1.0, held_ms / room_ms))
        return f"[{bar:<30}] {held_ms:4.0f} of {room_ms} ms, {underruns} underruns"

    def _on_message(self, topic: str, payload: bytes) -> None:
        self._link.report(self._loudspeaker.message(topic, payload, self._loop.time()))
        if self._loudspeaker.playing is not None:
            self._busy.set()

    def _on_event(self, event: Event) -> None:
        if self._talk is not None:
            self._talk.on_event(event)
        elif event.type == "error":
            note(f"{event.id}: {event.code}: {event.message}")

    def _on_back(self) -> None:
        if self._talk is not None:
            self._talk.on_reconnect()

    def _on_over(self, report: Report) -> None:
        note(report.line())
        if self._options.json:
            print(report.json(), flush=True)
        if self._talk is not None:
            self._talk.on_over(report.id)
        self._over += 1
        if self._over == self._options.count:
            self._counted.set()


def note(line: str) -> None:
    """Prints a line for people, over the meter."""
    end = "\x1b[K" if sys.stderr.isatty() else ""
    print(f"\r{line}{end}" if end else line, file=sys.stderr, flush=True)
