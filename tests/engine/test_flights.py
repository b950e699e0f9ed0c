"""Large vocoder calls run on a second thread; nothing but the time they take may change."""

import random
import threading
from dataclasses import replace

import numpy as np
import pytest
from support.fake_voice import (
    REQUEST,
    FakeClock,
    Listener,
    fake_runner,
    run_dry,
    sentence,
    speak,
)

from streamtts.config import EngineConfig
from streamtts.engine import turn
from streamtts.engine.engine import Engine


@pytest.fixture(autouse=True)
def _every_call_is_large(monkeypatch):
    monkeypatch.setattr(turn, "_WORTH_FRAMES", 1)


def engine_of(threads, slots=6):
    config = EngineConfig(queue=8, threads=threads)
    return Engine(fake_runner(slots=slots), config, clock=FakeClock())


def test_a_stream_sounds_the_same_with_one_thread_and_with_two():
    one = speak(engine_of(1), sentence(6))
    two = speak(engine_of(2), sentence(6))
    np.testing.assert_array_equal(one.samples, two.samples)
    np.testing.assert_array_equal(one.mel, two.mel)
    assert one.steps == two.steps
    assert two.stats is not None


def test_streams_that_come_and_go_meanwhile_stay_apart():
    engine = engine_of(2)
    alone = {}
    for seed in range(6):
        alone[seed] = speak(engine_of(1), sentence(5), replace(REQUEST, seed=seed))
    rng = random.Random(3)
    for _ in range(3):
        listeners, cancelled = {}, []
        for seed in range(6):
            listeners[seed] = Listener()
            stream = engine.submit(replace(REQUEST, seed=seed), listeners[seed])
            for piece in sentence(5):
                engine.feed(stream, piece)
            engine.end(stream)
            for _ in range(rng.randrange(12)):
                engine.step()
            if seed % 3 == 2:
                engine.cancel(stream)
                cancelled.append(seed)
        run_dry(engine)
        assert (engine.active, engine.waiting) == (0, 0)
        for seed, listener in listeners.items():
            if seed in cancelled:
                assert listener.was_cancelled or listener.stats is not None
                continue
            assert listener.samples.shape == alone[seed].samples.shape
            np.testing.assert_allclose(listener.mel, alone[seed].mel, atol=2e-5)


class Held:
    """A runner's vocoder call that waits until it is let go."""

    def __init__(self, runner):
        self.vocode = runner.vocode
        self.begun = threading.Event()
        self.go = threading.Event()
        self.fails = False
        runner.vocode = self

    def __call__(self, slots, frames):
        self.begun.set()
        assert self.go.wait(30)
        if self.fails:
            raise RuntimeError("out of memory")
        return self.vocode(slots, frames)


def under_way(engine, listener):
    """A stream whose first vocoder call is on the second thread, beside another one's step."""
    held = Held(engine.runner)
    first = engine.submit(REQUEST, listener)
    other = engine.submit(REQUEST, Listener())
    for piece in sentence(4):
        engine.feed(first, piece)
    for _ in range(3):
        engine.step()
    for piece in sentence(4):
        engine.feed(other, piece)
    for _ in range(20):
        engine.step()
        if held.begun.is_set():
            return held, first, other
    raise AssertionError("no call was made")


def test_steps_go_on_beside_a_call():
    engine = engine_of(2)
    held, first, other = under_way(engine, listener := Listener())
    assert first.in_flight
    steps = other.steps
    engine.step()
    assert other.steps == steps + 1
    assert not listener.chunks
    held.go.set()
    run_dry(engine)
    assert listener.chunks
    assert not first.in_flight


def test_a_cancel_waits_for_the_call_and_gives_nothing_of_it():
    engine = engine_of(2)
    held, first, _ = under_way(engine, listener := Listener())
    engine.cancel(first)
    held.go.set()
    engine.step()
    assert listener.was_cancelled
    assert not listener.chunks
    assert engine.active == 1


def test_a_call_that_fails_ends_every_stream_and_the_engine_goes_on(caplog):
    engine = engine_of(2)
    held, _, _ = under_way(engine, listener := Listener())
    held.fails = True
    held.go.set()
    run_dry(engine)
    assert listener.error is not None
    assert listener.error.code == "internal"
    assert engine.active == 0
    assert "out of memory" in caplog.text
    held.fails = False
    assert speak(engine, sentence(3)).stats is not None


def test_the_second_thread_ends_with_the_engine():
    before = set(threading.enumerate())
    engine = engine_of(2)
    held, _, _ = under_way(engine, Listener())
    assert set(threading.enumerate()) - before
    held.go.set()
    engine.close()
    assert not set(threading.enumerate()) - before
