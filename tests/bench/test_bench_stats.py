from __future__ import annotations

import numpy as np
import pytest
from bench.bench_stats import (
    Staircase,
    percentile_interval,
    percentile_of_counts,
    ratio_of_medians,
)


def blocks(median: float, count: int = 6, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [median * random.lognormal(0, 0.1, 20) for _ in range(count)]


def test_a_ratio_of_medians_lies_in_its_own_interval_and_near_the_truth() -> None:
    found = ratio_of_medians(blocks(30.0, seed=1), blocks(10.0, seed=2))
    assert found.low <= found.value <= found.high
    assert found.low > 2.7
    assert found.high < 3.3


def test_what_slows_a_whole_block_slows_both_sides() -> None:
    slow = [1.0, 5.0, 1.0, 3.0, 1.0, 2.0]
    ours = [2 * s * block for s, block in zip(slow, blocks(1.0, seed=3), strict=True)]
    theirs = [s * block for s, block in zip(slow, blocks(1.0, seed=3), strict=True)]
    found = ratio_of_medians(ours, theirs)
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_single_values_are_blocks_too_and_other_percentiles_can_be_compared() -> None:
    found = ratio_of_medians([4.0, 4.0, 40.0], [2.0, 2.0, 2.0], percent=100)
    assert found.value == 20.0
    assert found.low == 2.0


def test_a_ratio_without_values_or_over_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ratio_of_medians([], [])
    with pytest.raises(ValueError, match="at least one"):
        ratio_of_medians([[]], [[1.0]])
    with pytest.raises(ValueError, match="is 0"):
        ratio_of_medians([1.0], [0.0])
    with pytest.raises(ValueError, match="argument"):
        ratio_of_medians([1.0, 2.0], [1.0])


def test_a_percentile_has_an_interval() -> None:
    found = percentile_interval(np.arange(1000.0), 95)
    assert found.value == pytest.approx(949.05)
    assert found.low < found.value < found.high
    assert found.high - found.low < 60
    with pytest.raises(ValueError, match="at least one"):
        percentile_interval([], 95)


def test_a_percentile_of_a_histogram_lies_between_its_edges() -> None:
    counts = {0.001: 50.0, 0.002: 90.0, 0.01: 100.0, float("inf"): 100.0}
    assert percentile_of_counts(counts, 50) == pytest.approx(0.001)
    assert percentile_of_counts(counts, 95) == pytest.approx(0.006)
    assert percentile_of_counts(counts, 100) == pytest.approx(0.01)
    counts[float("inf")] = 1000.0
    assert percentile_of_counts(counts, 99) == pytest.approx(0.01)
    with pytest.raises(ValueError, match="at least one"):
        percentile_of_counts({0.001: 0.0, float("inf"): 0.0}, 99)


def search(stairs: Staircase, truth: int, probes: int = 60) -> list[int]:
    tried = []
    while len(stairs.walk) < 6 and len(tried) < probes:
        tried.append(stairs.level)
        stairs.tell(stairs.level <= truth)
    return tried


@pytest.mark.parametrize("truth", [1, 2, 3, 7, 16, 17, 33, 100, 128, 250, 511])
@pytest.mark.parametrize("start", [1, 4, 64, 300])
def test_a_staircase_comes_to_the_truth(truth: int, start: int) -> None:
    stairs = Staircase(start)
    tried = search(stairs, truth)
    assert len(tried) < 26
    assert all(1 <= level <= 512 for level in tried)
    found = float(np.median(stairs.estimates()))
    assert truth / 1.13 - 1 <= found <= truth


def test_a_staircase_that_never_passes_says_zero() -> None:
    stairs = Staircase(8)
    search(stairs, 0)
    assert stairs.estimates() == [0] * 6


def test_a_staircase_that_never_fails_stays_at_its_bound() -> None:
    stairs = Staircase(8, most=100)
    assert max(search(stairs, 10_000)) == 100
    assert stairs.estimates() == [100] * 6


def test_one_unlucky_probe_does_not_hold_a_staircase_down() -> None:
    stairs = Staircase(16)
    stairs.tell(passed=False)  # unlucky
    for _ in range(40):
        stairs.tell(stairs.level <= 64)
    assert 55 <= np.median(stairs.estimates()[-6:]) <= 64
