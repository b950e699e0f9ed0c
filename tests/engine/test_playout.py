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


@pytest.mark.parametrize(
    ("text_s", "sent_s", "underruns", "starved_s"),
    [
        (9.5, 15.0, 1, 0.0),  # the text was there: the engine was late
        (12.0, 15.0, 1, 2.0),  # both were
        (12.0, 12.05, 0, 2.0),  # it takes a while to speak it
        (9.99, 10.05, 0, 0.0),
        (9.5, 10.05, 1, 0.0),
    ],
)
def test_text_is_blamed_until_it_comes(text_s, sent_s, underruns, starved_s):
    playout = Playout(lead_s=1.0)
    playout.sent(9.0, 1.0)  # the listener runs dry at 10
    playout.text_came(text_s)
    playout.sent(sent_s, 0.04)
    assert playout.underruns == underruns
    assert playout.starved_s == pytest.approx(starved_s)
    playout.sent(sent_s + 1.0, 0.04)  # nobody waited for text any more
    assert playout.underruns == underruns + 1


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


@pytest.mark.parametrize("lie_s", [2.0**31, 0.9, float("inf")])
def test_nobody_plays_faster_than_sound_is(lie_s):
    playout = Playout(lead_s=1.0)
    playout.report(9.9, lie_s)
    assert playout.played_s(9.9) == 0.0
    playout.sent(10.0, 1.0)
    assert playout.played_s(10.2) == pytest.approx(0.2)
    playout.report(10.2, lie_s)
    assert playout.played_s(10.3) == pytest.approx(0.3)


def test_a_report_that_goes_back_or_below_nothing_means_that_less_was_played():
    playout = Playout(lead_s=1.0)
    playout.sent(10.0, 1.0)
    playout.report(10.5, 0.4)
    playout.report(10.6, 0.2)
    assert playout.played_s(10.6) == pytest.approx(0.2)
    playout.report(10.7, -5.0)
    assert playout.played_s(10.7) == 0.0
    assert playout.played_s(10.8) == pytest.approx(0.1)


def test_an_old_report_does_not_run_ahead_over_a_gap():
    playout = Playout(lead_s=1.0)
    playout.sent(10.0, 1.0)
    playout.report(10.9, 0.9)
    playout.sent(20.0, 1.0)  # nine seconds of silence
    assert playout.played_s(20.0) == pytest.approx(1.0)
    assert playout.played_s(20.3) == pytest.approx(1.3)
    assert playout.slack_s(20.3) == pytest.approx(0.7)


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
