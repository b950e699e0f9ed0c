import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.fake_voice import (
    REQUEST,
    FakeClock,
    Listener,
    fake_engine,
    fake_runner,
    pause,
    run_dry,
    sentence,
    speak,
    word,
)
from support.tiny import tiny_acoustic

from streamtts.engine.engine import MAX_COMMANDS
from streamtts.engine.runner import DROPPED_FRAMES
from streamtts.engine.stream import CHUNK_FRAMES, SPARE_FRAMES, Stream
from streamtts.errors import Overloaded

STEP_SAMPLES = 400


def test_length_follows_from_the_steps_exactly():
    listener = speak(fake_engine(), sentence(5))
    assert listener.stats is not None
    assert listener.stats.steps == len(listener.steps) > 20
    dropped = DROPPED_FRAMES * STEP_SAMPLES // 2
    assert len(listener.samples) == listener.stats.steps * STEP_SAMPLES - dropped
    assert len(listener.mel) == listener.stats.steps * 2 - DROPPED_FRAMES
    assert [c.last for c in listener.chunks] == [False] * (len(listener.chunks) - 1) + [True]


def test_the_attention_visits_every_symbol_in_order():
    pieces = sentence(5)
    listener = speak(fake_engine(), pieces)
    positions = [step.position for step in listener.steps]
    assert positions == sorted(positions)
    assert set(positions) == set(range(sum(map(len, pieces))))
    assert [s.number for s in listener.steps] == list(range(len(positions)))
    left = [step.position for step in listener.steps if step.left]
    assert left == sorted(set(positions))


@pytest.mark.parametrize("seed", range(3))
def test_pieces_fed_at_any_time_give_the_same_samples(seed):
    pieces = sentence(4) + sentence(3, first=4)
    whole = speak(fake_engine(), pieces)
    rng = random.Random(seed)
    engine = fake_engine()
    listener = Listener()
    stream = engine.submit(REQUEST, listener)
    for piece in pieces:
        engine.feed(stream, piece)
        for _ in range(rng.choice((0, 1, 3, 200))):
            engine.step()
    engine.end(stream)
    run_dry(engine)
    np.testing.assert_array_equal(listener.samples, whole.samples)
    np.testing.assert_array_equal(listener.mel, whole.mel)
    assert listener.steps == whole.steps


def test_a_crowd_does_not_change_a_stream():
    pieces = sentence(6)
    alone = speak(fake_engine(), pieces)
    engine = fake_engine(fake_runner(slots=5))
    rng = random.Random(1)
    others = []

    def add_other():
        stream = engine.submit(replace(REQUEST, seed=rng.randrange(100)), Listener())
        for piece in sentence(rng.randrange(1, 6), first=rng.randrange(50)):
            engine.feed(stream, piece)
        if rng.random() < 0.7:
            engine.end(stream)
        others.append(stream)

    add_other()
    add_other()
    listener = Listener()
    stream = engine.submit(REQUEST, listener)
    for piece in pieces:
        engine.feed(stream, piece)
        for _ in range(rng.randrange(6)):
            engine.step()
        if len(others) < 8:
            add_other()
        if rng.random() < 0.4:
            engine.cancel(rng.choice(others))
    engine.end(stream)
    run_dry(engine)
    assert [s.position for s in listener.steps] == [s.position for s in alone.steps]
    np.testing.assert_allclose(listener.mel, alone.mel, atol=2e-5)
    # A pulse train takes the last bits of F0 into its phase, so the sound is compared as a whole.
    assert listener.samples.shape == alone.samples.shape
    assert rms(listener.samples - alone.samples) < 0.02 * rms(alone.samples)


def rms(samples):
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def test_offline_model_and_vocoder_give_the_same_sound():
    """One pass over the whole sentence, along the alignment that the engine took."""
    from streamtts.text.symbols import encode

    listener = speak(fake_engine(), pieces := sentence(5))
    model = tiny_acoustic()
    speaker = model.prepare()
    features = torch.from_numpy(encode([s for piece in pieces for s in piece]))
    with torch.inference_mode():
        memory = model.encoder(features[None], torch.tensor([len(features)]), torch.tensor([-1]))[0]
        state = speaker.decoder_zeros(1)
        frames = []
        for step in listener.steps:
            j = step.position
            has = torch.tensor([j + 1 < len(memory)])
            following = memory[min(j + 1, len(memory) - 1)][None]
            out = speaker.advance(None, memory[j][None], following, has, state)
            frames.append(out.frames)
        frames.append(speaker.flush(state))
        mel = torch.cat(frames, dim=1)[0, model.lookahead_frames + DROPPED_FRAMES :]
    np.testing.assert_allclose(listener.mel, mel[:, :80].numpy(), atol=1e-4)


def test_a_stream_holds_between_words_only():
    engine = fake_engine()
    listener = Listener()
    stream = engine.submit(REQUEST, listener)
    pieces = sentence(6, phones=5)
    ends = np.cumsum([len(p) for p in pieces])
    for piece in pieces[:-1]:
        engine.feed(stream, piece)
        run_dry(engine)
        assert stream.left or stream.dwell == 0
        at = stream.position + 1 if stream.left else stream.position
        assert at in (0, 1, *ends)
        assert at < ends[-1]
    assert listener.starvations == len(pieces) - 1
    assert not listener.over


def test_an_explicit_flush_says_the_whole_last_word():
    for tail_s in (0.0, 0.1):
        engine = fake_engine()
        listener = Listener()
        stream = engine.submit(replace(REQUEST, tail_s=tail_s), listener)
        engine.feed(stream, [pause(), *word(0), *word(1), pause("flush", 1)])
        engine.flush(stream)
        run_dry(engine)
        assert not listener.over
        last_word = max(s.number for s in listener.steps if s.position == 8) + 1
        assert len(listener.samples) >= last_word * STEP_SAMPLES + tail_s * 16000
        # and nothing more than the pause: it waits for what comes next
        assert not stream.can_step


def test_a_flush_behind_a_spoken_sentence_pushes_its_end_out():
    engine = fake_engine()
    listener = Listener()
    stream = engine.submit(replace(REQUEST, tail_s=0.3), listener)
    for piece in sentence(2):
        engine.feed(stream, piece)
    run_dry(engine)
    before = stream.steps
    engine.flush(stream)
    run_dry(engine)
    last_word = max(s.number for s in listener.steps if s.position == 8) + 1
    assert stream.steps > before
    assert len(listener.samples) >= last_word * STEP_SAMPLES + 0.3 * 16000


def test_a_flush_gives_the_same_samples_however_late_the_rest_comes():
    first = [pause(), *word(0), *word(1), pause("flush", 1)]
    rest = [*word(2), *word(3), pause("period", 3, ends=True)]

    def run(turns):
        engine = fake_engine()
        listener = Listener()
        stream = engine.submit(REQUEST, listener)
        engine.feed(stream, first)
        engine.flush(stream)
        for _ in range(turns):
            engine.step()
        engine.feed(stream, rest)
        engine.end(stream)
        run_dry(engine)
        return listener

    at_once, late = run(0), run(1000)
    assert at_once.steps == late.steps
    np.testing.assert_array_equal(at_once.samples, late.samples)


def test_a_cancel_frees_the_slot_at_the_next_step_and_nothing_is_made_after_it():
    engine = fake_engine(fake_runner(slots=1))
    first, second = Listener(), Listener()
    stream = engine.submit(REQUEST, first)
    for piece in sentence(5):
        engine.feed(stream, piece)
    for _ in range(12):
        engine.step()
    waiting = engine.submit(REQUEST, second)
    engine.step()
    assert (engine.active, engine.waiting) == (1, 1)
    made = len(first.chunks)
    assert made > 0
    engine.cancel(stream)
    engine.step()
    assert first.was_cancelled
    assert len(first.chunks) == made
    assert waiting.slot == 0
    engine.cancel(stream)  # too late: nothing happens
    engine.cancel(waiting)
    run_dry(engine)
    assert second.was_cancelled
    assert (engine.active, engine.waiting) == (0, 0)


def test_a_cancel_during_a_step_discards_what_the_step_made():
    engine = fake_engine()
    listener = Listener()
    stream = engine.submit(REQUEST, listener)
    for piece in sentence(3):
        engine.feed(stream, piece)
    vocode = engine.runner.vocode

    def cancel_meanwhile(slots, frames):
        engine.cancel(stream)
        return vocode(slots, frames)

    engine.runner.vocode = cancel_meanwhile
    run_dry(engine)
    assert listener.was_cancelled
    assert not listener.chunks


def test_a_used_slot_is_as_good_as_new():
    engine = fake_engine(fake_runner(slots=1))
    speak(engine, sentence(3, first=9))
    again = speak(engine, sentence(4))
    fresh = speak(fake_engine(fake_runner(slots=1)), sentence(4))
    np.testing.assert_array_equal(again.samples, fresh.samples)


def test_memory_does_not_grow_with_the_text():
    engine = fake_engine()
    listener = Listener()
    stream = engine.submit(REQUEST, listener)
    rows = []
    for i in range(6):
        for piece in sentence(10, first=10 * i):
            engine.feed(stream, piece)
    for _ in range(250):
        engine.step()
        rows.append(engine.runner.memory_rows(stream.slot))
        listener.chunks.clear()
    assert stream.position > 120
    assert max(rows) < 48
    assert len(stream.records) <= CHUNK_FRAMES


def test_a_word_of_ten_thousand_phones_is_taken_in_pieces():
    engine = fake_engine()
    listener = Listener()
    stream = engine.submit(REQUEST, listener)
    engine.feed(stream, [pause(), *word(0, phones=10_000), pause("period", 0, ends=True)])
    engine.end(stream)
    for _ in range(180):
        engine.step()
    assert stream.position > 64
    assert engine.runner.memory_rows(stream.slot) < 200


def test_sound_is_made_no_further_ahead_than_the_lead():
    clock = FakeClock()
    engine = fake_engine(clock=clock)
    listener = Listener()
    stream = engine.submit(replace(REQUEST, lead_s=0.5), listener)
    for i in range(4):
        for piece in sentence(10, first=10 * i):
            engine.feed(stream, piece)
    for _ in range(10):  # it fills its lead by and by, in ticks
        run_dry(engine)
        clock.now_s += 0.1
    clock.now_s -= 0.1
    assert stream.playout.underruns == 0
    assert 0.4 <= stream.playout.slack_s(clock.now_s) <= 0.5
    clock.now_s += stream.playout.slack_s(clock.now_s) - 0.4 - 0.01
    assert run_dry(engine) == 0  # it rests until there is room for a whole chunk
    clock.now_s += 0.1
    run_dry(engine)
    assert 0.4 <= stream.playout.slack_s(clock.now_s) <= 0.5
    engine.playback(stream, 0.0)  # the listener has not even begun
    clock.now_s += 0.1
    assert run_dry(engine) == 0
    assert listener.stats is None
    assert stream.playout.underruns == 0


@pytest.mark.parametrize(("text_after_s", "underruns"), [(0.0, 1), (3.0, 0)])
def test_a_late_engine_is_not_blamed_on_text(text_after_s, underruns):
    clock = FakeClock()
    engine = fake_engine(clock=clock)
    stream = engine.submit(REQUEST, Listener())
    pieces = sentence(8)
    for piece in pieces[:4]:
        engine.feed(stream, piece)
    run_dry(engine)
    assert stream.starved_told
    slack_s = stream.playout.slack_s(clock.now_s)
    assert slack_s > 0.0
    clock.now_s += text_after_s
    for piece in pieces[4:]:
        engine.feed(stream, piece)
    if underruns:
        clock.now_s += 5.0  # nobody has looked at the text for so long
    run_dry(engine)
    assert stream.playout.underruns == underruns
    blamed_s = max(0.0, text_after_s - slack_s)
    assert stream.playout.starved_s == pytest.approx(blamed_s)


@pytest.mark.parametrize("tail_s", [0.0, 0.2])
def test_a_lead_shorter_than_what_the_filters_hold_back_still_moves(tail_s):
    clock = FakeClock()
    engine = fake_engine(clock=clock)
    listener = Listener()
    stream = engine.submit(replace(REQUEST, lead_s=0.01, tail_s=tail_s), listener)
    for piece in sentence(5):
        engine.feed(stream, piece)
    engine.end(stream)
    for _ in range(200):
        run_dry(engine)
        clock.now_s += 0.1
    assert listener.stats is not None


def test_a_paused_stream_rests_and_goes_on():
    engine = fake_engine()
    listener = Listener()
    stream = engine.submit(REQUEST, listener)
    for piece in sentence(5):
        engine.feed(stream, piece)
    engine.end(stream)
    for _ in range(10):
        engine.step()
    engine.set_paused(stream, True)
    made = stream.steps
    run_dry(engine)
    assert stream.steps == made
    engine.set_paused(stream, False)
    run_dry(engine)
    assert listener.stats is not None


def test_one_bad_listener_ends_alone(caplog):
    class Broken(Listener):
        def deliver(self, chunk):
            raise RuntimeError("gone")

    engine = fake_engine()
    bad, good = Broken(), Listener()
    for listener in (bad, good):
        stream = engine.submit(REQUEST, listener)
        for piece in sentence(3):
            engine.feed(stream, piece)
        engine.end(stream)
    run_dry(engine)
    assert bad.error is not None
    assert bad.error.code == "internal"
    assert good.stats is not None
    assert "listener failed" in caplog.text


def test_a_failure_of_the_model_ends_every_stream_and_the_engine_goes_on(caplog):
    engine = fake_engine()
    listeners = [Listener(), Listener()]
    for listener in listeners:
        stream = engine.submit(REQUEST, listener)
        for piece in sentence(3):
            engine.feed(stream, piece)
    step = engine.runner.step

    def fail(rows):
        raise RuntimeError("out of memory")

    engine.runner.step = fail
    engine.step()
    engine.runner.step = step
    assert [listener.error.code for listener in listeners if listener.error] == ["internal"] * 2
    assert "out of memory" in caplog.text
    assert (engine.active, engine.waiting) == (0, 0)
    assert speak(engine, sentence(3)).stats is not None


def test_a_stream_without_progress_is_ended_as_stuck():
    clock = FakeClock()
    runner = fake_runner()
    engine = fake_engine(runner, clock=clock, stuck_s=3.0)
    listener = Listener()
    runner.encode_ahead = lambda stream: None
    stream = engine.submit(REQUEST, listener)
    engine.feed(stream, [*sentence(1)[0]])
    run_dry(engine)
    clock.now_s += 2.0
    engine.step()
    assert not listener.over
    clock.now_s += 2.0
    engine.step()
    assert listener.error is not None
    assert listener.error.code == "stuck"


def test_waiting_for_text_is_not_being_stuck():
    clock = FakeClock()
    engine = fake_engine(clock=clock, stuck_s=3.0)
    listener = Listener()
    stream = engine.submit(REQUEST, listener)
    engine.feed(stream, sentence(3)[0])
    run_dry(engine)
    clock.now_s += 1000.0
    run_dry(engine)
    assert not listener.over


def test_every_queue_has_an_end():
    engine = fake_engine(fake_runner(slots=1), queue=2)
    stream = engine.submit(REQUEST, Listener())
    for _ in range(MAX_COMMANDS - 1):
        engine.feed(stream, [])
    with pytest.raises(Overloaded):
        engine.feed(stream, [])
    engine.step()
    waiting = [engine.submit(REQUEST, Listener()) for _ in range(2)]
    engine.step()
    assert engine.waiting == 2
    with pytest.raises(Overloaded, match="retry in") as refusal:
        engine.submit(REQUEST, Listener())
    assert refusal.value.retry_after_ms >= 250
    engine.cancel(waiting[0])
    engine.step()
    engine.submit(REQUEST, Listener())


def test_a_burst_is_refused_by_the_engine_itself():
    engine = fake_engine(fake_runner(slots=1), queue=2)
    listeners = [Listener() for _ in range(6)]
    for listener in listeners:  # nobody has been counted yet
        engine.submit(REQUEST, listener)
    engine.step()
    assert (engine.active, engine.waiting) == (1, 2)
    assert [listener.error is not None for listener in listeners] == [False] * 3 + [True] * 3
    assert {e.code for listener in listeners if (e := listener.error)} == {"capacity"}
    assert engine.tallies.refused == 3


def test_who_waits_too_long_is_told_when_to_come_back():
    clock = FakeClock()
    engine = fake_engine(fake_runner(slots=1), clock=clock, queue_s=3.0)
    engine.submit(REQUEST, Listener())
    late = Listener()
    engine.submit(REQUEST, late)
    engine.step()
    clock.now_s += 2.9
    engine.step()
    assert not late.over
    clock.now_s += 0.2
    engine.step()
    assert late.error is not None
    assert (late.error.code, late.error.retry_after_ms is None) == ("capacity", False)
    assert (engine.waiting, engine.tallies.expired) == (0, 1)


def test_an_ended_stream_without_symbols_ends():
    engine = fake_engine()
    listener = Listener()
    engine.end(engine.submit(REQUEST, listener))
    run_dry(engine)
    assert listener.stats is not None
    assert not listener.chunks


def test_mel_alone_runs_no_vocoder():
    engine = fake_engine()

    def fail(*args):
        raise AssertionError("vocoder")

    engine.runner._vocoder.step = fail
    listener = speak(engine, sentence(3), replace(REQUEST, audio=False))
    assert listener.stats is not None
    assert len(listener.mel) == 2 * listener.stats.steps - DROPPED_FRAMES
    assert listener.samples.size == 0


def test_speed_and_pitch_reach_the_model():
    usual = speak(fake_engine(), sentence(5))
    slow = speak(fake_engine(), sentence(5), replace(REQUEST, speed=0.5))
    high = speak(fake_engine(), sentence(5), replace(REQUEST, pitch=1.5))
    fast = speak(fake_engine(), sentence(5), replace(REQUEST, speed=1.6))
    assert len(slow.steps) == len(usual.steps) == len(fast.steps)
    assert len(slow.samples) == pytest.approx(2 * len(usual.samples), abs=600)
    assert len(fast.samples) == pytest.approx(len(usual.samples) / 1.6, abs=600)
    np.testing.assert_array_equal(high.mel, usual.mel)
    assert np.abs(high.samples - usual.samples).max() > 1e-3


def test_the_seed_changes_the_noise():
    one = speak(fake_engine(), sentence(2))
    other = speak(fake_engine(), sentence(2), replace(REQUEST, seed=8))
    assert one.samples.shape == other.samples.shape
    assert np.abs(one.samples - other.samples).max() > 0


def test_the_first_chunk_takes_one_vocoder_call():
    """40 ms leave at once, and a little more while the next chunk is made."""
    engine = fake_engine()
    listener = Listener()
    stream = engine.submit(replace(REQUEST, tail_s=0.04), listener)
    for piece in sentence(6):
        engine.feed(stream, piece)
    while not listener.chunks:
        engine.step()
    runner = engine.runner
    frames = math.ceil((640 + runner.delay_samples) / runner.hop_length) + SPARE_FRAMES
    assert len(listener.samples) == frames * runner.hop_length - runner.delay_samples
    assert 2 * 640 <= len(listener.samples) < 3 * 640
    assert stream.steps == math.ceil(
        (frames + runner.lookahead_frames + DROPPED_FRAMES) / runner.step_frames
    )


def test_seams_are_exact(monkeypatch):
    """One vocoder call over all frames gives the samples that came in chunks."""
    engine = fake_engine()
    listener = speak(engine, sentence(6))
    assert len(listener.chunks) > 4
    monkeypatch.setattr(Stream, "frames_due", 0)
    once = speak(fake_engine(), sentence(6))
    assert len(once.chunks) == 1
    np.testing.assert_allclose(listener.samples, once.samples, atol=2e-5)


def test_the_engine_thread_runs_and_stops():
    import threading

    over = threading.Event()

    class Waiter(Listener):
        def ended(self, stats):
            super().ended(stats)
            over.set()

    engine = fake_engine(clock=FakeClock())
    engine.start()
    listener, left_over = Waiter(), Listener()
    stream = engine.submit(REQUEST, listener)
    engine.submit(REQUEST, left_over)
    for piece in sentence(3):
        engine.feed(stream, piece)
    engine.end(stream)
    assert over.wait(30)
    engine.close()
    assert left_over.was_cancelled
    whole = speak(fake_engine(), sentence(3))
    np.testing.assert_allclose(listener.samples, whole.samples, atol=2e-5)
