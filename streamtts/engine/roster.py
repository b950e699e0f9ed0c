"""Who is there: streams that wait, streams that have a slot, and how they leave."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from streamtts.engine.admission import Admission
from streamtts.engine.runner import Runner
from streamtts.engine.stream import Status, Stream
from streamtts.engine.tallies import Tallies
from streamtts.errors import Overloaded, StreamTTSError

_SURE = 0.5  # of the deadline: who is likely to miss it is refused at once

_logger = logging.getLogger(__name__)
_R = TypeVar("_R")


class Roster:
    """The streams of one engine; only its thread may call what is not marked otherwise.

    Args:
        runner: whose slots are given out.
        admission: says whether one more fits.
        tallies: counts who came and went.
        queue: streams that may wait at most.
        queue_s: for how long at most.
        clock: monotonic seconds.

    Attributes:
        waiting: for a slot, in order.
        active: those that have one.
        underruns: of all streams so far.
        starved_s: of all streams so far.
    """

    def __init__(
        self,
        runner: Runner,
        admission: Admission,
        tallies: Tallies,
        *,
        queue: int,
        queue_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.waiting: deque[Stream] = deque()
        self.active: list[Stream] = []
        self.underruns = 0
        self.starved_s = 0.0
        self._runner = runner
        self._admission = admission
        self._tallies = tallies
        self._queue = queue
        self._queue_s = queue_s
        self._clock = clock
        self._free = list(range(runner.slots - 1, -1, -1))

    @property
    def everybody(self) -> list[Stream]:
        """Waiting or active."""
        return [*self.waiting, *self.active]

    def check_room(self) -> int:
        """Whether one more may come now; any thread may ask.

        Returns:
            its place in the queue, 0 when it would get a slot at once.

        Raises:
            Overloaded: the queue is full, or too long for its deadline.
        """
        ahead = len(self.waiting)
        if not ahead and self._admission.admits(len(self.active)):
            return 0
        now_s = self._clock()
        wait_s = self._admission.wait_s(ahead + 1, now_s)
        if ahead >= self._queue or wait_s > _SURE * self._queue_s:
            retry_ms = self._admission.retry_after_ms(ahead, now_s)
            raise Overloaded(
                f"{len(self.active)} streams are being spoken, as many as this machine keeps in"
                f" time, and {ahead} wait; retry in {retry_ms / 1000:.1f} s",
                retry_after_ms=retry_ms,
            )
        return ahead + 1

    def enter(self, stream: Stream) -> None:
        """A new stream gets a slot, waits for one, or is refused."""
        try:
            self.check_room()
        except Overloaded as error:
            self._tallies.refused += 1
            self.waiting.append(stream)
            self.fail(stream, error)
        else:
            self.waiting.append(stream)
            self.admit()

    def admit(self) -> int:
        """Gives slots to those that wait as long as they fit; returns to how many."""
        admitted = 0
        now_s = self._clock()
        while self.waiting and self._free and self._admission.admits(len(self.active)):
            stream = self.waiting.popleft()
            stream.slot = self._free.pop()
            stream.status = Status.ACTIVE
            stream.progress_s = now_s
            stream.queue_s = now_s - stream.submitted_s
            self._tallies.queue_s.add(stream.queue_s)
            self._admission.admitted(now_s)
            self.active.append(stream)
            admitted += 1
            try:
                self._runner.admit(stream.slot, stream.request)
            except Exception as error:
                _logger.exception("a stream could not begin; it is ended")
                self.fail(stream, internal_error(error))
        return admitted

    def expire(self) -> int:
        """Refuses those that have waited until their deadline; returns how many."""
        now_s = self._clock()
        expired = 0
        while self.waiting and now_s - self.waiting[0].submitted_s > self._queue_s:
            stream = self.waiting[0]
            retry_ms = self._admission.retry_after_ms(len(self.waiting), now_s)
            self._tallies.expired += 1
            why = f"no slot became free within {self._queue_s:g} s"
            self.fail(
                stream,
                Overloaded(f"{why}; retry in {retry_ms / 1000:.1f} s", retry_after_ms=retry_ms),
            )
            expired += 1
        return expired

    def expires_s(self) -> float | None:
        """When the first of those that wait has waited for too long."""
        return self.waiting[0].submitted_s + self._queue_s if self.waiting else None

    def remove(self, stream: Stream) -> None:
        """Frees what a stream holds."""
        if stream.status is Status.ACTIVE:
            self.active.remove(stream)
            self._runner.release(stream.slot)
            self._free.append(stream.slot)
        elif stream in self.waiting:
            self.waiting.remove(stream)
        stream.status = Status.OVER

    def sent(self, stream: Stream, sound_s: float) -> None:
        """Notes that so much more sound of a stream has gone out."""
        playout = stream.playout
        underruns, starved_s = playout.underruns, playout.starved_s
        playout.sent(self._clock(), sound_s)
        self.underruns += playout.underruns - underruns
        self.starved_s += playout.starved_s - starved_s

    def fail(self, stream: Stream, error: StreamTTSError) -> None:
        """Ends a stream by an error; its listener is told of one only."""
        self.remove(stream)
        if stream.failed:
            return
        stream.failed = True
        try:
            stream.sink.failed(error)
        except Exception:
            _logger.exception("a listener failed to take the end of its stream")

    def tell(self, stream: Stream, call: Callable[..., _R], *args: object) -> _R | None:
        """Calls a sink; one that fails ends its own stream and nobody else's."""
        try:
            return call(*args)
        except Exception as error:
            _logger.exception("a listener failed; its stream is ended")
            self.fail(stream, internal_error(error))
            return None


def internal_error(error: Exception) -> StreamTTSError:
    """What a client is told of a failure that nobody expected."""
    return StreamTTSError(f"internal error: {type(error).__name__}")
