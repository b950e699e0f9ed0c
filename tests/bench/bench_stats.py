"""Numbers with their uncertainty, and searches that alternate. No IO, and no siblings."""

from dataclasses import dataclass, field

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A value, and where it lies in 95 of 100 repetitions."""

    value: float
    low: float
    high: float

    def __str__(self):
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def ratio_of_medians(ours, theirs, *, percent=50, resamples=RESAMPLES, seed=0):
    """The ratio of two samples' medians, with a bootstrap interval.

    Args:
        ours: blocks of values, or values.
        theirs: the same; block `i` was measured beside block `i` of `ours`, so that both are drawn
            together and what slows a block slows both sides.
        percent: of the percentile that is compared; 50 is the median.
        resamples: of the bootstrap.
        seed: of it.

    Returns:
        an `Interval`.

    Raises:
        ValueError: no values, another number of blocks, or a denominator of zero.
    """
    pairs = list(zip(map(np.atleast_1d, ours), map(np.atleast_1d, theirs), strict=True))
    if not pairs or any(not len(a) or not len(b) for a, b in pairs):
        raise ValueError("a ratio needs at least one value in every block of both sides")

    def ratio(chosen):
        above = np.percentile(np.concatenate([pairs[i][0] for i in chosen]), percent)
        below = np.percentile(np.concatenate([pairs[i][1] for i in chosen]), percent)
        if below == 0:
            raise ValueError(f"the {percent}th percentile of the other side is 0")
        return float(above / below)

    count = len(pairs)
    random = np.random.default_rng(seed)
    drawn = [ratio(random.integers(count, size=count)) for _ in range(resamples)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Interval(ratio(range(count)), float(low), float(high))


def percentile_interval(values, percent, *, resamples=RESAMPLES, seed=0):
    """A percentile of one sample with a bootstrap interval."""
    values = np.asarray(values, float)
    if not len(values):
        raise ValueError("a percentile needs at least one value")
    random = np.random.default_rng(seed)
    drawn = random.choice(values, (resamples, len(values)))
    low, high = np.percentile(np.percentile(drawn, percent, axis=1), (2.5, 97.5))
    return Interval(float(np.percentile(values, percent)), float(low), float(high))


def percentile_of_counts(counts, percent):
    """The percentile of a histogram, in straight lines between its edges.

    Args:
        counts: upper edge to how many values lie below it; the largest edge has all of them, and
            may be infinite: what lies above the last finite edge is told as that edge.
        percent: of the percentile.

    Raises:
        ValueError: there are no values.
    """
    edges = sorted(counts)
    if not edges or not counts[edges[-1]]:
        raise ValueError("a percentile needs at least one value")
    wanted = counts[edges[-1]] * percent / 100
    low, below = 0.0, 0.0
    for edge in edges:
        if counts[edge] > below:
            if counts[edge] >= wanted:
                share = (wanted - below) / (counts[edge] - below)
                return low if np.isinf(edge) else low + share * (edge - low)
            below = counts[edge]
        low = low if np.isinf(edge) else edge
    return low


@dataclass
class Staircase:
    """A search for the largest level that passes, one probe at a time.

    It doubles until a probe fails, halves the bracket until its ends are close, and then walks
    around what it has found: up a step after a probe that passed, down after one that failed. Each
    walk's probe is an estimate of its own, so several searches can alternate probe by probe.

    Args:
        level: where to start.
        least, most: bounds.
        close: ratio of a bracket's ends at which the walk begins.
        step: of the walk, as a ratio.
    """

    level: int
    least: int = 1
    most: int = 512
    close: float = 1.25
    step: float = 1.12
    passed: int = 0  # the largest level that passed
    failed: int = 0  # the smallest that failed; 0 for none
    walk: list = field(default_factory=list)  # (level, passed), once the bracket is closed

    @property
    def closed(self):
        """The walk has begun."""
        if self.failed == 0:
            return self.passed >= self.most
        return self.failed <= max(self.passed * self.close, self.passed + 1, self.least)

    def tell(self, passed):
        """Takes the outcome of a probe at `level`, and chooses the next one."""
        if self.closed:
            self.walk.append((self.level, bool(passed)))
            self.level = self._bounded(self._up() if passed else self._down())
            return
        if passed:
            self.passed = max(self.passed, self.level)
            if self.failed and self.failed <= self.passed:
                self.failed = 0  # the failure was noise
        else:
            self.failed = min(self.failed or self.level, self.level)
            self.passed = min(self.passed, self.failed - 1)
        if self.closed:
            self.level = self._bounded(self.passed)
        elif self.failed:
            self.level = self._bounded((self.passed + self.failed) // 2)
        else:
            self.level = self._bounded(2 * self.level)

    def estimates(self):
        """What every probe of the walk says: its level if it passed, else the one below."""
        return [level if passed else self._below(level) for level, passed in self.walk]

    def _up(self):
        return max(self.level + 1, round(self.level * self.step))

    def _down(self):
        return self._below(self.level)

    def _below(self, level):
        return max(0, min(level - 1, round(level / self.step)))

    def _bounded(self, level):
        return min(self.most, max(self.least, level))
