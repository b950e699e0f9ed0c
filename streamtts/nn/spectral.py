"""Spectra: the mel scale, log-mel analysis, and the way back from mel bins to a linear envelope."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLE_RATE = 16_000
HOP_LENGTH = 200
WINDOW_LENGTH = 800
N_MELS = 80
MEL_FLOOR = 1e-5
"""Smallest mel energy that is told apart from silence; its logarithm is the lowest log-mel."""
LOG_MEL_FLOOR = math.log(MEL_FLOOR)

_BREAK_HZ = 1000.0
_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0


def hz_to_mel(hz: float) -> float:
    """Slaney's mel scale: linear below 1 kHz, logarithmic above."""
    if hz < _BREAK_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return _BREAK_MEL + math.log(hz / _BREAK_HZ) / _LOG_STEP


def mel_to_hz(mel: float) -> float:
    """Inverse of `hz_to_mel`."""
    if mel < _BREAK_MEL:
        return mel * _LINEAR_HZ_PER_MEL
    return _BREAK_HZ * math.exp(_LOG_STEP * (mel - _BREAK_MEL))


def mel_edges_hz(n_mels: int, top_hz: float) -> Tensor:
    """Corner frequencies of `n_mels` triangles from 0 to `top_hz`: (n_mels + 2,) float64, in Hz."""
    top = hz_to_mel(top_hz)
    return torch.tensor(
        [mel_to_hz(top * index / (n_mels + 1)) for index in range(n_mels + 2)], dtype=torch.float64
    )


def mel_filterbank(n_fft: int, sample_rate: int = SAMPLE_RATE, n_mels: int = N_MELS) -> Tensor:
    """Triangular filters, each a weighted mean over linear bins (every row sums to one).

    Args:
        n_fft: length of the transform; the bins are at `k * sample_rate / n_fft`.
        sample_rate: in Hz; the filters reach from 0 to half of it.
        n_mels: number of filters.

    Returns:
        (n_mels, n_fft // 2 + 1) float32, no entry below zero.

    Raises:
        ValueError: a filter falls between two bins, so that the transform is too short for it.
    """
    edges = mel_edges_hz(n_mels, sample_rate / 2)
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * (sample_rate / n_fft)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters = torch.minimum(rising, falling).clamp_min(0.0)
    weights = filters.sum(dim=1, keepdim=True)
    if bool((weights <= 0).any()):
        raise ValueError(f"{n_mels} mel filters are too narrow for a transform of {n_fft} samples")
    return (filters / weights).float()


def mel_to_linear(
    n_fft: int, sample_rate: int = SAMPLE_RATE, n_mels: int = N_MELS, *, reach_hz: float = 0.0
) -> Tensor:
    """Matrix that spreads mel energies over linear bins, by interpolating between mel centres.

    A cheap stand-in for the pseudo-inverse of `mel_filterbank` that never goes below zero: every
    bin is a weighted mean of mel energies.

    Args:
        n_fft: length of the transform; the bins are at `k * sample_rate / n_fft`.
        sample_rate: in Hz.
        n_mels: M.
        reach_hz: how far an energy reaches to either side, at least; energies always reach to
            their neighbours' centres, so with 0 this is linear interpolation.

    Returns:
        (n_mels, n_fft // 2 + 1) float32; every column sums to one.
    """
    centres = mel_edges_hz(n_mels, sample_rate / 2)[1:-1]
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * (sample_rate / n_fft)
    bins = bins.clamp(float(centres[0]), float(centres[-1]))
    gaps = centres.diff().clamp_min(reach_hz)
    below, above = torch.cat([gaps[:1], gaps]), torch.cat([gaps, gaps[-1:]])
    distance = bins - centres[:, None]
    reach = torch.where(distance < 0, below[:, None], above[:, None])
    weights = (1.0 - distance.abs() / reach).clamp_min(0.0)
    return (weights / weights.sum(dim=0)).float()


@lru_cache(maxsize=8)
def _analysis_constants(device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):  # kept: training may use them after inference did
        window = torch.hann_window(WINDOW_LENGTH, dtype=torch.float64)
        window = (window / window.square().sum().sqrt()).float()
        return window.to(device), mel_filterbank(WINDOW_LENGTH).to(device)


def frames_in(samples: int) -> int:
    """Number of frames that `log_mel` makes of a wave: one centred on every `HOP_LENGTH`-th."""
    return 1 + samples // HOP_LENGTH


def log_mel(wave: Tensor) -> Tensor:
    """Natural logarithm of mel energies; frame t is centred on sample t * HOP_LENGTH.

    The magnitudes are scaled so that noise of standard deviation s measures about s; outside of
    the wave is silence.

    Args:
        wave: (B, S) float32 at `SAMPLE_RATE`, full scale 1. S may be 0.

    Returns:
        (B, T, N_MELS) float32 with T = 1 + S // HOP_LENGTH, at least `LOG_MEL_FLOOR`.

    Raises:
        ValueError: `wave` does not have two dimensions.
    """
    if wave.dim() != 2:
        raise ValueError(f"wave must be (B, S), got {tuple(wave.shape)}")
    window, filters = _analysis_constants(wave.device)
    half = WINDOW_LENGTH // 2
    frames = F.pad(wave.float(), (half, half)).unfold(1, WINDOW_LENGTH, HOP_LENGTH)
    magnitudes = torch.fft.rfft(frames * window).abs()
    energies: Tensor = magnitudes @ filters.T
    return energies.clamp_min(MEL_FLOOR).log()
