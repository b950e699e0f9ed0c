"""What waits for one client: bounded in bytes, with one writer.

When it is full its contexts are descheduled; when it overflows even so, the client is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

OVERFLOW = 16  # times the size at which contexts are descheduled
OVERFLOW_S = 1.0  # for which the socket has taken nothing: else it is a burst of our own


@dataclass(frozen=True, slots=True)
class Entry:
    """A frame that waits.

    Attributes:
        frame: str for a text frame, bytes for a binary one.
        owner: of the frame, for `drop`.
        droppable: whether `drop` takes it.
        sample: of a chunk: samples of its context before it.
    """

    frame: str | bytes
    owner: object = None
    droppable: bool = False
    sample: int | None = None


class Outbox:
    """A queue of frames in front of a socket.

    Args:
        send: writes one frame; waits while the socket is full.
        full_bytes: above this `on_full(True)` is called, below half of it `on_full(False)`.
        on_full: deschedules and reschedules whoever fills the box.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        send: Callable[[str | bytes], Awaitable[None]],
        *,
        full_bytes: int,
        on_full: Callable[[bool], None],
        clock: Callable[[], float],
    ) -> None:
        self._send = send
        self._full_bytes = full_bytes
        self._on_full = on_full
        self._clock = clock
        self._urgent: list[Entry] = []  # lists, because an idle connection should cost little
        self._entries: list[Entry] = []
        self._waiter: asyncio.Future[None] | None = None
        self._closing = False
        self._sending_since: float | None = None
        self.bytes = 0
        self.full = False

    def put(self, entry: Entry, *, urgent: bool = False) -> bool:
        """Queues a frame; False when the box overflows: the client must be closed."""
        if self._closing:
            return True
        (self._urgent if urgent else self._entries).append(entry)
        self.bytes += len(entry.frame)
        self._wake()
        if not self.full and self.bytes > self._full_bytes:
            self.full = True
            self._on_full(True)
        return self.bytes <= self._full_bytes * OVERFLOW or self.stalled_s() < OVERFLOW_S

    def drop(self, owner: object) -> list[Entry]:
        """Forgets the chunks of an owner, and what goes with them, from the first that waits on.

        Returns:
            What was dropped, in its order, a chunk with its `sample` first; nothing when none
            was waiting.
        """
        dropped = [entry for entry in self._entries if entry.owner is owner and entry.droppable]
        counted = (i for i, entry in enumerate(dropped) if entry.sample is not None)
        del dropped[: next(counted, len(dropped))]
        if dropped:
            gone = set(map(id, dropped))
            self._entries = [entry for entry in self._entries if id(entry) not in gone]
            self.bytes -= sum(len(entry.frame) for entry in dropped)
            self._relax()
        return dropped

    def finish(self) -> None:
        """Takes no more; `run` returns when everything queued has been sent."""
        self._closing = True
        self._wake()

    def stalled_s(self) -> float:
        """Seconds for which the frame being written has been waiting for the socket."""
        return 0.0 if self._sending_since is None else self._clock() - self._sending_since

    async def run(self) -> None:
        """The one writer; returns after `finish`, or raises what `send` raises."""
        while True:
            while self._urgent or self._entries:
                frame = (self._urgent or self._entries).pop(0).frame
                self._sending_since = self._clock()
                await self._send(frame)
                self._sending_since = None
                self.bytes -= len(frame)
                del frame
                self._relax()
            if self._closing:
                return
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _relax(self) -> None:
        if self.full and self.bytes <= self._full_bytes // 2:
            self.full = False
            self._on_full(False)
