"""What fails in the middle: whoever it concerns is told, and everybody else goes on."""

from support.fake_voice import REQUEST, Listener, fake_engine, fake_runner, run_dry, sentence, speak


def fail(*args):
    raise RuntimeError("no memory")


def once(good, restore):
    """Fails at the first call and puts the good one back."""

    def call(*args):
        restore(good)
        fail()

    return call


def test_a_failed_admission_ends_its_stream_and_gives_the_slot_back(caplog):
    runner = fake_runner(2)
    engine = fake_engine(runner)
    runner.admit = once(runner.admit, lambda good: setattr(runner, "admit", good))
    listeners = [Listener() for _ in range(3)]
    for listener in listeners:
        engine.submit(REQUEST, listener)
    run_dry(engine)
    assert [listener.error is not None for listener in listeners] == [True, False, False]
    assert (engine.active, engine.waiting) == (2, 0)  # the first one's slot is in use again
    assert "could not begin" in caplog.text


def test_a_failed_command_ends_its_stream_and_the_others_are_obeyed(caplog):
    engine = fake_engine()
    bad, good = Listener(), Listener()
    broken = engine.submit(REQUEST, bad)
    broken.feed = fail
    stream = engine.submit(REQUEST, good)
    engine.feed(broken, [])
    for piece in sentence(2):
        engine.feed(stream, piece)
    engine.end(stream)
    run_dry(engine)
    assert bad.error is not None
    assert good.stats is not None
    assert engine.active == 0
    assert "command failed" in caplog.text


def test_a_reset_that_fails_as_well_is_tried_again(caplog):
    runner = fake_runner(2)
    engine = fake_engine(runner)
    first, second = Listener(), Listener()
    stream = engine.submit(REQUEST, first)
    for piece in sentence(2):
        engine.feed(stream, piece)
    good_step, good_reset = runner.step, runner.reset
    runner.step, runner.reset = fail, fail
    run_dry(engine)
    assert first.error is not None
    engine.submit(REQUEST, second)
    run_dry(engine)
    assert second.error is not None  # nobody waits for a model that is gone
    assert engine.active == 0
    runner.step, runner.reset = good_step, good_reset
    assert speak(engine, sentence(2)).stats is not None
    assert "could not be reset" in caplog.text


def test_a_listener_that_fails_at_the_end_is_told_once(caplog):
    class Broken(Listener):
        told = 0

        def ended(self, stats):
            fail()

        def failed(self, error):
            self.told += 1

    engine = fake_engine()
    listener = Broken()
    engine.end(engine.submit(REQUEST, listener))
    run_dry(engine)
    assert listener.told == 1
    assert engine.active == 0
    assert "listener failed" in caplog.text
