"""Standard input as text that arrives in pieces, without holding up the event loop."""

from __future__ import annotations

import asyncio
import codecs
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_READ_BYTES = 4096
_WAITING_READS = 16


async def chunks(fd: int) -> AsyncIterator[str]:
    """Yields what can be read from a file descriptor, as soon as it is there, until its end.

    A daemon thread reads, so that a process can end while its input has not.

    Args:
        fd: UTF-8; broken bytes become U+FFFD.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    room = threading.Semaphore(_WAITING_READS)

    def read() -> None:
        data = b"?"
        while data:
            room.acquire()
            try:
                data = os.read(fd, _READ_BYTES)
            except OSError:
                data = b""
            try:
                loop.call_soon_threadsafe(queue.put_nowait, data)
            except RuntimeError:  # the loop has ended and nobody reads any more
                return

    threading.Thread(target=read, name="streamtts input", daemon=True).start()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while data := await queue.get():
        room.release()
        if text := decoder.decode(data):
            yield text
    if rest := decoder.decode(b"", final=True):
        yield rest
