"""Who is there: streams that wait, streams that have a slot, and how they leave."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from streamtts.engine.runner import Runner
from streamtts.engine.stream import Status, Stream
from streamtts.errors import StreamTTSError

_logger = logging.getLogger(__name__)
_R = TypeVar("_R")


class Roster:
    """The streams of one engine; only its thread may call this.

    Args:
        runner: whose slots are given out.
        clock: monotonic seconds.

    Attributes:
        waiting: for a slot, in order.
        active: those that have one.
        underruns: of the streams that are over.
        starved_s: of the streams that are over.
    """

    def __init__(self, runner: Runner, clock: Callable[[], float]) -> None:
        self.waiting: deque[Stream] = deque()
        self.active: list[Stream] = []
        self.underruns = 0
        self.starved_s = 0.0
        self._runner = runner
        self._clock = clock
        self._free = list(range(runner.slots - 1, -1, -1))

    @property
    def everybody(self) -> list[Stream]:
        """Waiting or active."""
        return [*self.waiting, *self.active]

    def admit(self) -> int:
        """Gives free slots to those that wait; returns to how many."""
        admitted = 0
        while self.waiting and self._free:
            stream = self.waiting.popleft()
            stream.slot = self._free.pop()
            stream.status = Status.ACTIVE
            stream.progress_s = self._clock()
            stream.queue_s = stream.progress_s - stream.submitted_s
            self._runner.admit(stream.slot, stream.request)
            self.active.append(stream)
            admitted += 1
        return admitted

    def remove(self, stream: Stream) -> None:
        """Frees what a stream holds."""
        if stream.status is Status.ACTIVE:
            self.active.remove(stream)
            self._runner.release(stream.slot)
            self._free.append(stream.slot)
        elif stream.status is Status.WAITING:
            self.waiting.remove(stream)
        stream.status = Status.OVER
        self.underruns += stream.playout.underruns
        self.starved_s += stream.playout.starved_s

    def fail(self, stream: Stream, error: StreamTTSError) -> None:
        """Ends a stream by an error."""
        self.remove(stream)
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
            if stream.status is not Status.OVER:
                self.fail(stream, StreamTTSError(f"internal error: {type(error).__name__}"))
            return None
