"""Which worker gets a connection: no processes, no sockets."""

from __future__ import annotations

import pytest

from streamtts.server.channel import Report
from streamtts.server.spread import SILENT_S, Seat, choose

LIMIT = 100


def seats(*loads: int, phase: str = "ready") -> list[Seat]:
    made = [Seat(number) for number in range(len(loads))]
    for seat, load in zip(made, loads, strict=True):
        seat.tell(Report(phase, load, load, 0), 0.0)
    return made


def spread(places: list[Seat], connections: int, now_s: float = 0.0) -> list[int]:
    """Hands over that many; returns who got them."""
    chosen = []
    for turn in range(connections):
        seat = choose(places, now_s, LIMIT)
        assert seat is not None
        seat.give(turn)
        chosen.append(seat.number)
    return chosen


def test_the_least_load_wins() -> None:
    assert spread(seats(3, 1, 2), 1) == [1]


def test_a_burst_is_spread_before_anybody_reports() -> None:
    places = seats(0, 0, 0, 0)
    spread(places, 400)
    assert [seat.handed for seat in places] == [100, 100, 100, 100]


def test_a_burst_fills_up_what_is_emptier_first() -> None:
    places = seats(10, 0)
    assert spread(places, 10) == [1] * 10
    assert sorted(spread(places, 10)) == [0] * 5 + [1] * 5


def test_a_report_counts_what_it_has_seen_and_no_more() -> None:
    places = seats(0, 0)
    spread(places, 20)
    # six of its ten had come when it reported, and five of those had gone again
    places[0].tell(Report("ready", 1, 1, 6), 0.1)
    assert [seat.load for seat in places] == [5, 10]
    places[0].tell(Report("ready", 10, 10, 10), 0.2)
    assert [seat.load for seat in places] == [10, 10]


def test_equal_loads_take_turns() -> None:
    assert spread(seats(0, 0, 0), 6) == [0, 1, 2, 0, 1, 2]


def test_at_equal_load_fewer_connections_win() -> None:
    places = seats(5, 5)
    places[0].tell(Report("ready", 5, 60, 0), 0.0)
    places[1].tell(Report("ready", 5, 6, 0), 0.0)
    assert spread(places, 1) == [1]


@pytest.mark.parametrize("phase", ["loading", "draining"])
def test_only_the_ready_get_any(phase: str) -> None:
    places = seats(50, 0)
    places[1].tell(Report(phase, 0, 0, 0), 0.0)
    assert spread(places, 3) == [0, 0, 0]


def test_while_none_is_ready_one_that_can_say_so_answers() -> None:
    starting, loading = Seat(0), Seat(1)
    loading.tell(Report("loading", 7, 7, 0), 0.0)
    assert choose([starting, loading], 0.0, LIMIT) is loading
    assert choose([starting], 0.0, LIMIT) is starting
    assert choose([], 0.0, LIMIT) is None


def test_one_that_hangs_gets_nothing() -> None:
    places = seats(0, 90)
    places[1].tell(Report("ready", 90, 90, 0), SILENT_S + 1)
    assert spread(places, 5, SILENT_S + 1.5) == [1] * 5


def test_one_that_is_full_gets_nothing_while_another_has_room() -> None:
    places = seats(3, 7)
    places[0].tell(Report("ready", 3, LIMIT, 0), 0.0)
    assert spread(places, 5) == [1] * 5
    places[1].tell(Report("ready", 7, LIMIT, 5), 0.0)
    assert spread(places, 1) == [0]  # and says that it is full
