"""What can be read off a long stretch of sound: clicks at seams, levels, silence."""

from dataclasses import dataclass

import numpy as np

HIGH_PERCENT = 99.9
FRAME_S = 0.01
SILENT_DB = -30.0  # below the level of the whole


@dataclass(frozen=True)
class Seams:
    """Sample-to-sample jumps at seams, and everywhere else.

    Attributes:
        largest, largest_within: the largest jump at a seam, and at any other place.
        high, high_within: the 99.9th percentile of jumps in one phase of the seams' period: the
            worst phase that is a seam, and the worst of all others. One click in every thousand
            seams lifts the first and leaves the second.
        mean, mean_within: the same for means.
        count: how many seams.
    """

    largest: float
    largest_within: float
    high: float
    high_within: float
    mean: float
    mean_within: float
    count: int


def seams(samples, period, phases=(0,)):
    """Compares the jumps into the samples `phase + n * period` with those into all others.

    Sound has no clock of that period, so every other phase shows what a seam would look like if
    nothing happened there.
    """
    jumps = np.abs(np.diff(samples, prepend=samples[:1]))
    table = jumps[: len(jumps) // period * period].reshape(-1, period)
    at_seam = np.zeros(period, bool)
    at_seam[list(phases)] = True
    high, mean = np.percentile(table, HIGH_PERCENT, axis=0), table.mean(axis=0)
    return Seams(
        *(float(values.max()) for values in (table[:, at_seam], table[:, ~at_seam])),
        *(float(values.max()) for values in (high[at_seam], high[~at_seam])),
        *(float(values.max()) for values in (mean[at_seam], mean[~at_seam])),
        count=table[:, at_seam].size,
    )


def level_db(samples):
    """RMS in dB of full scale."""
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-12))


def levels_db(samples, length):
    """RMS of every whole stretch of `length` samples."""
    starts = range(0, len(samples) - length + 1, length)
    return [level_db(samples[start : start + length]) for start in starts]


def longest_silence_s(samples, sample_rate):
    """The longest run of frames that lie 30 dB or more below the level of the whole."""
    size = round(FRAME_S * sample_rate)
    silent = np.array(levels_db(samples, size)) < level_db(samples) + SILENT_DB
    edges = np.flatnonzero(np.diff(silent, prepend=False, append=False))
    runs = edges[1::2] - edges[::2]
    return float(runs.max(initial=0) * size / sample_rate)
