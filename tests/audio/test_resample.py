import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtts.audio.formats import SAMPLE_RATES
from streamtts.audio.resample import StreamingResampler, resampler_delay

RATES = [rate for rate in SAMPLE_RATES if rate != 16000]


def chirp(rate, seconds=0.5):
    t = np.arange(round(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * (200 * t + 1500 * t * t))).astype(np.float32)


def in_pieces(samples, cuts, in_rate, out_rate):
    resampler = StreamingResampler(in_rate, out_rate)
    pieces = [resampler.process(piece) for piece in np.split(samples, sorted(cuts))]
    return np.concatenate([*pieces, resampler.flush()])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 8000), max_size=12), st.sampled_from(RATES))
def test_any_cut_gives_the_same_bits(cuts, rate):
    sound = chirp(16000)
    assert np.array_equal(in_pieces(sound, cuts, 16000, rate), in_pieces(sound, [], 16000, rate))


@pytest.mark.parametrize("rate", RATES)
def test_length_and_time_are_kept(rate):
    resampled = in_pieces(chirp(16000), range(200, 8000, 200), 16000, rate)
    expected = chirp(rate)
    assert len(resampled) == len(expected)
    assert resampled.dtype == np.float32
    edge = rate // 50
    inside = slice(edge, -edge)
    assert np.max(np.abs(resampled[inside] - expected[inside])) < 2e-3


@pytest.mark.parametrize("rate", RATES)
def test_the_declared_delay_is_the_most_that_is_held_back(rate):
    resampler = StreamingResampler(16000, rate)
    made = 0
    held = []
    for block in range(1, 81):
        made += len(resampler.process(np.zeros(200, np.float32)))
        held.append(-(-block * 200 * rate // 16000) - made)
    assert 0.9 * resampler.delay_samples <= max(held) <= resampler.delay_samples
    assert len(resampler.flush()) <= resampler.delay_samples


def test_equal_rates_pass_through_without_delay():
    resampler = StreamingResampler(16000, 16000)
    assert resampler.delay_samples == resampler_delay(16000, 16000) == 0
    sound = chirp(16000)
    assert np.array_equal(resampler.process(sound), sound)
    assert len(resampler.flush()) == 0


def test_flush_ends_the_stream():
    resampler = StreamingResampler(16000, 8000)
    resampler.process(chirp(16000))
    assert len(resampler.flush()) > 0
    assert len(resampler.flush()) == 0
    with pytest.raises(RuntimeError):
        resampler.process(np.zeros(10, np.float32))
