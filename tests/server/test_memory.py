"""Memory goes back to the system when it has been needed by a crowd that is gone."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys

import pytest

from streamtts.config import Config
from streamtts.server import gateway, memory
from streamtts.server.gateway import Gateway
from streamtts.server.security import Keys


class Guest:
    begun = False
    outbox = (0, False)


def test_once_for_each_crowd_that_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(gateway, "CROWD", 3)
    monkeypatch.setattr(gateway, "CROWD_S", 0.0)
    monkeypatch.setattr(memory, "give_back", lambda: given.append(len(shared.peers)))

    async def come_and_go(number: int) -> None:
        guests = [Guest() for _ in range(number)]
        for guest in guests:
            shared.join(guest)
        for guest in guests:
            shared.leave(guest)
        await asyncio.sleep(0)

    async def main() -> list[int]:
        counts = []
        for number in (2, 1, 2, 7, 2):
            await come_and_go(number)
            await asyncio.sleep(0)
            counts.append(len(given))
        return counts

    shared = Gateway(Config(), Keys([]))
    # after three in all; then not before three more; a larger crowd counts as one
    assert asyncio.run(main()) == [0, 1, 1, 2, 2]
    assert given == [0, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="malloc_trim is glibc's")
def test_free_pages_are_let_go() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("this C library has no malloc_trim")
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    blocks = [libc.malloc(100_000) for _ in range(400)]  # 40 MB below the limit of mmap
    for block in blocks:
        ctypes.memset(block, 1, 100_000)
    for block in blocks[:-1]:
        libc.free(block)  # the last one keeps the heap from shrinking by itself
    before = resident_bytes()
    memory.give_back()
    assert resident_bytes() < before - 20_000_000
    libc.free(blocks[-1])


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
