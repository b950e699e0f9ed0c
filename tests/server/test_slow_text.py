"""Text that arrives one letter every five seconds, on a clock set by hand."""

from __future__ import annotations

from support.fake_voice import FakeClock, Heard, fake_service, settle

from streamtts.events import Done
from streamtts.service import Service
from streamtts.settings import ContextSettings
from streamtts.stats import ServiceStats

LETTER_S = 5.0
TEXT = "so it goes."


def pass_time(service: Service, clock: FakeClock, seconds: float) -> None:
    """In small steps, so that nothing is late by the test's own fault."""
    end_s = clock.now_s + seconds
    while clock.now_s < end_s:
        clock.now_s = min(clock.now_s + 0.02, end_s)
        settle(service)


def gone(stats: ServiceStats) -> bool:
    return (stats.contexts, stats.streams, stats.waiting) == (0, 0, 0)


def test_every_letter_is_spoken_and_nobody_is_late() -> None:
    clock = FakeClock()
    service = fake_service(slots=2, clock=clock)
    slow, neighbour = Heard(), Heard()
    typed = service.open(ContextSettings(timestamps=("word",)), slow)
    for number, letter in enumerate(TEXT):
        typed.feed(letter)
        if number == 2:
            beside = service.open(ContextSettings(), neighbour)
            beside.feed("all work and no play makes a dull day.")
            beside.end()
        pass_time(service, clock, LETTER_S)
        if letter.isalpha():  # spoken without waiting for the next
            assert len(slow.words) == sum(char.isalpha() for char in TEXT[: number + 1])
    typed.end()
    pass_time(service, clock, LETTER_S)
    (done,) = slow.of(Done)
    (other,) = neighbour.of(Done)
    assert (done.reason, done.chars) == ("end", len(TEXT))
    assert done.underruns == other.underruns == 0
    assert done.starved_ms > 1000 * LETTER_S
    assert other.starved_ms == 0.0
    assert gone(service.stats())


def test_a_typist_who_gives_up_ends_by_himself() -> None:
    clock = FakeClock()
    service = fake_service(slots=1, clock=clock, idle_s=20.0)
    slow = Heard()
    typed = service.open(ContextSettings(), slow)
    for letter in "so ":
        typed.feed(letter)
        pass_time(service, clock, LETTER_S)
    pass_time(service, clock, 30.0)
    (done,) = slow.of(Done)
    assert done.reason == "idle"
    assert gone(service.stats())
