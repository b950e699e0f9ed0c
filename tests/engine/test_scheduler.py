from dataclasses import replace

import pytest
from support.fake_voice import REQUEST, Listener, pause, word

from streamtts.engine.scheduler import HURRY_S, Scheduler
from streamtts.engine.stream import Stream


def ready_stream(number, slot, *, lead_s=0.0):
    request = replace(REQUEST, lead_s=lead_s)
    stream = Stream(number, request, Listener(), 0.0, flush_steps=4, first_frames=6, frame_s=0.0125)
    stream.slot = slot
    stream.feed([pause(), *word(0), pause("period", 0, ends=True)], 0.0)
    stream.end(0.0)
    for _ in range(2):
        symbols, _ = stream.to_encode()
        stream.on_encoded(len(symbols), len(symbols))
    assert stream.can_step
    return stream


def sounding(number, slot, slack_s, *, lead_s=2.0, now_s=1.0):
    stream = ready_stream(number, slot, lead_s=lead_s)
    stream.playout.sent(now_s, slack_s)
    return stream


def numbers(streams):
    return [s.number for s in streams]


def test_all_that_can_move_move_in_the_order_of_their_slots():
    streams = [ready_stream(1, 2), ready_stream(2, 0), ready_stream(3, 1)]
    streams[2].paused = True
    chosen = Scheduler(8, 256).choose(streams, 1.0)
    assert [s.slot for s in chosen] == [0, 2]


def test_who_hurries_waits_for_nobody():
    streams = [
        ready_stream(1, 0, lead_s=2.0),
        sounding(2, 1, 1.0),
        sounding(3, 2, HURRY_S / 2),
    ]
    scheduler = Scheduler(8, 256)
    assert numbers(scheduler.choose(streams, 1.0)) == [1, 3]
    streams[0].playout.sent(1.0, 0.5)
    assert numbers(scheduler.choose(streams, 1.01)) == [3]
    streams[2].playout.sent(1.0, 0.5)
    assert numbers(scheduler.choose(streams, 1.01)) == [1, 2, 3]


def test_when_the_batch_is_full_whoever_runs_dry_soonest_is_in_it():
    streams = [sounding(1, 0, 0.9), sounding(2, 1, 0.3), sounding(3, 2, 0.5)]
    assert numbers(Scheduler(2, 256).choose(streams, 1.0)) == [2, 3]
    streams.append(ready_stream(4, 3, lead_s=2.0))
    streams[1].playout.report(1.0, 0.25)
    assert numbers(Scheduler(1, 256).choose(streams, 1.0)) == [4]


def test_a_tick_wakes_every_other_one_that_has_room_together():
    even = [sounding(1, 0, 1.7), sounding(2, 2, 1.75), sounding(3, 4, 2.0)]
    odd = [sounding(4, 1, 1.5)]
    streams = [*even, *odd]
    for stream in streams:
        stream.awake = False
    scheduler = Scheduler(8, 256)
    assert numbers(scheduler.choose(streams, 1.0)) == [1, 2]
    for stream in even[:2]:
        stream.playout.sent(1.0, 0.3)
        scheduler.after_chunk(stream, 1.0)
    assert scheduler.choose(streams, 1.0) == []
    assert scheduler.wake_s(streams, 1.0) == pytest.approx(1.1)  # the other half's tick
    assert numbers(scheduler.choose(streams, 1.1 + 1e-5)) == [4]
    odd[0].playout.sent(1.1, 0.6)
    scheduler.after_chunk(odd[0], 1.1)
    assert scheduler.choose(streams, 1.19) == []  # although two have had room since 1.15
    assert numbers(scheduler.choose(streams, 1.2 + 1e-4)) == [1, 3]


def test_a_short_lead_wakes_before_it_runs_dry():
    stream = sounding(1, 0, 0.1, lead_s=0.1)
    scheduler = Scheduler(8, 256)
    scheduler.choose([stream], 1.0)
    assert scheduler.wake_s([stream], 1.0) <= 1.0 + 0.1 - 0.02


def test_who_gives_way_rests():
    stream = sounding(1, 0, 60.0, lead_s=0.0)
    assert Scheduler(8, 256).rests(stream, 1.0)


def test_a_crowd_about_to_run_dry_is_told():
    scheduler = Scheduler(64, 256)
    streams = [sounding(i, i, HURRY_S / 2) for i in range(3)]
    scheduler.choose(streams, 1.0)
    assert scheduler.crowded
    scheduler.choose(streams[:2], 1.0)
    assert not scheduler.crowded
    scheduler.choose([ready_stream(i, i, lead_s=2.0) for i in range(9)], 1.0)  # not begun yet
    assert not scheduler.crowded


def test_short_leads_tick_as_often_as_their_chunks():
    stream = sounding(1, 0, 0.3, lead_s=0.3)
    scheduler = Scheduler(8, 256)
    assert stream.chunk_s == pytest.approx(0.05)
    assert scheduler.choose([stream], 1.0) == []
    assert scheduler.wake_s([stream], 1.0) == pytest.approx(1.05)


def test_who_has_frames_for_the_vocoder_is_not_stepped():
    stream = sounding(1, 0, 0.5)
    stream.frames_pending = 16
    scheduler = Scheduler(8, 256)
    assert scheduler.choose([stream], 1.0) == []
    assert scheduler.choose_sound([stream], 1.0) == [stream]


def test_a_vocoder_call_takes_equal_chunks_and_no_more_than_fit():
    streams = [sounding(i, i, 1.0 - 0.1 * i) for i in range(5)]
    for stream in streams:
        stream.frames_pending = 16
        stream.on_chunk(0)
    streams[1].frames_pending = 9  # its first chunk is out, the next ones take 8
    assert numbers(Scheduler(8, 32).choose_sound(streams, 1.0)) == [4, 3, 2, 1]
    streams[4].paused = True  # what is made is delivered all the same
    assert numbers(Scheduler(8, 16).choose_sound(streams, 1.0)) == [4, 3]
    assert Scheduler(8, 8).choose_sound([], 1.0) == []


def test_the_vocoder_takes_first_whoever_hurries():
    first, easy = ready_stream(1, 0, lead_s=2.0), sounding(2, 1, 1.0)
    first.frames_pending, easy.frames_pending = 6, 10
    easy.on_chunk(2)
    scheduler = Scheduler(8, 256)
    assert scheduler.choose_sound([easy, first], 1.0) == [first]
    first.frames_pending = 0
    assert scheduler.choose_sound([easy, first], 1.0) == [easy]


def test_a_few_hurry_alone_and_many_in_company():
    scheduler = Scheduler(64, 256)
    calm = [sounding(i, i, 1.0) for i in range(20)]
    late = [sounding(100 + i, 100 + i, HURRY_S / 2) for i in range(3)]
    assert numbers(scheduler.choose([*calm, *late[:2]], 1.0)) == [100, 101]
    assert scheduler.alone
    assert len(scheduler.choose([*calm, *late], 1.0)) == 23
    assert not scheduler.alone
    assert len(scheduler.choose([*calm, *calm, *late], 1.0)) == 3  # three of many are few


def test_who_wants_it_as_fast_as_possible_gives_way_to_listeners():
    fast, listener = sounding(1, 0, 60.0, lead_s=0.0), sounding(2, 1, 0.5)
    scheduler = Scheduler(8, 256)
    assert numbers(scheduler.choose([fast, listener], 1.0)) == [2]
    assert numbers(scheduler.choose([fast], 1.0)) == [1]
    slow = sounding(3, 2, 1.0, lead_s=0.0)
    assert numbers(scheduler.choose([fast, listener, slow], 1.0)) == [2, 3]


def test_rest_and_wake():
    stream = sounding(1, 0, 0.5, lead_s=0.5)
    scheduler = Scheduler(8, 256)
    assert scheduler.choose([stream], 1.0) == []
    assert scheduler.rests(stream, 1.0)
    wake_s = scheduler.wake_s([stream], 1.0)
    assert wake_s == pytest.approx(1.1, abs=1e-4)
    assert scheduler.choose([stream], wake_s) == [stream]
    stream.paused = True
    assert scheduler.wake_s([stream], 1.0) is None
    assert scheduler.wake_s([], 1.0) is None
