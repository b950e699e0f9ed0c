"""Clips for the vocoder's training: sound and its frames, held in memory, drawn as crops."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamtts.errors import TrainError
from streamtts.train.features import FRAME_SIZE

_log = logging.getLogger(__name__)

Clip = tuple[Path, Path]
"""A WAV of one channel, and its frames (T, FRAME_SIZE) as made by `features.analyse` (.npy)."""


class Clips:
    """Clips in memory, and crops of them by number.

    Args:
        clips: WAVs and their frames; broken ones are named in the log, skipped and counted.
        hop_length: samples in a frame.
        sample_rate: that every WAV must have.
        shortest_frames: clips with fewer are left out.
        cache_bytes: clips beyond that are left out.

    Attributes:
        broken: how many could not be read.

    Raises:
        TrainError: nothing is left.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        hop_length: int,
        sample_rate: int,
        shortest_frames: int,
        cache_bytes: int,
    ) -> None:
        self.hop_length = hop_length
        self.broken = 0
        self._waves: list[NDArray[np.int16]] = []
        self._frames: list[NDArray[np.floating]] = []
        held_bytes = 0
        for wav, npy in clips:
            try:
                wave, frames = _read(wav, npy, hop_length, sample_rate)
            except (OSError, ValueError, RuntimeError) as error:
                self.broken += 1
                _log.warning("skipped clip=%s reason=%s", wav, error)
                continue
            held_bytes += wave.nbytes + frames.nbytes
            if self._waves and held_bytes > cache_bytes:
                break
            if len(frames) >= shortest_frames:
                self._waves.append(wave)
                self._frames.append(frames)
        if not self._waves:
            raise TrainError(
                f"none of {len(clips)} clips can be used for the vocoder: {self.broken} are "
                f"broken, the others shorter than {shortest_frames} frames"
            )
        sizes = np.array([len(frames) for frames in self._frames], dtype=np.float64)
        self._chances = sizes / sizes.sum()

    def __len__(self) -> int:
        return len(self._waves)

    def crops(
        self, rng: np.random.Generator, count: int, frames: int, skipped: int
    ) -> tuple[Tensor, Tensor]:
        """Draw crops.

        Args:
            rng: decides which.
            count: B.
            frames: T, how many of each clip.
            skipped: how many of these at the start have no sound in the answer.

        Returns:
            (B, T, FRAME_SIZE) float32 and (B, (T - skipped) * hop_length) float32 samples.
        """
        all_frames, all_waves = [], []
        for clip in rng.choice(len(self._waves), size=count, p=self._chances):
            begin = int(rng.integers(0, len(self._frames[clip]) - frames + 1))
            all_frames.append(self._frames[clip][begin : begin + frames].astype(np.float32))
            first, last = (begin + skipped) * self.hop_length, (begin + frames) * self.hop_length
            wave = self._waves[clip][first:last].astype(np.float32) / 32768
            all_waves.append(np.pad(wave, (0, last - first - len(wave))))
        return torch.from_numpy(np.stack(all_frames)), torch.from_numpy(np.stack(all_waves))


def _read(
    wav: Path, npy: Path, hop_length: int, sample_rate: int
) -> tuple[NDArray[np.int16], NDArray[np.floating]]:
    """One clip from disk; raises ValueError, OSError or RuntimeError where it is broken."""
    wave, rate = soundfile.read(wav, dtype="int16")
    frames = np.load(npy)
    if rate != sample_rate or wave.ndim != 1:
        raise ValueError(f"must be one channel at {sample_rate} Hz")
    if frames.ndim != 2 or frames.shape[1] != FRAME_SIZE:
        raise ValueError(f"frames must be (T, {FRAME_SIZE}), not {frames.shape}")
    if abs(len(frames) - len(wave) / hop_length) > 2:
        raise ValueError(f"{len(frames)} frames do not belong to {len(wave)} samples")
    if not np.isfinite(frames).all():
        raise ValueError("frames hold NaN or infinity")
    return wave, frames
