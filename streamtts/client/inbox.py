"""The bounded queue between a connection's one reader and whoever listens to an utterance."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Inbox(Generic[_T]):
    """A queue bounded in bytes; a full one refuses, it never blocks the reader of the socket."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._items: deque[tuple[_T, int]] = deque()
        self._bytes = 0
        self._closed = False
        self._failure: Exception | None = None
        self._changed = asyncio.Event()

    def put(self, item: _T, size: int) -> bool:
        """Appends an item of `size` bytes; False when there is no room or the inbox is closed."""
        if self._closed or (self._items and self._bytes + size > self._max_bytes):
            return False
        self._items.append((item, size))
        self._bytes += size
        self._changed.set()
        return True

    def clear(self) -> None:
        """Forgets what has not been taken."""
        self._items.clear()
        self._bytes = 0

    def close(self, last: _T | None = None, failure: Exception | None = None) -> None:
        """Ends the queue: what is in it, then `last`, then `failure` are still handed out."""
        if self._closed:
            return
        if last is not None:
            self._items.append((last, 0))
        self._closed = True
        self._failure = failure
        self._changed.set()

    async def get(self) -> _T:
        """Takes the next item.

        Raises:
            StopAsyncIteration: after the last one.
            Exception: the failure that the inbox was closed with, each time.
        """
        while not self._items:
            if self._closed:
                raise self._failure if self._failure is not None else StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        item, size = self._items.popleft()
        self._bytes -= size
        return item
