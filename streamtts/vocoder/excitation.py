"""What the filters shape: a band-limited pulse train that follows F0, and noise by counter.

Both are functions of the row's own numbers alone, so a stream sounds the same however it is cut
and whoever runs beside it. The phase is counted in whole steps of 2**-32 cycles, so it does not
depend on the cuts either, and it does not drift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

_PHASE_STEPS = 1 << 32
_MASK = _PHASE_STEPS - 1
_OFF_PULSE = 2.0**-26
"""A shift in cycles, finer than phases below zero are rounded: after it no phase is zero."""
_NOISE_FRAMES = 2048
"""Frames after which the noise begins again: 26 s."""


def mix(value: Tensor) -> Tensor:
    """Scramble integers (the finaliser of MurmurHash3, 32 bits).

    Args:
        value: int64 of any shape; its low 32 bits count.

    Returns:
        int64 of the same shape, 0 <= x < 2**32; every input bit changes every output bit.
    """
    value = value & _MASK
    value = ((value ^ (value >> 16)) * 0x85EBCA6B) & _MASK
    value = ((value ^ (value >> 13)) * 0xC2B2AE35) & _MASK
    return value ^ (value >> 16)


def mix_seed(seeds: Tensor) -> Tensor:
    """Fold int64 seeds into 32 bits that depend on all 64."""
    return mix(mix(seeds) ^ mix((seeds >> 32) + 0x9E3779B9))


@lru_cache(maxsize=4)
def noise_table(length: int) -> Tensor:
    """Gaussian noise by counter: the same (length,) float32 on every machine, unit variance."""
    with torch.inference_mode(False):  # kept: training may use it after inference did
        counter = torch.arange(length, dtype=torch.int64)
        radius = (mix(2 * counter).double() + 0.5) / _PHASE_STEPS
        angle = mix(2 * counter + 1).double() / _PHASE_STEPS
        return ((-2.0 * radius.log()).sqrt() * (2.0 * math.pi * angle).cos()).float()


def noise_spectra(frames: int, hop_length: int, window: Tensor) -> Tensor:
    """Spectra of noise that begins again after `frames` hops, one a hop.

    Args:
        frames: N.
        hop_length: in samples.
        window: (W,), W <= N * hop_length.

    Returns:
        (N, W // 2 + 1) complex64.
    """
    noise = noise_table(frames * hop_length)
    around = torch.cat([noise, noise[: len(window) - hop_length]])
    return torch.fft.rfft(around.unfold(0, len(window), hop_length) * window)


@dataclass(frozen=True, slots=True)
class ExcitationState:
    """Where each row's excitation stands.

    Attributes:
        phase: (B,) int64, of the pulse train in 2**-32 cycles, 0 <= x < 2**32.
        noise: (B,) int64, where in its noise the row is.
        pitch: (B,), F0 in Hz at the end of the last block; 0 before the first.
    """

    phase: Tensor
    noise: Tensor
    pitch: Tensor


class Excitation(nn.Module):
    """Pulse train and noise.

    The pulse train's block of frame t holds the samples between the centres of frames t - 1 and
    t; F0 goes straight from one to the other. Harmonics are there in unvoiced frames too: how
    loud they are is for the filters to say, since a hard switch is wrong wherever voicing was
    measured wrongly.

    Noise comes as the spectra of windows that overlap: nobody needs its samples. They are those
    of one stretch of noise, which each row begins to read where its seed says.

    Args:
        sample_rate: in Hz.
        hop_length: samples in a block.
        window: (W,), of the noise.
        top_hz: no harmonic above it.
        min_hz: F0 below it is raised to it.
        max_hz: F0 above it is lowered to it.
    """

    spectra: Tensor
    ramp: Tensor
    half_square: Tensor

    def __init__(
        self,
        sample_rate: int,
        hop_length: int,
        window: Tensor,
        top_hz: float = 7800.0,
        min_hz: float = 40.0,
        max_hz: float = 1000.0,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.hop_length = hop_length
        self.top_hz = top_hz
        self.min_hz = min_hz
        self.max_hz = max_hz
        spectra = noise_spectra(_NOISE_FRAMES, hop_length, window)
        self.register_buffer("spectra", spectra, persistent=False)
        ramp = torch.arange(1, hop_length + 1, dtype=torch.float32) / hop_length
        self.register_buffer("ramp", ramp, persistent=False)
        self.register_buffer("half_square", 0.5 * ramp.square(), persistent=False)

    def zeros(self, rows: int, seeds: Tensor) -> ExcitationState:
        """State of `rows` streams that have not begun.

        Args:
            rows: B.
            seeds: (B,) int64, what each row's noise depends on.
        """
        device = self.ramp.device
        return ExcitationState(
            phase=torch.zeros(rows, dtype=torch.int64, device=device),
            noise=mix_seed(seeds.to(device)) % _NOISE_FRAMES,
            pitch=torch.zeros(rows, device=device),
        )

    @torch.no_grad()
    def forward(
        self, ln_f0: Tensor, state: ExcitationState
    ) -> tuple[Tensor, Tensor, ExcitationState]:
        """Make what excites the next frames.

        Args:
            ln_f0: (B, T), of F0 in Hz; T is at least 1.
            state: of B rows.

        Returns:
            (B, T, hop_length) pulses, of about unit power; (B, T, W // 2 + 1) complex spectra of
            noise, windowed, of unit power before that; the new state.
        """
        rows, frames = ln_f0.shape
        pulses, phase, pitch = self._pulses(ln_f0, state)
        places = (state.noise[:, None] + torch.arange(frames + 1, device=ln_f0.device)) % len(
            self.spectra
        )
        noise = self.spectra.index_select(0, places[:, :-1].flatten()).unflatten(0, (rows, frames))
        return pulses, noise, ExcitationState(phase, places[:, -1], pitch)

    def pitch_of(self, ln_f0: Tensor) -> Tensor:
        """F0 in Hz of its logarithm, of any shape, within what is spoken."""
        return ln_f0.exp().clamp_(self.min_hz, self.max_hz)

    def _pulses(self, ln_f0: Tensor, state: ExcitationState) -> tuple[Tensor, Tensor, Tensor]:
        """Pulse train between frames: (B, T, hop), phase and pitch after it."""
        f0 = self.pitch_of(ln_f0)
        first = torch.where(state.pitch > 0, state.pitch, f0[:, 0])
        edges = torch.cat([first[:, None], f0], dim=1)
        begin, end = edges[:, :-1], edges[:, 1:]
        hop_s = self.hop_length / self.sample_rate
        steps = ((begin + end).double() * (0.5 * hop_s * _PHASE_STEPS)).long()
        phases = torch.cat([state.phase[:, None], steps], dim=1).cumsum(dim=1) & _MASK
        starts = (phases[:, :-1].float() * (1.0 / _PHASE_STEPS))[..., None]
        level, slope = (edges * hop_s)[:, :-1, None], ((end - begin) * hop_s)[..., None]
        turns = torch.addcmul(torch.addcmul(starts, level, self.ramp), slope, self.half_square)
        x = turns.sub_(turns.round()).add_(_OFF_PULSE).mul_(math.pi)  # 0 at a pulse's centre
        # A sum of N cosines: (sin((2 N + 1) x) / sin(x) - 1) / 2; its power is N / 2.
        twice = (self.top_hz / torch.maximum(begin, end)).floor_().mul_(2.0)[..., None]
        ratio = (x * (twice + 1.0)).sin_().div_(x.sin_())
        return ratio.sub_(1.0).mul_(twice.rsqrt()), phases[:, -1], edges[:, -1]
