"""Distances between two utterances: mel-cepstral with time warping, pitch, spectra, intervals."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from numpy.typing import NDArray

from streamtts.nn.spectral import HOP_LENGTH, WINDOW_LENGTH, mel_to_linear

with warnings.catch_warnings():  # pysptk imports pkg_resources, which says that it is deprecated
    warnings.simplefilter("ignore")
    import pysptk

Array = NDArray[np.float64]
_ORDER, _ALPHA, _WINDOW = 23, 0.42, 400  # at 16 kHz


def mel_cepstra(samples: NDArray[np.float32]) -> Array:
    """(S,) at 16 kHz to (T, 24) mel-cepstra of order 23, alpha 0.42, one a frame (12.5 ms)."""
    padded = np.pad(samples.astype(np.float64), _WINDOW // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP_LENGTH]
    spectra = np.abs(np.fft.rfft(windows * np.blackman(_WINDOW), 512)) ** 2 + 1e-9
    return np.stack([pysptk.mcep(s, _ORDER, _ALPHA, itype=4, maxiter=8) for s in spectra])


def warp(a: Array, b: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Dynamic time warping of (T, D) onto (U, D): the indices along the cheapest path."""
    distance = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
    T, U = distance.shape
    total = np.full((T + 1, U + 1), np.inf)
    total[0, 0] = 0.0
    for diagonal in range(2, T + U + 1):
        i = np.arange(max(1, diagonal - U), min(T, diagonal - 1) + 1)
        j = diagonal - i
        best = np.minimum(np.minimum(total[i - 1, j], total[i, j - 1]), total[i - 1, j - 1])
        total[i, j] = distance[i - 1, j - 1] + best
    path = []
    i, j = T, U
    while i and j:
        path.append((i - 1, j - 1))
        moves = ((i - 1, j - 1), (i - 1, j), (i, j - 1))
        i, j = min(moves, key=lambda m: total[m])
    left, right = zip(*reversed(path), strict=True)
    return np.array(left), np.array(right)


@dataclass(frozen=True, slots=True)
class Distance:
    """One utterance against another.

    Attributes:
        mcd_db: mel-cepstral distortion along the warped path, c0 left out.
        f0_rmse_hz: where both are voiced; NaN where nowhere.
        voicing_error: share of the path's places where only one is voiced.
        duration_ratio: ours over theirs.
    """

    mcd_db: float
    f0_rmse_hz: float
    voicing_error: float
    duration_ratio: float


def compare(
    ours: NDArray[np.float32],
    theirs: NDArray[np.float32],
    ours_frames: NDArray[np.float32],
    theirs_frames: NDArray[np.float32],
) -> Distance:
    """Sound (S,) at 16 kHz and its frames (T, 82), each beside the other's."""
    a, b = mel_cepstra(ours)[:, 1:], mel_cepstra(theirs)[:, 1:]
    i, j = warp(a, b)
    mcd = 10 / np.log(10) * np.sqrt(2 * ((a[i] - b[j]) ** 2).sum(-1)).mean()
    p = ours_frames[np.minimum(i, len(ours_frames) - 1)]
    q = theirs_frames[np.minimum(j, len(theirs_frames) - 1)]
    voiced_p, voiced_q = p[:, -1] > 0.5, q[:, -1] > 0.5
    both = voiced_p & voiced_q
    error = np.exp(p[both, -2]) - np.exp(q[both, -2])
    return Distance(
        float(mcd),
        float(np.sqrt((error**2).mean())) if both.any() else float("nan"),
        float((voiced_p != voiced_q).mean()),
        len(ours) / len(theirs),
    )


def stft_distance(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Mean absolute difference of log magnitudes (natural log) over three STFT resolutions."""
    total = 0.0
    for size in (256, 512, 1024):
        window = torch.hann_window(size)
        spectra = [
            torch.stft(torch.from_numpy(x), size, size // 4, window=window, return_complex=True)
            .abs()
            .clamp(min=1e-4)
            .log()
            for x in (ours, theirs)
        ]
        total += float((spectra[0] - spectra[1]).abs().mean())
    return total / 3


def griffin_lim(mel: NDArray[np.float32], rounds: int) -> Array:
    """Sound from natural-log mel (T, M) by Griffin and Lim 1984: the floor for a vocoder.

    Args:
        mel: (T, M).
        rounds: iterations.

    Returns:
        (T * hop,) samples.
    """
    window = torch.hann_window(WINDOW_LENGTH)
    linear = torch.from_numpy(np.exp(mel)) @ mel_to_linear(WINDOW_LENGTH)
    magnitude = linear.T * window.square().sum().sqrt()  # log_mel divides by it
    length = len(mel) * HOP_LENGTH
    generator = torch.Generator().manual_seed(0)
    phase = torch.exp(2j * torch.pi * torch.rand(magnitude.shape, generator=generator))
    for _ in range(rounds):
        wave = torch.istft(
            magnitude * phase, WINDOW_LENGTH, HOP_LENGTH, window=window, length=length
        )
        again = torch.stft(wave, WINDOW_LENGTH, HOP_LENGTH, window=window, return_complex=True)
        again = again[:, : magnitude.shape[1]]
        phase = again / again.abs().clamp(min=1e-8)
    return torch.istft(
        magnitude * phase, WINDOW_LENGTH, HOP_LENGTH, window=window, length=length
    ).numpy()


def interval(
    values: Array, statistic: Callable[[Array], float] | None = None, rounds: int = 2000
) -> tuple[float, float, float]:
    """A statistic of the rows of `values` (N, ...) and its 95 % bootstrap interval over rows."""
    statistic = statistic or (lambda v: float(np.nanmean(v)))
    rng = np.random.default_rng(0)
    draws = [statistic(values[rng.integers(0, len(values), len(values))]) for _ in range(rounds)]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return statistic(values), float(low), float(high)


def at_16k(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Resampled to 16 kHz."""
    return samples if rate == 16_000 else soxr.resample(samples, rate, 16_000)
