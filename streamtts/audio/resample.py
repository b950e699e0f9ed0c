"""Sample rates changed while the sound is still being made; needs soxr, of the extra `[serve]`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import soxr

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PROBE_BLOCK_S = 0.0125
_PROBE_S = 2.0


class StreamingResampler:
    """Resamples one mono stream; the result does not depend on where the input is cut.

    Output is aligned in time with the input (output sample `k` is the sound at `k / out_rate`);
    what the filter needs to look ahead is held back until it can be known, and `flush` gives the
    rest, so that a stream of `n` samples gives `round(n * out_rate / in_rate)`.

    Attributes:
        in_rate: Hz.
        out_rate: Hz.
        delay_samples: the most output samples that are held back while the stream is fed in
            blocks of 12.5 ms (0 when the rates are equal).
    """

    def __init__(self, in_rate: int, out_rate: int) -> None:
        self.in_rate = in_rate
        self.out_rate = out_rate
        self.delay_samples = resampler_delay(in_rate, out_rate)
        self._stream = None if in_rate == out_rate else _open(in_rate, out_rate)
        self._flushed = False

    def process(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Feeds float32 (S,) at `in_rate`; returns the float32 (S',) that is settled by it.

        Raises:
            RuntimeError: after `flush`.
        """
        return self._feed(np.ascontiguousarray(samples, np.float32), last=False)

    def flush(self) -> NDArray[np.float32]:
        """Returns what was held back; the stream is over and a second call returns nothing."""
        if self._stream is None:
            return np.zeros(0, np.float32)
        if self._flushed:
            return np.zeros(0, np.float32)
        self._flushed = True
        return self._feed(np.zeros(0, np.float32), last=True)

    def _feed(self, samples: NDArray[np.float32], *, last: bool) -> NDArray[np.float32]:
        if self._stream is None:
            return samples
        return np.asarray(self._stream.resample_chunk(samples, last=last), np.float32)


@functools.cache
def resampler_delay(in_rate: int, out_rate: int) -> int:
    """Measures how many output samples a resampler holds back at most, once per pair of rates.

    Args:
        in_rate: Hz.
        out_rate: Hz.
    """
    if in_rate == out_rate:
        return 0
    stream = _open(in_rate, out_rate)
    block = np.zeros(round(in_rate * _PROBE_BLOCK_S), np.float32)
    fed = made = worst = 0
    for _ in range(round(_PROBE_S / _PROBE_BLOCK_S)):
        made += len(stream.resample_chunk(block))
        fed += len(block)
        worst = max(worst, -(-fed * out_rate // in_rate) - made)
    return worst


def _open(in_rate: int, out_rate: int) -> soxr.ResampleStream:
    return soxr.ResampleStream(in_rate, out_rate, 1, dtype="float32", quality="HQ")
