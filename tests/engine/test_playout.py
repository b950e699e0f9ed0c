import pytest

from streamtts.engine.playout import Playout


def test_in_time_is_no_underrun():
    playout = Playout(lead_s=1.0)
    for now_s in (10.0, 10.04, 10.08, 10.12):
        playout.sent(now_s, 0.04)
    assert playout.underruns == 0
    assert playout.sent_s == pytest.approx(0.16)


def test_a_late_chunk_is_one_underrun_and_moves_the_deadline():
    playout = Playout(lead_s=1.0)
    playout.sent(10.0, 0.04)
    playout.sent(10.1, 0.04)  # 60 ms late
    assert playout.underruns == 1
    playout.sent(10.14, 0.04)  # in time for the moved deadline
    assert playout.underruns == 1
    assert playout.starved_s == 0.0


def test_late_text_is_starvation_not_underrun():
    playout = Playout(lead_s=1.0)
    playout.sent(10.0, 0.04)
    playout.held = True
    playout.sent(10.5, 0.04)
    assert playout.underruns == 0
    assert playout.starved_s == pytest.approx(0.46)
    playout.sent(11.0, 0.04)
    assert playout.underruns == 1


def test_a_break_that_the_listener_asked_for_is_excused():
    playout = Playout(lead_s=1.0)
    playout.sent(10.0, 0.04)
    playout.excuse()
    playout.sent(20.0, 0.04)
    assert (playout.underruns, playout.starved_s) == (0, 0.0)


def test_nothing_sent_is_nothing():
    playout = Playout(lead_s=1.0)
    playout.sent(10.0, 0.0)
    assert not playout.started
    assert playout.played_s(99.0) == 0.0


def test_the_listener_never_plays_what_it_does_not_have():
    playout = Playout(lead_s=1.0)
    playout.sent(10.0, 0.5)
    assert playout.played_s(10.2) == pytest.approx(0.2)
    assert playout.played_s(99.0) == 0.5
    assert playout.slack_s(10.2) == pytest.approx(0.3)
    playout.report(10.2, 0.1)
    assert playout.played_s(10.3) == pytest.approx(0.2)
    assert playout.played_s(99.0) == 0.5


def test_the_lead_bounds_what_may_be_made():
    playout = Playout(lead_s=1.0)
    assert playout.room_at_s(10.0, 0.2) == 10.0
    playout.sent(10.0, 0.8)
    assert playout.room_at_s(10.0, 0.2) == 10.0
    playout.sent(10.0, 0.1)
    assert playout.room_at_s(10.0, 0.2) == pytest.approx(10.1, abs=1e-5)
    assert playout.room_at_s(10.15, 0.2) == 10.15
    playout.report(10.15, 0.0)  # the listener has not even begun
    assert playout.room_at_s(10.15, 0.2) == pytest.approx(10.25, abs=1e-5)


def test_a_tiny_lead_still_moves():
    playout = Playout(lead_s=0.02)
    assert playout.room_at_s(10.0, 0.05) == 10.0
    playout.sent(10.0, 0.05)
    assert playout.room_at_s(10.0, 0.05) == pytest.approx(10.04, abs=1e-5)


def test_without_a_lead_there_is_always_room():
    playout = Playout(lead_s=0.0)
    playout.sent(10.0, 1000.0)
    assert playout.room_at_s(10.0, 0.2) == 10.0
