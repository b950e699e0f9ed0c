"""The buffer of clients/speaker.py: what is played, what is counted."""

import itertools

import numpy as np
import pytest
from support.client_modules import client_module

buffers = client_module("speaker_buffer")
RATE = 1000  # a sample is a millisecond


def ramp(first, count):
    return np.arange(first, first + count, dtype=np.float32)


def make(buffer_ms=300):
    return buffers.Buffer(RATE, buffer_ms)


@pytest.mark.parametrize("step", [1, 7, 40, 1000])
def test_sound_comes_out_as_it_went_in(step):
    buffer, heard = make(10_000), []
    for first in range(0, 400, 40):
        buffer.put(first, ramp(first, 40), 0.0)
    while len(sound := buffer.take(step)):
        heard += sound.tolist()
        assert (buffer.position, buffer.held) == (len(heard), 400 - len(heard))
    assert heard == list(range(400))
    assert (buffer.peak, buffer.lost, buffer.dropped, buffer.underruns) == (400, 0, 0, 0)


def test_what_does_not_fit_is_thrown_away_and_counted():
    buffer = make(100)
    buffer.put(0, ramp(0, 80), 0.0)
    buffer.put(80, ramp(80, 40), 0.0)
    assert (buffer.held, buffer.peak, buffer.dropped) == (100, 100, 20)
    assert buffer.take(100).tolist() == list(range(100))
    buffer.put(120, ramp(120, 40), 0.1)
    assert buffer.position == 120
    assert buffer.lost == 0
    buffer.put(160, ramp(160, 40), 0.1, elsewhere=40)
    assert (buffer.held, buffer.dropped) == (60, 40)
    assert buffer.peak == 100


def test_a_hole_is_skipped_and_counted_as_played():
    buffer = make()
    buffer.put(0, ramp(0, 40), 0.0)
    buffer.put(80, ramp(80, 40), 0.0)
    assert buffer.lost == 40
    assert buffer.take(40).tolist() == list(range(40))
    assert buffer.position == 80
    assert buffer.take(40).tolist() == list(range(80, 120))
    assert buffer.position == 120


def test_what_comes_twice_is_played_once():
    buffer = make()
    buffer.put(0, ramp(0, 40), 0.0)
    buffer.put(0, ramp(0, 40), 0.0)
    buffer.put(20, ramp(20, 40), 0.0)
    assert buffer.take(100).tolist() == list(range(60))
    assert buffer.lost == 0


def test_running_dry_is_an_underrun_when_more_comes():
    buffer = make()
    buffer.ran_dry(0.0)  # nothing has come yet
    buffer.put(0, ramp(0, 40), 1.0)
    buffer.ran_dry(1.0)  # it is not
    buffer.take(40)
    buffer.ran_dry(1.04)
    buffer.ran_dry(1.05)
    assert buffer.underruns == 0
    buffer.put(40, ramp(40, 40), 1.1)
    assert buffer.underruns == 1
    assert buffer.dry_s == pytest.approx(0.06)
    buffer.take(40)
    buffer.last = True
    buffer.ran_dry(1.2)
    buffer.put(80, ramp(80, 40), 1.3)  # a straggler behind the last chunk
    assert buffer.underruns == 1
    assert not buffer.over
    buffer.take(40)
    assert buffer.over


def test_the_lowest_level_counts_when_it_is_running():
    buffer = make()
    for at in range(0, 3000, 40):
        buffer.put(at, ramp(at, 40), at / 1000)
        if at < 1000:
            assert buffer.lowest is None
        buffer.take(40 if at != 1600 else 30)
    assert buffer.lowest == 0
    assert make().lowest is None


def test_the_largest_burst():
    buffer = make(10_000)
    for number, at_s in enumerate((0.0, 0.01, 0.03, 0.2, 0.24, 0.5)):
        buffer.put(number * 40, ramp(number * 40, 40), at_s)
    assert buffer.burst == 120


@pytest.mark.parametrize("held", [0, 3, 5, 200])
def test_silence_fades_out_and_tells_what_will_have_been_heard(held):
    buffer = make()
    buffer.put(0, np.ones(60 + held, np.float32), 0.0)
    buffer.take(60)
    heard = buffer.silence()
    fade = min(5, held)
    assert heard == 60 + fade
    buffer.put(60 + held, ramp(0, 40), 0.1)
    tail = buffer.take(100)
    assert len(tail) == fade
    assert all(later < sooner for sooner, later in itertools.pairwise(tail.tolist()))
    if fade > 1:
        assert (tail[0], tail[-1]) == (1.0, 0.0)
    assert buffer.position == heard
    assert buffer.over


@pytest.mark.parametrize(("room", "told"), [(100, 60), (200, 160), (300, 240), (1000, 800)])
def test_the_server_is_told_of_less_than_there_is(room, told):
    assert buffers.told_ms(room) == told
