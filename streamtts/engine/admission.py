"""How many streams fit: what a step costs here and now, and what that says of one more.

The costs of a step and of a vocoder call are measured at start for batches of several sizes: they
say what n streams need when all go side by side. What turns really take, with text, listeners and
the rest of the machine in the way, is measured all the time; the ratio of the two, the *pressure*,
scales the prediction. So a burst is judged before it has been felt, and a machine that slows down
admits fewer. No torch; the clock is given.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

TARGET_LOAD = 0.76  # of the engine's thread; first chunks, which go alone, need the rest
_MEMORY_S = 1.0  # busy seconds after which a measurement counts a third
_FORGET_S = 20.0  # and seconds after which it does, busy or not
_FIRST_PRESSURE = 1.5  # until it has been measured
_FIRST_S = 0.3  # busy seconds that this guess counts for
_LONGEST_TURN_S = 0.25  # a longer one says that the machine stood still, and no more
_REMEMBERED = 64  # admissions,
_LATELY_S = 10.0  # of so many seconds
_RETRY_S = (0.25, 30.0)


class Costs(NamedTuple):
    """What the model takes on this machine when nothing is in its way.

    Attributes:
        steps: (rows, seconds) of decoder steps, by rising rows.
        sound_s: seconds of the vocoder per frame of a full call.
        call_s: seconds of its shortest call.
    """

    steps: Sequence[tuple[int, float]]
    sound_s: float
    call_s: float

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


NO_COSTS = Costs((), 0.0, 0.0)
"""Of a machine that has not been measured: everything fits."""


class Admission:
    """Predicts the load of n streams, and how long one more would have to wait.

    The engine's thread calls everything; the others may read `admits`, `capacity`, `wait_s` and
    `retry_after_ms`.

    Args:
        costs: of the model.
        steps_per_s: decoder steps that a stream of speed 1 needs each second.
        frames_per_s: frames that any stream needs turned into sound.
        slots: streams at most, whatever they cost.
        clock: monotonic seconds.

    Attributes:
        costs: may be replaced once they have been measured.
        speed: of the active streams on average; twice as fast needs twice the steps.
        crowded: listeners are about to run dry: nobody more is admitted.
    """

    def __init__(
        self,
        costs: Costs,
        *,
        steps_per_s: float,
        frames_per_s: float,
        slots: int,
        clock: Callable[[], float],
    ) -> None:
        self.costs = costs
        self.speed = 1.0
        self.crowded = False
        self._steps_per_s = steps_per_s
        self._frames_per_s = frames_per_s
        self._slots = slots
        self._clock = clock
        self._admitted: deque[float] = deque(maxlen=_REMEMBERED)
        self._busy_s = _FIRST_S
        self._ideal_s = _FIRST_S / _FIRST_PRESSURE
        self._measured_s = clock()

    @property
    def pressure(self) -> float:
        """What turns take, in units of what their steps and vocoder calls should."""
        kept = math.exp(min(0.0, self._measured_s - self._clock()) / _FORGET_S)
        busy_s = self._busy_s * kept + _FIRST_S * (1 - kept)
        ideal_s = self._ideal_s * kept + _FIRST_S / _FIRST_PRESSURE * (1 - kept)
        return busy_s / ideal_s

    def took(self, busy_s: float, rows: int, calls: Sequence[int]) -> None:
        """Notes a turn in which something moved.

        Args:
            busy_s: what it took, by the clock on the wall.
            rows: of its decoder step; 0 when it made none.
            calls: frames of each of its vocoder calls.
        """
        costs = self.costs
        sound_s = sum(max(costs.call_s, costs.sound_s * frames) for frames in calls)
        ideal_s = costs.step_s(rows) + sound_s
        busy_s = min(busy_s, _LONGEST_TURN_S)
        kept = math.exp(-busy_s / _MEMORY_S)
        self._busy_s = self._busy_s * kept + busy_s
        self._ideal_s = max(self._ideal_s * kept + ideal_s, 1e-9)
        self._measured_s = self._clock()

    def load(self, streams: int) -> float:
        """The share of the engine's time that so many streams need."""
        costs = self.costs
        steps_s = self._steps_per_s * self.speed * costs.step_s(streams)
        return self.pressure * (steps_s + self._frames_per_s * costs.sound_s * streams)

    def admits(self, active: int) -> bool:
        """Whether one more fits beside the active ones; the first one always does."""
        if active >= self._slots:
            return False
        if active == 0:
            return True
        return not self.crowded and self.load(active + 1) <= TARGET_LOAD

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

    def admitted(self, now_s: float) -> None:
        """A stream has got a slot."""
        self._admitted.append(now_s)

    def wait_s(self, position: int, now_s: float) -> float:
        """How long the one at this place of the queue (1 is next) waits, by who got a slot lately.

        Nobody has for a while: then it may be soon, and 0 is the answer.
        """
        lately = [s for s in tuple(self._admitted) if s >= now_s - _LATELY_S]
        if len(lately) < 2:
            return 0.0
        return position * max(now_s - lately[0], 1e-3) / len(lately)

    def retry_after_ms(self, waiting: int, now_s: float) -> int:
        """What to tell somebody who is refused while so many wait."""
        low, high = _RETRY_S
        return round(1000 * min(max(self.wait_s(waiting + 1, now_s), low), high))
