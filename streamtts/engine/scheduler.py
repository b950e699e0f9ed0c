"""Who is stepped next. No torch; the clock comes from outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streamtts.engine.stream import Stream


class Scheduler:
    """First chunks first, then whoever's listener runs dry soonest.

    Args:
        batch_rows: rows in one step at most.
    """

    def __init__(self, batch_rows: int) -> None:
        self.batch_rows = batch_rows

    def choose(self, streams: Iterable[Stream], now_s: float) -> list[Stream]:
        """The rows of the next step, in the order of their slots.

        Args:
            streams: those that have a slot.
            now_s: the time.
        """
        able = [s for s in streams if self.may_step(s, now_s)]
        if len(able) > self.batch_rows:
            able.sort(key=lambda s: (s.playout.started, s.playout.slack_s(now_s), s.number))
            del able[self.batch_rows :]
        able.sort(key=lambda s: s.slot)
        return able

    def may_step(self, stream: Stream, now_s: float) -> bool:
        """Whether text, listener and transport allow a step."""
        if stream.paused or not stream.can_step:
            return False
        return stream.playout.may_make(now_s)

    def wake_s(self, streams: Sequence[Stream], now_s: float) -> float | None:
        """When the next stream that rests may go on; None when there is none."""
        resting = (s for s in streams if not s.paused and s.can_step)
        return min((s.playout.wake_s(now_s) for s in resting), default=None)
