from dataclasses import replace

from support.fake_voice import REQUEST, Listener, pause, word

from streamtts.engine.scheduler import Scheduler
from streamtts.engine.stream import Stream


def ready_stream(number, slot, *, lead_s=0.0):
    request = replace(REQUEST, lead_s=lead_s)
    stream = Stream(number, request, Listener(), 0.0, flush_steps=4, first_frames=6)
    stream.slot = slot
    stream.feed([pause(), *word(0), pause("period", 0, ends=True)])
    stream.end()
    for _ in range(2):
        symbols, _ = stream.to_encode()
        stream.on_encoded(len(symbols), len(symbols))
    assert stream.can_step
    return stream


def test_all_that_can_move_move_in_the_order_of_their_slots():
    streams = [ready_stream(1, 2), ready_stream(2, 0), ready_stream(3, 1)]
    streams[2].paused = True
    chosen = Scheduler(8).choose(streams, 1.0)
    assert [s.slot for s in chosen] == [0, 2]


def test_first_chunks_first_then_least_slack():
    streams = [ready_stream(i, i) for i in range(4)]
    streams[0].playout.sent(1.0, 0.9)
    streams[1].playout.sent(1.0, 0.3)
    streams[2].playout.sent(1.0, 0.5)
    scheduler = Scheduler(2)
    assert [s.number for s in scheduler.choose(streams, 1.1)] == [1, 3]
    streams[3].playout.sent(1.1, 9.0)
    assert [s.number for s in scheduler.choose(streams, 1.1)] == [1, 2]


def test_rest_and_wake():
    stream = ready_stream(1, 0, lead_s=0.5)
    scheduler = Scheduler(8)
    stream.playout.sent(1.0, 0.5)
    assert scheduler.choose([stream], 1.0) == []
    assert abs(scheduler.wake_s([stream], 1.0) - 1.2) < 1e-9
    assert scheduler.choose([stream], 1.2) == [stream]
    stream.paused = True
    assert scheduler.wake_s([stream], 1.0) is None
    assert scheduler.wake_s([], 1.0) is None
