from __future__ import annotations

import numpy as np
import pytest
from bench.bench_sound import level_db, levels_db, longest_silence_s, seams

RATE = 16_000


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal(int(seconds * RATE))
    return (0.05 * np.convolve(values, np.ones(8) / 8, "same")).astype(np.float32)


def test_seams_without_a_click_look_like_any_other_place() -> None:
    found = seams(noise(60), 640)
    assert found.count == 1500
    assert found.largest <= found.largest_within
    assert found.high <= found.high_within
    assert found.mean <= found.mean_within


def test_small_steps_at_every_seam_lift_percentile_and_mean() -> None:
    samples = noise(60)
    steps = np.repeat(np.arange(len(samples) // 640) % 2, 640) * 0.05
    found = seams(samples[: len(steps)] + steps.astype(np.float32), 640)
    assert found.high > found.high_within
    assert found.mean > 1.5 * found.mean_within


def test_one_large_click_is_found_in_the_right_phase() -> None:
    samples = noise(10)
    samples[400 + 5 * 1600 :] += 0.5
    hops = range(0, 1600, 200)
    assert seams(samples, 1600, hops).largest == pytest.approx(0.5, abs=0.1)
    assert seams(samples, 1600, hops).largest_within < 0.2
    assert seams(samples, 640).largest < seams(samples, 640).largest_within


def test_levels_of_stretches_leave_out_what_is_not_whole() -> None:
    samples = np.concatenate([np.full(100, 0.1), np.full(100, 1.0), np.full(99, 0.5)])
    assert levels_db(samples, 100) == pytest.approx([-20.0, 0.0], abs=1e-6)
    assert level_db(np.zeros(10)) == pytest.approx(-120.0)


def test_the_longest_silence_is_measured_inside_and_at_the_end() -> None:
    sound, faint = noise(0.5), noise(0.25) * 1e-3
    assert longest_silence_s(sound, RATE) == 0.0
    assert longest_silence_s(np.concatenate([sound, faint, sound]), RATE) == pytest.approx(
        0.25, abs=0.011
    )
    samples = np.concatenate([sound, faint, sound, faint, faint])
    assert longest_silence_s(samples, RATE) == pytest.approx(0.5, abs=0.011)
