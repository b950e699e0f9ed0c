"""How many streams fit: what a step costs here and now, and what that says of one more.

The costs of a step and of a vocoder call are measured at start for batches of several sizes: they
say what n streams need when all go side by side. What the engine really takes for the sound that it
makes, with first chunks, text, listeners and the rest of the machine in the way, is measured all
the time; the ratio of the two, the *pressure*, scales the prediction. So a burst is judged before
it has been felt, and a machine that slows down admits fewer. No torch; the clock is the caller's.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

TARGET_LOAD = 0.9  # of the engine's thread
_MEMORY_S = 1.0  # busy seconds after which a measurement counts a third
_FIRST_PRESSURE = 1.5  # until it has been measured
_FIRST_S = 0.3  # busy seconds that this guess counts for
_DEPARTURES = 64
_DEPARTURES_S = 30.0
_RETRY_S = (0.25, 30.0)


class Costs(NamedTuple):
    """What the model takes on this machine when nothing is in its way.

    Attributes:
        steps: (rows, seconds) of decoder steps, by rising rows.
        sound_s: seconds of the vocoder per frame of a full call.
    """

    steps: Sequence[tuple[int, float]]
    sound_s: float

    def step_s(self, rows: int) -> float:
        """Seconds of a step of so many rows: a line between the measured batches."""
        if not rows or not self.steps:
            return 0.0
        at = bisect_left(self.steps, (rows, 0.0))
        if at == 0:
            return self.steps[0][1]
        low = self.steps[at - 1]
        if at == len(self.steps):
            return low[1] * rows / low[0]
        high = self.steps[at]
        share = (rows - low[0]) / (high[0] - low[0])
        return low[1] + share * (high[1] - low[1])


NO_COSTS = Costs((), 0.0)
"""Of a machine that has not been measured: everything fits."""


class Admission:
    """Predicts the load of n streams, and how long one more would have to wait.

    Args:
        costs: of the model.
        steps_per_s: decoder steps that a stream needs each second.
        frames_per_s: frames that it needs turned into sound.
        slots: streams at most, whatever they cost.

    Attributes:
        costs: may be replaced once they have been measured.
    """

    def __init__(
        self, costs: Costs, *, steps_per_s: float, frames_per_s: float, slots: int
    ) -> None:
        self.costs = costs
        self._steps_per_s = steps_per_s
        self._frames_per_s = frames_per_s
        self._slots = slots
        self._left: deque[float] = deque(maxlen=_DEPARTURES)
        self._busy_s = _FIRST_S
        self._ideal_s = _FIRST_S / _FIRST_PRESSURE

    @property
    def pressure(self) -> float:
        """What the engine takes for its sound, in units of what it would take side by side."""
        return self._busy_s / self._ideal_s

    def took(self, busy_s: float, rows: int, active: int) -> None:
        """Notes a turn.

        Args:
            busy_s: what it took, by the clock on the wall.
            rows: of its decoder step; 0 when it made none.
            active: streams that have a slot.
        """
        ideal_s = rows * self._needs(active) / (self._steps_per_s * active) if rows else 0.0
        kept = math.exp(-busy_s / _MEMORY_S)
        self._busy_s = self._busy_s * kept + busy_s
        self._ideal_s = max(self._ideal_s * kept + ideal_s, 1e-9)

    def load(self, streams: int) -> float:
        """The share of the engine's time that so many streams need."""
        return self.pressure * self._needs(streams)

    def _needs(self, streams: int) -> float:
        """Seconds that a second of so many streams takes when all go side by side."""
        costs = self.costs
        steps_s = self._steps_per_s * costs.step_s(streams)
        return steps_s + self._frames_per_s * costs.sound_s * streams

    def admits(self, active: int) -> bool:
        """Whether one more fits beside the active ones; the first one always does."""
        return active < self._slots and (active == 0 or self.load(active + 1) <= TARGET_LOAD)

    @property
    def capacity(self) -> int:
        """Streams that fit in all, by what is known now."""
        low, high = 1, self._slots
        while low < high:
            middle = (low + high + 1) // 2
            if self.load(middle) <= TARGET_LOAD:
                low = middle
            else:
                high = middle - 1
        return low

    def left(self, now_s: float) -> None:
        """A stream has given its slot back."""
        self._left.append(now_s)

    def wait_s(self, position: int, now_s: float) -> float:
        """How long the one at this place of the queue (1 is next) waits, by what leaves lately.

        Nobody has left for a while: then it may be soon, and 0 is the answer.
        """
        while self._left and self._left[0] < now_s - _DEPARTURES_S:
            self._left.popleft()
        if len(self._left) < 2:
            return 0.0
        span_s = max(now_s - self._left[0], 1e-3)
        return position * span_s / len(self._left)

    def retry_after_ms(self, waiting: int, now_s: float) -> int:
        """What to tell somebody who is refused while so many wait."""
        low, high = _RETRY_S
        return round(1000 * min(max(self.wait_s(waiting + 1, now_s), low), high))
