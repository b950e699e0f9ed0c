"""Messages that the broker hands out again, by their numbers."""

from __future__ import annotations

from types import SimpleNamespace

from streamtts.mqtt.broker import Inbound
from streamtts.mqtt.incoming import MOST, Incoming


class Hand:
    """Hands messages to an `Incoming` and counts what it acknowledges."""

    def __init__(self) -> None:
        self.incoming = Incoming()
        self.acknowledged: list[int] = []

    def give(
        self, number: int, payload: bytes, *, again: bool = False, topic: str = "t"
    ) -> Inbound | None:
        if again:
            self.incoming.mark(number)
        message = SimpleNamespace(
            topic=SimpleNamespace(value=topic),
            payload=payload,
            mid=number,
            qos=1 if number else 0,
            retain=False,
            properties=None,
        )
        return self.incoming.read(message, lambda: self.acknowledged.append(number))

    def take(self, number: int, payload: bytes, *, again: bool = False) -> Inbound:
        inbound = self.give(number, payload, again=again)
        assert inbound is not None
        return inbound


def test_what_was_acknowledged_is_not_taken_again_but_acknowledged_once_more() -> None:
    hand = Hand()
    hand.take(1, b"a").ack()
    waits = hand.take(2, b"b")
    assert hand.give(1, b"a", again=True) is None
    assert hand.give(1, b"a", again=True) is None
    assert hand.acknowledged == [1, 1, 1]
    again = hand.take(2, b"b", again=True)
    assert (waits.again, again.again) == (False, True)
    assert waits.number == again.number == 2


def test_the_same_words_under_another_number_are_another_message() -> None:
    hand = Hand()
    hand.take(1, b"a").ack()
    assert hand.give(2, b"a") is not None
    assert hand.give(3, b"a", again=True) is not None  # it never got here the first time
    assert hand.give(1, b"b", again=True) is not None
    hand.take(1, b"a").ack()
    assert hand.give(1, b"a", again=True, topic="other") is not None


def test_a_number_that_is_given_anew_stands_for_its_new_message() -> None:
    hand = Hand()
    hand.take(1, b"a").ack()
    hand.take(1, b"a")  # not acknowledged
    assert hand.give(1, b"a", again=True) is not None


def test_a_session_that_the_broker_has_forgotten_counts_anew() -> None:
    hand = Hand()
    hand.take(1, b"a").ack()
    late = hand.take(2, b"b")
    hand.incoming.forget()
    late.ack()
    assert hand.give(1, b"a", again=True) is not None
    assert hand.give(2, b"b", again=True) is not None


def test_a_mark_belongs_to_its_connection() -> None:
    hand = Hand()
    hand.incoming.mark(1)
    hand.incoming.connect()
    assert not hand.take(1, b"a").again
    assert hand.take(1, b"a", again=True).again
    assert not hand.take(1, b"a").again


def test_only_so_many_are_remembered() -> None:
    hand = Hand()
    for number in range(1, MOST + 2):
        hand.take(number, b"a").ack()
    assert hand.give(1, b"a", again=True) is not None
    assert hand.give(2, b"a", again=True) is None
