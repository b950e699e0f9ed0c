"""Who is stepped next, and whose frames become sound next. No torch; the clock is given.

A step of many rows costs little more than a step of one, so streams that have time are stepped
together: a *tick* wakes every other one that has room for one more chunk, and they go on side by
side until it is made, while the vocoder is at work for the other half. Who is far behind its lead
makes twice as much as its listener plays, and not as much as it could, for that would be alone.

Streams that *hurry*, because they have not begun to sound or because their listener is about to run
dry, wait for no tick. As long as they are few the turns are theirs alone and short, so they gain on
their listeners however many others there are; those have their leads for that. When many hurry,
everybody goes together, since that is what gets the most done.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streamtts.engine.stream import Stream

HURRY_S = 0.2  # a listener with less than this is about to run dry
AT_EASE_S = 2.0  # an unbounded stream with more than this gives way to those with a lead
_LONGEST_TICK_S = 0.2
_SHORTEST_TICK_S = 0.05
_EARLY_S = 1e-6
_LEAST_HURRY_S = 0.02  # with a lead this short a chunk is made while the last one plays
_FEW = 2  # may hurry alone, or
_FEW_OF = 12  # one of so many
_CATCH_UP = 2.0  # sound made in the time of a tick at most, in units of that time


class Scheduler:
    """First chunks first, then who runs dry soonest, then all that have room, together.

    Args:
        batch_rows: rows of one decoder step at most.
        sound_frames: frames of one vocoder call at most, all rows together.

    Attributes:
        alone: the last step was for a few that hurry; whoever has time gets no sound meanwhile.
        crowded: more than a few are about to run dry: one more stream would make it worse.
    """

    def __init__(self, batch_rows: int, sound_frames: int) -> None:
        self.batch_rows = batch_rows
        self.sound_frames = sound_frames
        self.alone = False
        self.crowded = False
        self._tick_s = _LONGEST_TICK_S
        self._tick_at_s = [0.0, 0.0]  # of the even and of the odd slots

    def choose(self, streams: Sequence[Stream], now_s: float) -> list[Stream]:
        """The rows of the next decoder step, in the order of their slots.

        Args:
            streams: those that have a slot.
            now_s: the time.
        """
        moving = [s for s in streams if s.can_step and not s.paused]
        hasty = [s for s in moving if self.hurries(s, now_s)]
        hurried = [s for s in hasty if not s.frames_due]
        few = max(_FEW, len(streams) // _FEW_OF)
        self.alone = 0 < len(hurried) <= few
        self.crowded = sum(s.playout.started for s in hasty) > few
        if self.alone:
            return self._rows(hurried, now_s)
        for half, tick_at_s in enumerate(self._tick_at_s):
            if now_s >= tick_at_s - _EARLY_S:
                self._tick(streams, half, now_s)
        able = [s for s in moving if s.awake and not s.frames_due]
        able += [s for s in hurried if not s.awake]
        return self._rows(able, now_s)

    def choose_sound(self, streams: Sequence[Stream], now_s: float) -> list[Stream]:
        """Those whose frames the vocoder should take now: equally many of each, or nobody.

        Args:
            streams: those that have a slot.
            now_s: the time.
        """
        due = [s for s in streams if s.frames_pending and not s.in_flight and s.frames_due]
        if not due:
            return []
        due.sort(key=lambda s: self._order(s, now_s))
        frames = due[0].frames_due
        rows = max(1, self.sound_frames // frames)
        return [s for s in due if s.frames_due == frames][:rows]

    def after_chunk(self, stream: Stream, now_s: float) -> None:
        """A stream has got a chunk: it goes on if there is room and it has not caught up enough."""
        enough = stream.playout.lead_s > 0 and stream.ticked_s >= _CATCH_UP * self._tick_s
        stream.awake = not enough and self._has_room(stream, now_s)

    def hurries(self, stream: Stream, now_s: float) -> bool:
        """Whether a stream has not begun to sound, or its listener is about to run dry."""
        playout = stream.playout
        return not playout.started or playout.slack_s(now_s) < _hurry_s(stream)

    def is_at_ease(self, stream: Stream, now_s: float) -> bool:
        """Whether a stream without a lead is far enough ahead to give way to others."""
        playout = stream.playout
        return playout.lead_s <= 0 and playout.started and playout.slack_s(now_s) > AT_EASE_S

    def rests(self, stream: Stream, now_s: float) -> bool:
        """Whether a stream waits for its listener, for the tick, or gives way."""
        if self.is_at_ease(stream, now_s):
            return True
        return not stream.awake and not self.hurries(stream, now_s)

    def wake_s(self, streams: Iterable[Stream], now_s: float) -> float | None:
        """When the next stream that rests may go on; None when there is none."""
        resting = (s for s in streams if not s.paused and s.can_step)
        return min((self._wake_s(s, now_s) for s in resting), default=None)

    def _wake_s(self, stream: Stream, now_s: float) -> float:
        room_s = stream.playout.room_at_s(now_s, stream.chunk_s)
        tick_s = max(room_s, self._tick_at_s[stream.slot % 2])
        return min(tick_s, now_s + stream.playout.slack_s(now_s) - _hurry_s(stream))

    def _tick(self, streams: Iterable[Stream], half: int, now_s: float) -> None:
        bounded = [s.chunk_s for s in streams if s.playout.lead_s > 0]
        self._tick_s = max(min(bounded, default=_LONGEST_TICK_S), _SHORTEST_TICK_S)
        for stream in streams:
            if stream.slot % 2 == half:
                stream.awake = self._has_room(stream, now_s)
                stream.ticked_s = 0.0
        self._tick_at_s[half] = now_s + self._tick_s
        other = self._tick_at_s[1 - half]
        if other < now_s + self._tick_s / 2:
            self._tick_at_s[1 - half] = now_s + self._tick_s / 2

    def _has_room(self, stream: Stream, now_s: float) -> bool:
        return stream.playout.room_at_s(now_s, stream.chunk_s) <= now_s

    def _rows(self, able: list[Stream], now_s: float) -> list[Stream]:
        """As many as fit, those without a lead last unless their listener needs them."""
        bounded = any(s.playout.lead_s > 0 for s in able)
        if bounded:
            able = [s for s in able if not self.is_at_ease(s, now_s)]
        if len(able) > self.batch_rows:
            able.sort(key=lambda s: self._order(s, now_s))
            del able[self.batch_rows :]
        able.sort(key=lambda s: s.slot)
        return able

    def _order(self, stream: Stream, now_s: float) -> tuple[bool, float, int]:
        playout = stream.playout
        return playout.started, playout.slack_s(now_s), stream.number


def _hurry_s(stream: Stream) -> float:
    """With less than this its listener is about to run dry."""
    lead_s = stream.playout.lead_s
    return max(min(HURRY_S, lead_s / 3), _LEAST_HURRY_S) if lead_s > 0 else HURRY_S
