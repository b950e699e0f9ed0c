import builtins
import math

import numpy as np
import pytest

from streamtts.errors import TrainError
from streamtts.nn.spectral import HOP_LENGTH, LOG_MEL_FLOOR, N_MELS, SAMPLE_RATE
from streamtts.train.features import FRAME_SIZE, PitchRange, analyse


def buzz(hz, seconds):
    """A harmonic tone whose pitch Praat cannot miss."""
    time_s = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return sum(np.sin(2 * np.pi * n * hz * time_s) / n for n in range(1, 20)).astype(np.float32) / 4


@pytest.mark.parametrize("samples", [0, 1, 199, 200, 399, 401, 3000])
def test_silence_of_any_length_is_unvoiced_at_the_mean_pitch(samples):
    frames = analyse(np.zeros(samples, np.float32), PitchRange(default_hz=123.0))
    assert frames.shape == (1 + samples // HOP_LENGTH, FRAME_SIZE)
    assert frames.dtype == np.float32
    np.testing.assert_allclose(frames[:, :N_MELS], LOG_MEL_FLOOR, rtol=1e-6)
    np.testing.assert_allclose(frames[:, N_MELS], math.log(123.0), rtol=1e-6)
    assert not frames[:, N_MELS + 1].any()


@pytest.mark.parametrize("samples", [1, 100, 500, 2000])
def test_short_clicks_and_noise_give_finite_frames(samples):
    noise = np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
    assert np.isfinite(analyse(noise)).all()


@pytest.mark.parametrize("hz", [90.0, 140.0, 250.0])
def test_pitch_of_a_buzz_is_found(hz):
    frames = analyse(buzz(hz, 0.5))
    assert frames[4:-4, N_MELS + 1].all()
    np.testing.assert_allclose(np.exp(frames[4:-4, N_MELS]), hz, rtol=0.01)


def test_pitch_stands_in_its_place_and_bridges_the_unvoiced():
    silence = np.zeros(40 * HOP_LENGTH, np.float32)
    tone = buzz(100.0, 0.5)  # 40 frames
    frames = analyse(np.concatenate([silence, tone, silence, buzz(200.0, 0.5)]))
    voiced = frames[:, N_MELS + 1] > 0.5
    edges = np.flatnonzero(np.diff(voiced.astype(int)))
    np.testing.assert_allclose(edges, [40, 80, 120], atol=3)
    bridge = np.exp(frames[85:116, N_MELS])
    assert (np.diff(bridge) > 0).all()
    assert 100 < bridge[0] < bridge[-1] < 200
    np.testing.assert_allclose(np.exp(frames[:36, N_MELS]), 100.0, rtol=0.05)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_broken_wave_is_refused(bad):
    with pytest.raises(ValueError, match="NaN or infinity"):
        analyse(np.array([0.0, bad], np.float32))


def test_two_channels_are_refused():
    with pytest.raises(ValueError, match="must be"):
        analyse(np.zeros((2, 100), np.float32))


def test_missing_praat_is_said_plainly(monkeypatch):
    real = builtins.__import__

    def without_praat(name, *args, **kwargs):
        if name == "parselmouth":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_praat)
    with pytest.raises(TrainError, match=r"pip install 'streamtts\[train\]'"):
        analyse(np.ones(1000, np.float32))
