import numpy as np
import pytest

from streamtts.train.metrics import compare, interval, mel_cepstra, warp


def tone(hz, seconds=0.5):
    t = np.arange(int(16000 * seconds)) / 16000
    return sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 6)).astype(np.float32) / 4


def test_warping_follows_a_stretched_copy():
    a = np.sin(np.linspace(0, 6, 40))[:, None]
    b = np.repeat(a, 2, axis=0)
    i, j = warp(a, b)
    assert np.abs(a[i] - b[j]).max() < 1e-12
    assert (i[0], j[0], i[-1], j[-1]) == (0, 0, 39, 79)
    assert (np.diff(i) >= 0).all()
    assert (np.diff(j) >= 0).all()


def test_distance_to_itself_is_none_and_grows_with_difference():
    a, b = tone(120), tone(250)
    frames = np.zeros((len(a) // 200 + 1, 82), dtype=np.float32)
    frames[:, 80], frames[:, 81] = np.log(120), 1
    other = frames.copy()
    other[:, 80] = np.log(130)
    assert compare(a, a, frames, frames).mcd_db == pytest.approx(0, abs=1e-9)
    distance = compare(a, b, frames, other)
    assert distance.mcd_db > 2
    assert distance.f0_rmse_hz == pytest.approx(10, rel=1e-4)
    assert distance.duration_ratio == 1
    assert mel_cepstra(a).shape == (len(a) // 200 + 1, 24)


def test_the_interval_holds_the_mean_and_narrows():
    rng = np.random.default_rng(1)
    wide = interval(rng.normal(3, 1, 20))
    narrow = interval(rng.normal(3, 1, 2000))
    assert wide[1] < wide[0] < wide[2]
    assert narrow[2] - narrow[1] < 0.3 * (wide[2] - wide[1])
