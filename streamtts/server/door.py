"""The parent's port: accepts, and hands every connection to one of the workers."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Mapping

from streamtts.server.channel import Channel, Connection, Report
from streamtts.server.spread import Seat, choose

ACCEPTS = 64  # in a row before others get their turn
BREATH_S = 1.0  # when the system has no descriptors left

logger = logging.getLogger(__name__)


class Link:
    """One worker at the other end of a channel.

    Args:
        number: the worker's.
        channel: to it.
    """

    def __init__(self, number: int, channel: Channel) -> None:
        self.seat = Seat(number)
        self.channel = channel
        self._confirmed = 0
        # connections that it has not confirmed: it may die with them unseen
        self._untaken: deque[tuple[str, socket.socket]] = deque()

    def hand(self, port: str, sock: socket.socket, turn: int) -> None:
        """Passes a connection on, and keeps it until the worker has it."""
        self.seat.give(turn)
        self._untaken.append((port, sock))
        self.channel.send(Connection(port), sock)

    def taken(self, count: int) -> None:
        """The worker has the first `count` connections that it was ever given."""
        while self._confirmed < count:
            self._confirmed += 1
            self._untaken.popleft()[1].close()

    def take_back(self) -> list[tuple[str, socket.socket]]:
        """What the worker has never seen."""
        untaken = list(self._untaken)
        self._untaken.clear()
        return untaken


class Door:
    """Listening sockets in front of the workers.

    While no worker can be given anything, connections wait in the system's own queue.

    Args:
        listeners: name of a port -> its listening socket, which stays the caller's.
        limit: connections that one worker takes.
        clock: monotonic seconds.
    """

    def __init__(
        self, listeners: Mapping[str, socket.socket], limit: int, clock: Callable[[], float]
    ) -> None:
        self._listeners = dict(listeners)
        self._limit = limit
        self._clock = clock
        self._links: list[Link] = []
        self._held: deque[tuple[str, socket.socket]] = deque()
        self._turn = 0
        self._open = False

    @property
    def links(self) -> tuple[Link, ...]:
        """The workers that live."""
        return tuple(self._links)

    def enter(self, link: Link) -> None:
        """A worker has been started."""
        self._links.append(link)
        self.wake()

    def leave(self, link: Link) -> None:
        """A worker has ended; what it has never seen goes to others."""
        self._links.remove(link)
        self._held.extend(link.take_back())
        self.wake()

    def report(self, link: Link, report: Report) -> None:
        """A worker tells how it is."""
        link.seat.tell(report, self._clock())

    def wake(self) -> None:
        """Hands on what is held back; then accepts again."""
        while self._held:
            link = self._choose()
            if link is None:
                return
            self._hand(link, *self._held.popleft())
        if self._choose() is not None and not self._open:
            self._open = True
            loop = asyncio.get_running_loop()
            for port, listener in self._listeners.items():
                loop.add_reader(listener.fileno(), self._accept, port, listener)

    def add(self, port: str, listener: socket.socket) -> None:
        """One more port, from now on."""
        self._shut()
        self._listeners[port] = listener
        self.wake()

    def remove(self, port: str) -> None:
        """Accepts no more at a port; nothing happens if it was never there."""
        self._shut()
        self._listeners.pop(port, None)
        self.wake()

    def close(self) -> None:
        """Accepts no more; who has been handed to nobody is sent away."""
        self._shut()
        self._listeners.clear()
        for _, sock in self._held:
            sock.close()
        self._held.clear()

    def _shut(self) -> None:
        if self._open:
            self._open = False
            loop = asyncio.get_running_loop()
            for listener in self._listeners.values():
                loop.remove_reader(listener.fileno())

    def _choose(self) -> Link | None:
        able = {link.seat: link for link in self._links if not link.channel.full}
        seat = choose(able, self._clock(), self._limit)
        return None if seat is None else able[seat]

    def _accept(self, port: str, listener: socket.socket) -> None:
        for _ in range(ACCEPTS):
            link = self._choose()
            if link is None:
                self._shut()  # until `wake`
                return
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:  # the client has gone already
                continue
            except OSError as error:
                logger.warning("cannot accept: %s", error)
                self._shut()
                asyncio.get_running_loop().call_later(BREATH_S, self.wake)
                return
            self._hand(link, port, sock)

    def _hand(self, link: Link, port: str, sock: socket.socket) -> None:
        self._turn += 1
        link.hand(port, sock, self._turn)
