"""What the filters shape: a band-limited pulse train that follows F0, and noise by counter.

Both are functions of the row's own numbers alone, so a stream sounds the same however it is cut
and whoever runs beside it. The phase is kept in steps of 2**-32 cycles: sums of such numbers are
exact in float64, so it does not depend on the cuts either, and it does not drift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_PHASE_STEPS = 2.0**32
_MASK = 0xFFFFFFFF
_TABLE_BITS = 15


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


def noise_table(length: int) -> Tensor:
    """Gaussian noise by counter: the same (length,) float32 on every machine, unit variance."""
    counter = torch.arange(length, dtype=torch.int64)
    radius = (mix(2 * counter).double() + 0.5) / 2.0**32
    angle = mix(2 * counter + 1).double() / 2.0**32
    return ((-2.0 * radius.log()).sqrt() * (2.0 * math.pi * angle).cos()).float()


@dataclass(frozen=True, slots=True)
class ExcitationState:
    """Where each row's excitation stands.

    Attributes:
        phase: (B,) float64, of the pulse train in cycles, 0 <= x < 1.
        seed: (B,) int64, 32 bits.
        samples: (B,) int64, how many have been made.
        pitch: (B,), F0 in Hz at the end of the last block.
    """

    phase: Tensor
    seed: Tensor
    samples: Tensor
    pitch: Tensor


class Excitation(nn.Module):
    """Pulse train and noise, one block of `hop_length` samples for every frame.

    The block of frame t holds the samples between the centres of frames t - 1 and t; F0 goes
    straight from one to the other. Harmonics are there in unvoiced frames too: how loud they are
    is for the filters to say, since a hard switch is wrong wherever voicing was measured wrongly.

    Args:
        sample_rate: in Hz.
        hop_length: samples in a block.
        top_hz: no harmonic above it.
        min_hz: F0 below it is raised to it.
        max_hz: F0 above it is lowered to it.
    """

    table: Tensor
    ramp: Tensor

    def __init__(
        self,
        sample_rate: int,
        hop_length: int,
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
        # A block of noise is a stretch of the table that begins where seed and position say.
        self.register_buffer(
            "table", noise_table((1 << _TABLE_BITS) + hop_length), persistent=False
        )
        ramp = torch.arange(1, hop_length + 1, dtype=torch.float32) / hop_length
        self.register_buffer("ramp", ramp, persistent=False)

    def zeros(self, rows: int, seeds: Tensor) -> ExcitationState:
        """State of `rows` streams that have not begun.

        Args:
            rows: B.
            seeds: (B,) int64, what each row's noise depends on.
        """
        device = self.table.device
        return ExcitationState(
            phase=torch.zeros(rows, dtype=torch.float64, device=device),
            seed=mix_seed(seeds.to(device)),
            samples=torch.zeros(rows, dtype=torch.int64, device=device),
            pitch=torch.zeros(rows, device=device),
        )

    @torch.no_grad()
    def forward(self, ln_f0: Tensor, state: ExcitationState) -> tuple[Tensor, ExcitationState]:
        """Make the next blocks.

        Args:
            ln_f0: (B, T), of F0 in Hz; T may be 0.
            state: of B rows.

        Returns:
            (B, T, 2, hop_length), harmonics and noise, each of about unit power; the new state.
        """
        frames = ln_f0.shape[1]
        if frames == 0:
            return ln_f0.new_zeros(ln_f0.shape[0], 0, 2, self.hop_length), state
        f0 = ln_f0.exp().clamp(self.min_hz, self.max_hz)
        first = torch.where(state.samples == 0, f0[:, 0], state.pitch)
        before = torch.cat([first[:, None], f0[:, :-1]], dim=1)
        pulses, phase = self._pulses(before, f0, state.phase)
        blocks = state.samples[:, None] // self.hop_length + torch.arange(
            frames, device=ln_f0.device
        )
        noise = self._noise(state.seed, blocks)
        return torch.stack([pulses, noise], dim=2), ExcitationState(
            phase, state.seed, state.samples + frames * self.hop_length, f0[:, -1]
        )

    def _noise(self, seed: Tensor, blocks: Tensor) -> Tensor:
        """Blocks of noise (B, T, hop_length) by their numbers (B, T)."""
        starts = mix(seed[:, None] + blocks * 0x9E3779B1) & ((1 << _TABLE_BITS) - 1)
        return self.table.unfold(0, self.hop_length, 1)[starts]

    def _pulses(self, f0: Tensor, f0_end: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Pulse train between frames: F0 at both ends (B, T) -> (B, T, hop), phase after it."""
        cycles = (f0 + f0_end).double() * (self.hop_length / (2.0 * self.sample_rate))
        cycles = (cycles * _PHASE_STEPS).round() / _PHASE_STEPS
        total = phase[:, None] + cycles.cumsum(dim=1)
        starts = torch.remainder(total - cycles, 1.0).float()
        ramp = self.ramp
        slope = (f0_end - f0) * (0.5 * self.hop_length / self.sample_rate)
        level = f0 * (self.hop_length / self.sample_rate)
        turns = starts[..., None] + ramp * (level[..., None] + slope[..., None] * ramp)
        angle = (turns - turns.round()) * (2.0 * math.pi)  # -pi .. pi around a pulse
        harmonics = (self.top_hz / torch.maximum(f0, f0_end)).floor()[..., None]
        half = (0.5 * angle).sin()
        near = half.abs() < 1e-4
        sum_of_cosines = torch.where(
            near,
            harmonics,
            0.5 * ((harmonics + 0.5) * angle).sin() / half.masked_fill(near, 1.0) - 0.5,
        )
        pulses = sum_of_cosines * (2.0 / harmonics).sqrt()
        return pulses, torch.remainder(total[:, -1], 1.0)
