"""What other threads ask of the engine's thread: a bounded queue, and a bell."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from streamtts.errors import Overloaded

Command: TypeAlias = Callable[[], None]


class Commands:
    """Commands in order, at most so many; who finds it full waits a while or is refused.

    Args:
        limit: commands at most.
        wait_s: how long `put` waits for room while somebody takes them.
    """

    def __init__(self, limit: int, wait_s: float) -> None:
        self._limit = limit
        self._wait_s = wait_s
        self._queue: deque[Command] = deque()
        self._condition = threading.Condition()
        self._rung = False
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Nobody shall sleep any more."""
        return self._stopped

    @property
    def waiting(self) -> bool:
        """Somebody has put or rung since the last `take`."""
        return self._rung

    def put(self, command: Command, *, wait: bool) -> None:
        """Adds a command and rings.

        Args:
            command: is called by the engine's thread.
            wait: another thread takes the commands, so there may be room soon.

        Raises:
            Overloaded: there was no room.
        """
        with self._condition:
            if wait:
                self._condition.wait_for(self._has_room, timeout=self._wait_s)
            if not self._has_room():
                raise Overloaded("the engine has not kept up with the text", retry_after_ms=1000)
            self._queue.append(command)
            self._rung = True
            self._condition.notify_all()

    def ring(self) -> None:
        """Ends a `sleep`, or the next one."""
        with self._condition:
            self._rung = True
            self._condition.notify_all()

    def take(self) -> list[Command]:
        """All commands; what was rung for is seen to."""
        with self._condition:
            self._rung = False
            taken = list(self._queue)
            self._queue.clear()
            self._condition.notify_all()
        return taken

    def stop(self) -> None:
        """Ends a `sleep`, and every later one; a `take` in between does not undo it."""
        with self._condition:
            self._stopped = self._rung = True
            self._condition.notify_all()

    def sleep(self, timeout_s: float) -> None:
        """Waits until somebody rings."""
        with self._condition:
            self._condition.wait_for(lambda: self._rung or self._stopped, timeout=timeout_s)

    def _has_room(self) -> bool:
        return len(self._queue) < self._limit
