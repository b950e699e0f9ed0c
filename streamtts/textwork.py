"""One thread for the text of all contexts: a little of each in turn, and alarms."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

_logger = logging.getLogger(__name__)


class Job(Protocol):
    """Something with work to do now and then."""

    def work(self, now_s: float) -> float | None:
        """Does a little.

        Returns:
            when it wants to be called again: `now_s` or earlier for at once, None for not
            before somebody says that it is ready.
        """


class TextWorker:
    """Calls jobs in turn; `turn` does one by hand, `start` runs it on a thread of its own.

    A job is queued at most once, so the queue is no longer than the number of jobs.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._ready: deque[Job] = deque()
        self._queued: set[Job] = set()
        self._alarms: dict[Job, float] = {}
        self._heap: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def ready(self, job: Job) -> None:
        """The job has something to do; any thread may say so."""
        with self._condition:
            if job not in self._queued:
                self._queued.add(job)
                self._ready.append(job)
                self._condition.notify()

    def forget(self, job: Job) -> None:
        """The job is over."""
        with self._condition:
            if self._alarms.pop(job, None) is not None:
                self._heap = [entry for entry in self._heap if entry[2] is not job]
                heapq.heapify(self._heap)

    def turn(self) -> bool:
        """Calls one job that is ready or whose alarm is due; False when there is none."""
        now_s = self._clock()
        with self._condition:
            self._ring(now_s)
            if not self._ready:
                return False
            job = self._ready.popleft()
            self._queued.discard(job)
        again_s = job.work(now_s)
        if again_s is None:
            return True
        if again_s <= now_s:
            self.ready(job)
        else:
            self._set_alarm(job, again_s)
        return True

    def start(self) -> None:
        """Runs on a thread of its own until `close`."""
        self._thread = threading.Thread(target=self._run, name="text", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops the thread; what is queued stays undone."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stopping:
            try:
                worked = self.turn()
            except Exception:
                _logger.exception("a job of the text thread failed")
                continue
            if not worked:
                self._sleep()

    def _sleep(self) -> None:
        with self._condition:
            if self._ready or self._stopping:
                return
            wait_s = self._heap[0][0] - self._clock() if self._heap else None
            if wait_s is None or wait_s > 0:
                self._condition.wait(wait_s)

    def _ring(self, now_s: float) -> None:
        while self._heap and self._heap[0][0] <= now_s:
            due_s, _, job = heapq.heappop(self._heap)
            if self._alarms.get(job) == due_s:
                del self._alarms[job]
                if job not in self._queued:
                    self._queued.add(job)
                    self._ready.append(job)

    def _set_alarm(self, job: Job, due_s: float) -> None:
        with self._condition:
            if due_s < self._alarms.get(job, float("inf")):
                self._alarms[job] = due_s
                heapq.heappush(self._heap, (due_s, next(self._order), job))
