"""What the acoustic model learns to make and the vocoder to read: mel, pitch and voicing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from streamtts.errors import TrainError
from streamtts.nn.spectral import HOP_LENGTH, N_MELS, SAMPLE_RATE, log_mel

FRAME_SIZE = N_MELS + 2
"""Features in a frame: log-mel, ln F0, voicing."""

_PITCH_MARGIN_S = 0.1


@dataclass(frozen=True, slots=True)
class PitchRange:
    """Where to look for the pitch of a speaker.

    Attributes:
        floor_hz: lowest F0 that is looked for.
        ceiling_hz: highest F0 that is looked for.
        default_hz: what an utterance without a single voiced frame is given (the speaker's mean).
    """

    floor_hz: float = 75.0
    ceiling_hz: float = 300.0
    default_hz: float = 100.0


def _praat() -> Any:
    try:
        import parselmouth
    except ImportError as error:
        raise TrainError(
            "praat-parselmouth is missing: pip install 'streamtts[train]' to measure pitch"
        ) from error
    return parselmouth


def _pitch(
    wave: NDArray[np.float32], frames: int, pitch_range: PitchRange
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Pitch by Praat's autocorrelation: ln F0, bridged where unvoiced, and voiced; both (T,)."""
    praat = _praat()
    unvoiced = (
        np.full(frames, math.log(pitch_range.default_hz)),
        np.zeros(frames, dtype=np.bool_),
    )
    if not np.any(wave):
        return unvoiced
    margin = np.zeros(int(_PITCH_MARGIN_S * SAMPLE_RATE))
    sound = praat.Sound(np.concatenate([margin, wave.astype(np.float64), margin]), SAMPLE_RATE)
    track = sound.to_pitch_ac(
        time_step=HOP_LENGTH / SAMPLE_RATE,
        pitch_floor=pitch_range.floor_hz,
        pitch_ceiling=pitch_range.ceiling_hz,
    )
    found_hz = track.selected_array["frequency"]
    found_s = track.xs() - _PITCH_MARGIN_S
    is_voiced = found_hz > 0
    if not is_voiced.any():
        return unvoiced
    frames_s = np.arange(frames) * (HOP_LENGTH / SAMPLE_RATE)
    nearest = np.clip(
        np.rint((frames_s - found_s[0]) * SAMPLE_RATE / HOP_LENGTH).astype(np.int64),
        0,
        len(found_s) - 1,
    )
    ln_f0 = np.interp(frames_s, found_s[is_voiced], np.log(found_hz[is_voiced]))
    return ln_f0, is_voiced[nearest]


def analyse(
    wave: NDArray[np.float32], pitch_range: PitchRange | None = None
) -> NDArray[np.float32]:
    """Analyse speech into frames; frame t is centred on sample t * HOP_LENGTH.

    Args:
        wave: (S,) float32 at 16 kHz, full scale 1; of any length, also silent or empty.
        pitch_range: where the speaker's pitch lies; default `PitchRange()`.

    Returns:
        (T, FRAME_SIZE) float32, T = 1 + S // HOP_LENGTH: log-mel, then ln F0 in Hz (bridged
        where unvoiced, the speaker's mean where nothing is voiced), then voicing 0 or 1.

    Raises:
        ValueError: `wave` is not one-dimensional or holds NaN or infinity.
        TrainError: praat-parselmouth is not installed.
    """
    if wave.ndim != 1:
        raise ValueError(f"wave must be (S,), got {wave.shape}")
    wave = np.ascontiguousarray(wave, dtype=np.float32)
    if not np.isfinite(wave).all():
        raise ValueError("wave holds NaN or infinity")
    with torch.inference_mode():
        mel = log_mel(torch.from_numpy(wave)[None])[0].numpy()
    ln_f0, voiced = _pitch(wave, len(mel), pitch_range or PitchRange())
    return np.concatenate([mel, ln_f0[:, None], voiced[:, None]], axis=1).astype(np.float32)
