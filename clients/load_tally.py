"""What a run counts while it goes on, and the numbers that come of it."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from load_spec import Second, Spread


class Late(NamedTuple):
    """A chunk that came too late: when the sound ran out, for how long, and in which stream."""

    at_s: float
    late_s: float
    stream: int


class Tally:
    """Counters of a run; times are of `time.monotonic`.

    Attributes:
        begin_s, end_s: the window.
        gaps_at, gaps_ms: gaps between chunks inside the window, by the time at which they ended.
        underruns: inside the window.
        ramp_underruns: before it.
        starved_ms: inside it.
        audio_s: sound that arrived inside it.
        in_time_s: the part of it that was not late.
        chunks: that arrived inside it.
        alive: +1 and -1 with their times, for listeners who begin and have heard the end.
        life_s: when a server last gave a sign of life.
    """

    def __init__(self, begin_s: float, end_s: float) -> None:
        self.begin_s = begin_s
        self.end_s = end_s
        self.gaps_at = array("d")
        self.gaps_ms = array("d")
        self.underruns: list[Late] = []
        self.ramp_underruns = 0
        self.starved_ms = 0.0
        self.audio_s = 0.0
        self.in_time_s = 0.0
        self.chunks = 0
        self.alive: list[tuple[float, int]] = []
        self.life_s = -math.inf

    def inside(self, now_s: float) -> bool:
        """Whether that is in the window."""
        return self.begin_s <= now_s < self.end_s

    def chunk(self, now_s: float, sound_s: float, gap_s: float, late: bool) -> None:
        """Notes a chunk inside the window; `gap_s` is below 0 for the first of a stream."""
        self.chunks += 1
        self.audio_s += sound_s
        if not late:
            self.in_time_s += sound_s
        if gap_s >= 0:
            self.gaps_at.append(now_s)
            self.gaps_ms.append(gap_s * 1000)

    def underrun(self, late: Late) -> bool:
        """Notes a chunk that came too late; whether the sound ran out inside the window."""
        if late.at_s < self.begin_s:
            self.ramp_underruns += 1
        elif late.at_s < self.end_s:
            self.underruns.append(late)
            return True
        return False

    def doubtful(self, lags: Sequence[tuple[float, float]]) -> int:
        """Underruns no later than the client itself lagged around that time.

        Args:
            lags: when a timer fired and how late it was, in seconds, by time.
        """
        fired = [at_s for at_s, _ in lags]
        count = 0
        for late in self.underruns:
            near = bisect_left(fired, late.at_s + late.late_s)
            around = lags[max(0, near - 1) : near + 2]
            count += any(lag_s >= late.late_s for _, lag_s in around)
        return count

    def presence(self, end_s: float) -> tuple[float, int]:
        """Mean and largest number of listeners between the begin of the window and `end_s`."""
        now, most, area, since = 0, 0, 0.0, self.begin_s
        for at_s, step in sorted(self.alive):
            at = min(max(at_s, self.begin_s), end_s)
            area += now * (at - since)
            since = at
            now += step
            if self.begin_s <= at_s < end_s:
                most = max(most, now)
            elif at_s < self.begin_s:
                most = now
        area += now * (end_s - since)
        length = end_s - self.begin_s
        return (area / length if length > 0 else float(now)), most

    def timeline(self, end_s: float) -> tuple[Second, ...]:
        """The window, second by second."""
        seconds = max(0, math.ceil(end_s - self.begin_s))
        gaps: list[list[float]] = [[] for _ in range(seconds)]
        for at_s, gap_ms in zip(self.gaps_at, self.gaps_ms, strict=True):
            gaps[int(at_s - self.begin_s)].append(gap_ms)
        late = [0] * seconds
        for item in self.underruns:
            late[int(item.at_s - self.begin_s)] += 1
        steps = sorted(self.alive)
        rows = []
        alive = at = 0
        for second in range(seconds):
            while at < len(steps) and steps[at][0] < self.begin_s + second + 1:
                alive += steps[at][1]
                at += 1
            here = spread(gaps[second])
            rows.append(
                Second(
                    at_s=second,
                    alive=alive,
                    chunks=here.n,
                    gap_p50_ms=here.p50,
                    gap_p99_ms=here.p99,
                    gap_max_ms=here.max,
                    underruns=late[second],
                )
            )
        return tuple(rows)


def spread(values: Sequence[float]) -> Spread:
    """Percentiles by the nearest rank: a value that was measured, never one in between."""
    if not values:
        return Spread()
    ordered = sorted(values)
    p50, p95, p99 = (
        round(ordered[max(0, math.ceil(len(ordered) * share) - 1)], 3)
        for share in (0.50, 0.95, 0.99)
    )
    return Spread(n=len(ordered), p50=p50, p95=p95, p99=p99, max=round(ordered[-1], 3))
