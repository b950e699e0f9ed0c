"""The load client's own side: what must not disturb a run, and the proof that it did not."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TICK_S = 0.05
_NICE = -15
_CLOCK_MONOTONIC = 1


class Ticker:
    """A timer every 50 ms that notes how late it fires.

    The kernel's own timer where there is one (Linux): event loops round their timers to whole
    milliseconds, which is half of what a run may lag by. A tick that is missed altogether because
    the loop was busy counts as well, by as much as it was late.

    Args:
        on_tick: called with the time, at every tick that fires.

    Attributes:
        began_s: when it was started; the first tick is due 50 ms later.
        lags: (when it fired, by how many seconds it was late), by time.
    """

    def __init__(self, on_tick: Callable[[float], None]) -> None:
        self.lags: list[tuple[float, float]] = []
        self._on_tick = on_tick
        self._loop = asyncio.get_running_loop()
        self.began_s = time.monotonic()
        self._ticks = 0
        self._handle: asyncio.TimerHandle | None = None
        self._fd = _kernel_timer()
        if self._fd is None:
            self._arm()
        else:
            _start_timer(self._fd, self.began_s + TICK_S)
            self._loop.add_reader(self._fd, self._fired)

    def stop(self) -> None:
        """Ends it."""
        if self._handle is not None:
            self._handle.cancel()
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = None

    def between(self, begin_s: float, end_s: float) -> list[tuple[float, float]]:
        """The ticks that were due in that time."""
        return [(at_s, late_s) for at_s, late_s in self.lags if begin_s <= at_s - late_s < end_s]

    def note(self, now_s: float) -> None:
        """Notes all ticks that were due by now."""
        while (due_s := self.began_s + (self._ticks + 1) * TICK_S) <= now_s:
            self._ticks += 1
            self.lags.append((now_s, now_s - due_s))

    def _fired(self) -> None:
        now_s = time.monotonic()
        if self._fd is not None:
            with contextlib.suppress(BlockingIOError):
                os.read(self._fd, 8)
        self.note(now_s)
        self._on_tick(now_s)
        if self._fd is None:
            self._arm()

    def _arm(self) -> None:
        due_s = self.began_s + (self._ticks + 1) * TICK_S
        self._handle = self._loop.call_later(max(0.0, due_s - time.monotonic()), self._fired)


def _kernel_timer() -> int | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    return fd if fd >= 0 else None


def _start_timer(fd: int, first_s: float) -> None:
    def parts(seconds: float) -> tuple[int, int]:
        return int(seconds), int(math.modf(seconds)[0] * 1e9)

    times = (ctypes.c_long * 4)(*parts(TICK_S), *parts(first_s))  # interval, first
    absolute = 1
    if ctypes.CDLL(None, use_errno=True).timerfd_settime(fd, absolute, times, None) != 0:
        raise OSError(ctypes.get_errno(), "timerfd_settime")


@contextlib.contextmanager
def undisturbed(priority: str) -> Iterator[str]:
    """No garbage collection, enough files, and the priority that was asked for, for a while.

    A listener elsewhere does not wait for a core of the server's machine. The load client, which
    stands for him there, comes first when it has something to do; what it takes is in the report.

    Yields:
        The priority that was got, for the report.
    """
    _allow_files()
    was_collecting = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        with _prioritised() if priority == "highest" else contextlib.nullcontext("normal") as got:
            yield got
    finally:
        gc.unfreeze()
        if was_collecting:
            gc.enable()


@contextlib.contextmanager
def _prioritised() -> Iterator[str]:
    """Real-time where the system lets us, else niceness, else nothing."""
    if hasattr(os, "sched_setscheduler"):
        policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
        try:
            realtime = os.SCHED_RR | os.SCHED_RESET_ON_FORK
            os.sched_setscheduler(0, realtime, os.sched_param(1))
        except (OSError, AttributeError):
            pass
        else:
            try:
                yield "real-time"
            finally:
                os.sched_setscheduler(0, policy, param)
            return
    nice = os.nice(0) if hasattr(os, "nice") else 0
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    except (OSError, AttributeError):
        yield "normal" if nice == 0 else f"nice {nice}"
        return
    try:
        yield f"nice {_NICE}"
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, nice)


def _allow_files() -> None:
    """As many open connections as the system lets us have."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def waited_s() -> float:
    """Seconds in which this thread could have run but had no core; 0 where nobody counts them."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
