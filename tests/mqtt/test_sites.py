"""Queues, priorities, pacing and duplicates, with a clock of the test's own."""

from __future__ import annotations

from typing import Any

import pytest

from streamtts import events
from streamtts.events import FLAG_FADED, FLAG_FIRST, FLAG_LAST, AudioChunk, AudioInfo
from streamtts.mqtt.actions import (
    Accept,
    Delivery,
    Drop,
    Open,
    Over,
    Played,
    Request,
    Send,
    Settle,
    Speak,
    Stop,
    Tell,
)
from streamtts.mqtt.sites import REMEMBER_S, SiteLimits, Sites

AUDIO = AudioInfo("pcm_s16le", 16000, 1, 40)
OPENED = events.Opened(AUDIO, None)
STARTED = events.Started(20.0, 0.0)
LIMITS = SiteLimits(sites=3, queue=4, in_flight=8, buffer_s=0.3)
FRAME = 640


def request(id_: str, site: str = "kitchen", **fields: Any) -> Request:
    return Request(site=site, id=id_, text=f"text of {id_}", settings={}, **fields)


def chunk(number: int, flags: int = 0, samples: int = FRAME) -> AudioChunk:
    return AudioChunk(number, flags, number * FRAME, bytes(2 * samples), samples)


def done(samples: int) -> events.Done:
    return events.Done("end", samples, 9, 20.0, 0.05, 0.0, 3, 0, 0.0)


class Stage:
    """Sites, a clock, and everything that they asked for."""

    def __init__(self, limits: SiteLimits = LIMITS) -> None:
        self.sites = Sites(limits)
        self.now_s = 100.0
        self.log: list[Any] = []

    def do(self, actions: list[Any]) -> list[Any]:
        self.log += actions
        return actions

    def offer(self, wanted: Request) -> list[Any]:
        return self.do(self.sites.offer(wanted, self.now_s))

    def tell(self, wanted: Request, *happened: events.Event) -> list[Any]:
        return [
            action
            for event in happened
            for action in self.do(self.sites.event(wanted, event, self.now_s))
        ]

    def speak(self, wanted: Request) -> None:
        """Offers a request and lets it begin."""
        self.offer(wanted)
        self.tell(wanted, OPENED, STARTED)

    def wait(self, seconds: float, site: str = "kitchen") -> list[Any]:
        """Lets time pass as a bridge does: it wakes when the site wants it."""
        end_s, actions = self.now_s + seconds, []
        while True:
            wake_s = self.sites.wake_s(site, self.now_s)
            if wake_s is None or wake_s > end_s:
                self.now_s = end_s
                return actions
            self.now_s = max(self.now_s, wake_s)
            actions += self.do(self.sites.tick(site, self.now_s))

    def sent(self, wanted: Request) -> list[AudioChunk]:
        return [a.chunk for a in self.log if isinstance(a, Send) and a.request is wanted]

    def told(self, wanted: Request) -> list[events.Event]:
        return [a.event for a in self.log if isinstance(a, Tell) and a.request is wanted]

    def kinds(self, wanted: Request) -> list[str]:
        return [type(a).__name__ for a in self.log if a.request is wanted]


def test_a_request_is_acknowledged_when_it_has_begun_and_not_before() -> None:
    stage, a = Stage(), request("a")
    assert stage.offer(a) == [Open(a)]
    assert stage.tell(a, OPENED) == [Speak(a)]
    assert not a.settled
    assert stage.tell(a, STARTED) == [Accept(a, AUDIO), Settle(a), Tell(a, STARTED)]
    assert a.settled


def test_a_request_with_text_to_come_is_accepted_when_its_context_is_open() -> None:
    stage, a = Stage(), request("a", stream=True)
    stage.offer(a)
    assert stage.tell(a, OPENED) == [Accept(a, AUDIO), Settle(a)]


def test_a_context_that_would_queue_is_given_up_and_asked_for_again() -> None:
    stage, a = Stage(), request("a", stream=True)
    stage.offer(a)
    assert stage.tell(a, events.Opened(AUDIO, None, queue_position=2)) == [Drop(a)]
    assert stage.wait(0.4) == []
    assert stage.wait(0.2) == [Open(a)]
    assert not a.settled
    assert stage.tell(a, OPENED) == [Accept(a, AUDIO), Settle(a)]


def test_a_refused_request_stays_unacknowledged_and_is_tried_again_when_told() -> None:
    stage, a = Stage(), request("a")
    stage.offer(a)
    stage.tell(a, events.Failed("capacity", "full", 1500, final=True))
    assert stage.wait(1.4) == []
    assert stage.wait(0.2) == [Open(a)]
    stage.tell(a, OPENED, events.Failed("capacity", "waited too long", None, final=True))
    assert stage.wait(0.6) == [Open(a)]
    assert not a.settled
    assert stage.kinds(a) == ["Open", "Open", "Speak", "Open"]


def test_what_cannot_be_spoken_is_acknowledged_and_told() -> None:
    stage, a, b = Stage(), request("a"), request("b")
    stage.offer(a)
    stage.offer(b)
    failed = events.Failed("unknown_voice", "there is no voice", None, final=True)
    assert stage.tell(a, failed) == [Settle(a), Tell(a, failed), Over(a), Open(b)]


def test_the_device_is_never_filled_beyond_its_buffer() -> None:
    stage, a = Stage(), request("a")
    stage.speak(a)
    stage.tell(a, *(chunk(i) for i in range(50)))
    assert len(stage.sent(a)) == 7  # 280 of 300 ms
    stage.wait(0.019)
    assert len(stage.sent(a)) == 7
    stage.wait(0.002)
    assert len(stage.sent(a)) == 8
    stage.wait(1.0)
    assert len(stage.sent(a)) == 33
    assert stage.sites.largest_s == pytest.approx(0.3, abs=1e-6)


def test_reports_of_the_device_steer_the_pace() -> None:
    stage, a = Stage(), request("a")
    stage.speak(a)
    stage.tell(a, *(chunk(i) for i in range(100)))
    stage.wait(0.2)
    before = len(stage.sent(a))
    stage.do(stage.sites.playback("kitchen", "a", 0, None, stage.now_s))  # it has not begun yet
    stage.wait(0.2)
    assert len(stage.sent(a)) == before
    stage.do(stage.sites.playback("kitchen", "a", before * FRAME, None, stage.now_s))
    assert len(stage.sent(a)) == before + 7
    stage.do(stage.sites.playback("kitchen", None, None, 1.0, stage.now_s))  # a larger buffer
    assert len(stage.sent(a)) == before + 25


def test_a_context_hears_how_far_its_device_is() -> None:
    stage, a = Stage(), request("a")
    stage.speak(a)
    assert Played(a, 0) in stage.tell(a, *(chunk(i) for i in range(20)))
    assert not any(isinstance(x, Played) for x in stage.wait(0.5))  # as it expects
    assert Played(a, 1000) in stage.do(
        stage.sites.playback("kitchen", "a", 1000, None, stage.now_s)
    )


def test_in_a_crowd_the_first_sound_waits_for_the_next() -> None:
    stage, a, b, c = Stage(), request("a"), request("b", "hall"), request("c", "den", stream=True)
    for one in (a, b, c):
        stage.offer(one)
        stage.tell(one, OPENED, events.Started(110.0, 0.0), chunk(0, FLAG_FIRST), chunk(1))
    assert len(stage.sent(c)) == 2  # the text was late, not the sound
    assert stage.sent(a) == []
    stage.tell(b, chunk(2), chunk(3), chunk(4))
    assert len(stage.sent(b)) == 5  # enough is there
    stage.wait(0.059)
    assert stage.sent(a) == []
    stage.wait(0.002)
    assert len(stage.sent(a)) == 2


def test_a_short_text_is_not_held_back() -> None:
    stage, a = Stage(), request("a")
    stage.offer(a)
    stage.tell(a, OPENED, events.Started(110.0, 0.0), chunk(0, FLAG_FIRST | FLAG_LAST))
    assert stage.sent(a) == []
    stage.tell(a, done(640))
    assert len(stage.sent(a)) == 1


def test_a_buffer_smaller_than_a_chunk_gets_one_chunk_at_a_time() -> None:
    stage, a = Stage(), request("a")
    stage.do(stage.sites.playback("kitchen", None, None, 0.02, stage.now_s))
    stage.speak(a)
    stage.tell(a, *(chunk(i) for i in range(5)))
    assert len(stage.sent(a)) == 1
    stage.wait(0.081)
    assert len(stage.sent(a)) == 3


def test_done_follows_the_last_chunk_and_the_next_one_waits_until_it_has_been_played() -> None:
    stage, a, b = Stage(), request("a"), request("b")
    stage.speak(a)
    stage.offer(b)
    stage.tell(a, *(chunk(i) for i in range(10)), chunk(10, FLAG_LAST), done(7040))
    assert done(7040) not in stage.told(a)
    actions = stage.wait(0.15)
    assert Tell(a, done(7040)) in actions
    assert Open(b) not in actions
    assert stage.wait(0.28) == []
    assert stage.wait(0.02) == [Over(a), Open(b)]


def test_higher_priority_cuts_in_and_equal_priority_waits() -> None:
    stage = Stage()
    a, b, c, d = (request(n, priority=p) for n, p in (("a", 1), ("b", 1), ("c", 2), ("d", 1)))
    stage.speak(a)
    stage.tell(a, *(chunk(i) for i in range(9)))
    stage.now_s += 0.1
    assert stage.offer(b) == []
    assert stage.offer(c) == [Stop(a, 1600)]
    cut = events.Cancelled(5760, 5760, 4, 1, "text")
    actions = stage.tell(a, cut)
    assert Tell(a, events.Cancelled(5760, 4480, 4, 1, "text"), "preempted") in actions
    assert actions[-1] == Open(c)
    stage.offer(d)
    stage.tell(c, OPENED, STARTED, done(0))
    assert stage.wait(0.01)[-1] == Open(b)


def test_a_request_that_has_not_begun_only_loses_its_place() -> None:
    stage, a, b = Stage(), request("a"), request("b", priority=5)
    stage.offer(a)
    stage.tell(a, OPENED)
    assert stage.offer(b) == [Drop(a), Open(b)]
    assert not a.settled
    assert stage.tell(b, events.Failed("bad_field", "no", None, final=True))[-1] == Open(a)


def test_cancel_cuts_where_the_device_is_and_marks_the_last_chunk() -> None:
    stage, a = Stage(), request("a")
    stage.speak(a)
    stage.tell(a, chunk(0, FLAG_FIRST), *(chunk(i) for i in range(1, 20)))
    stage.now_s += 0.2
    assert stage.do(stage.sites.cancel("kitchen", "a", None, stage.now_s)) == [Stop(a, 3200)]
    faded = AudioChunk(20, FLAG_LAST | FLAG_FADED, 20 * FRAME, bytes(160), 80)
    assert stage.tell(a, chunk(20), faded) == []  # it does not join what was sent
    actions = stage.tell(a, events.Cancelled(13000, 12880, 8, 2, "text of "))
    empty = actions[0].chunk
    assert (empty.flags, empty.first_sample, empty.data) == (FLAG_LAST | FLAG_FADED, 4480, b"")
    assert actions[1:] == [Tell(a, events.Cancelled(13000, 4480, 8, 2, "text of ")), Over(a)]


def test_a_fade_that_joins_is_sent() -> None:
    stage, a = Stage(), request("a")
    stage.speak(a)
    stage.tell(a, chunk(0, FLAG_FIRST), chunk(1))
    stage.do(stage.sites.cancel("kitchen", "*", None, stage.now_s))
    faded = AudioChunk(2, FLAG_LAST | FLAG_FADED, 1280, bytes(160), 80)
    assert stage.tell(a, faded) == [Send(a, faded)]
    actions = stage.tell(a, events.Cancelled(1360, 1360, 0, 0, ""))
    assert [type(action) for action in actions] == [Tell, Over]


def test_a_cancel_after_the_end_of_the_context_still_tells_what_was_heard() -> None:
    stage, a = Stage(), request("a", stream=True)
    a.text = ""
    stage.offer(a)
    a.deltas += ["Na\ud83d", "\ude00 ja, gut."]
    words = [
        events.TimedItem(0, "Na\U0001f600", 0, 1280, 0, 3),
        events.TimedItem(1, "ja", 1280, 3200, 4, 6),
        events.TimedItem(2, "gut", 3200, None, 8, 11),
    ]
    stage.tell(a, OPENED, events.Words(tuple(words)))
    stage.tell(a, events.Words((events.TimedItem(2, "gut", 3200, 6400, 8, 11),)))
    stage.tell(a, *(chunk(i) for i in range(20)), done(12800))
    stage.now_s += 0.21
    actions = stage.do(stage.sites.cancel("kitchen", "a", None, stage.now_s))
    heard = events.Cancelled(12800, 4480, 6, 2, "Na\U0001f600 ja")
    assert actions[-2:] == [Tell(a, heard), Over(a)]
    assert actions[0].chunk.flags & FLAG_LAST


def test_what_the_device_says_with_its_cancel_counts() -> None:
    stage, a = Stage(), request("a")
    stage.speak(a)
    stage.tell(a, *(chunk(i) for i in range(20)))
    assert stage.do(stage.sites.cancel("kitchen", "a", 99, stage.now_s)) == [Stop(a, 99)]


def test_cancel_of_all_takes_those_that_wait_as_well_and_other_sites_hear_nothing() -> None:
    stage, a, b = Stage(), request("a"), request("b")
    hall = request("a", "hall")
    stage.speak(a)
    stage.speak(hall)
    stage.offer(b)
    actions = stage.do(stage.sites.cancel("kitchen", "*", None, stage.now_s))
    assert actions[:2] == [Settle(b), Tell(b, events.Cancelled(0, 0, 0, 0, ""))]
    assert Stop(a, 0) in actions
    assert all(action.request is not hall for action in actions)


def test_a_cancel_that_overtakes_its_request_is_remembered() -> None:
    stage, a = Stage(), request("a")
    assert stage.do(stage.sites.cancel("kitchen", "a", None, stage.now_s)) == []
    assert [type(x) for x in stage.offer(a)] == [Settle, Tell, Over]
    late = request("b")
    stage.do(stage.sites.cancel("kitchen", "b", None, stage.now_s))
    stage.now_s += 60
    assert stage.offer(late) == [Open(late)]


def test_a_cancel_that_nobody_confirms_ends_all_the_same() -> None:
    stage, a, b = Stage(), request("a"), request("b")
    stage.speak(a)
    stage.offer(b)
    stage.do(stage.sites.cancel("kitchen", "a", None, stage.now_s))
    actions = stage.wait(5.1)
    assert actions[0] == Drop(a)
    assert actions[-2:] == [Over(a), Open(b)]


def test_a_redelivered_request_is_spoken_once() -> None:
    stage, a = Stage(), request("a")
    stage.offer(a)
    again = request("a", receipt=object())  # type: ignore[arg-type]
    assert stage.offer(again) == []  # it has not begun: the new message will be acknowledged
    assert a.receipt is again.receipt
    stage.tell(a, OPENED, STARTED)
    third = request("a")
    assert stage.offer(third) == [Settle(third)]
    stage.tell(a, done(0))
    stage.wait(0.1)
    fourth = request("a")
    assert stage.offer(fourth) == [Settle(fourth)]
    stage.now_s += REMEMBER_S + 1
    assert stage.offer(request("a"))[0].__class__ is Open


def test_correlation_data_tells_requests_of_one_id_apart() -> None:
    stage, a = Stage(), request("a", correlation=b"1")
    stage.offer(a)
    other = request("a", correlation=b"2")
    settled, told, _ = stage.offer(other)
    assert (settled, told.event.code) == (Settle(other), "bad_field")
    stage.tell(a, OPENED, STARTED, done(0))
    stage.wait(0.1)
    assert stage.offer(request("a", correlation=b"1"))[0].__class__ is Settle
    assert stage.offer(request("a", correlation=b"3"))[0].__class__ is Open


def test_a_full_queue_refuses_and_other_sites_do_not_notice() -> None:
    stage = Stage()
    stage.speak(request("a"))
    for number in range(4):
        assert stage.offer(request(f"q{number}")) == []
    refused = stage.offer(request("late"))
    assert [type(x) for x in refused] == [Settle, Tell, Over]
    assert (refused[1].event.code, refused[1].event.retry_after_ms) == ("capacity", 2000)
    hall = request("a", "hall")
    assert stage.offer(hall) == [Open(hall)]


def test_the_brokers_last_place_is_kept_for_sites_that_need_not_wait() -> None:
    stage = Stage(SiteLimits(sites=3, queue=100, in_flight=4, buffer_s=0.3))
    stage.speak(request("a"))
    for number in range(3):
        assert stage.offer(request(f"q{number}")) == []
    assert stage.offer(request("late"))[1].event.code == "capacity"
    hall = request("a", "hall")
    assert stage.offer(hall) == [Open(hall)]


def test_idle_sites_make_room_for_new_ones() -> None:
    stage = Stage()
    for site in ("one", "two", "three"):
        stage.speak(request("a", site))
    assert stage.offer(request("a", "four"))[1].event.code == "capacity"
    stage.tell(stage.log[0].request, done(0))
    stage.wait(0.1, "one")
    assert stage.offer(request("b", "four"))[0].__class__ is Open


def test_without_a_broker_the_sound_waits_and_goes_on() -> None:
    stage, a = Stage(), request("a")
    stage.speak(a)
    stage.tell(a, *(chunk(i) for i in range(30)))
    assert stage.sites.set_online(False) == ("kitchen",)
    stage.wait(5.0)
    assert len(stage.sent(a)) == 7
    played = [action for action in stage.log if isinstance(action, Played)]
    assert played[-1].played_samples == 7 * FRAME  # so that its context makes no more
    stage.sites.set_online(True)
    stage.do(stage.sites.tick("kitchen", stage.now_s))
    assert [one.seq for one in stage.sent(a)] == list(range(14))


def test_a_lost_session_takes_back_what_had_not_begun() -> None:
    stage = Stage()
    a, b, c = request("a", session="x"), request("b", session="x"), request("c", session="y")
    for one in (a, b, c):
        stage.offer(one)
    stage.tell(a, OPENED)
    assert stage.sites.holds("x")
    assert stage.do(stage.sites.withdraw("x", stage.now_s)) == [Over(b), Drop(a), Over(a), Open(c)]
    assert not stage.sites.holds("x")
    assert not a.settled
    again = request("a", session="x")
    assert stage.offer(again) == []  # it was not spoken, and is welcome again
    assert stage.sites.holds("x")


def test_a_failure_in_mid_speech_marks_the_end() -> None:
    stage, a = Stage(), request("a")
    stage.speak(a)
    stage.tell(a, chunk(0, FLAG_FIRST))
    failed = events.Failed("stuck", "no progress", None, final=True)
    actions = stage.tell(a, failed)
    assert actions[0].chunk.flags & FLAG_LAST
    assert actions[1:] == [Tell(a, failed), Over(a)]


def test_chunks_too_large_for_a_device_are_refused() -> None:
    stage, a = Stage(), request("a")
    stage.offer(a)
    wide = events.Opened(AudioInfo("pcm_f32le", 48000, 1, 40), None)
    actions = stage.tell(a, wide)
    assert [type(x) for x in actions] == [Drop, Settle, Tell, Over]
    assert actions[2].event.code == "bad_field"
    assert "7696 bytes" in actions[2].event.message


@pytest.mark.parametrize("delivery", [Delivery.WHOLE, Delivery.AWAITED])
def test_an_awaited_device_says_when_it_has_played(delivery: Delivery) -> None:
    stage, a, b = Stage(), request("a", delivery=delivery), request("b")
    stage.speak(a)
    stage.offer(b)
    stage.tell(a, *(chunk(i) for i in range(25)), done(25 * FRAME))
    assert len(stage.sent(a)) == (25 if delivery is Delivery.WHOLE else 7)
    if delivery is Delivery.AWAITED:
        assert stage.do(stage.sites.finished("kitchen", "a", stage.now_s)) == []
        stage.wait(0.8)
    assert stage.do(stage.sites.finished("kitchen", "a", stage.now_s)) == [Over(a), Open(b)]


def test_an_awaited_device_that_says_nothing_has_played_after_the_sounds_length() -> None:
    stage, a = Stage(), request("a", delivery=Delivery.WHOLE)
    stage.speak(a)
    stage.tell(a, *(chunk(i) for i in range(25)), done(25 * FRAME))
    assert stage.wait(1.49) == []
    assert stage.wait(0.02) == [Over(a)]


def test_what_is_told_after_the_end_is_ignored() -> None:
    stage, a = Stage(), request("a")
    stage.speak(a)
    stage.tell(a, done(0))
    stage.wait(0.1)
    assert stage.tell(a, chunk(3), STARTED, done(0)) == []
    assert stage.sites.idle
