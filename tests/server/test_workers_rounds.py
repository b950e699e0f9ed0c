"""How the parent asks every worker for its metrics, and who waits for whom."""

from __future__ import annotations

import asyncio

import pytest

from streamtts.server.channel import AllMetrics, GiveMetrics, Message, OwnMetrics, Report
from streamtts.server.rounds import Rounds
from streamtts.server.spread import Seat

GUARD_S = 10.0


class Link:
    """A worker that keeps what it is told."""

    def __init__(self, number: int) -> None:
        self.seat = Seat(number, Report("ready", 0, 0, 0))
        self.channel = self
        self.got: list[Message] = []

    def send(self, message: Message) -> None:
        self.got.append(message)


async def until_answered(*links: Link) -> None:
    async with asyncio.timeout(GUARD_S):
        while not all(isinstance(link.got[-1], AllMetrics) for link in links):  # noqa: ASYNC110
            await asyncio.sleep(0)


def make(number: int) -> tuple[Rounds, list[Link]]:
    rounds = Rounds(lambda: "own 1\n")
    links = [Link(n) for n in range(number)]
    rounds.links = links  # type: ignore[assignment]
    return rounds, links


def test_all_who_ask_meanwhile_get_the_same_answer() -> None:
    async def main() -> None:
        rounds, (a, b) = make(2)
        rounds.ask(a)  # type: ignore[arg-type]
        rounds.ask(b)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert a.got == b.got == [GiveMetrics(1)]
        rounds.answer(1, OwnMetrics(1, "x 2\n"))
        rounds.answer(0, OwnMetrics(1, "x 1\n"))
        await until_answered(a, b)
        answer = AllMetrics('own 1\nx{worker="0"} 1\nx{worker="1"} 2\n')
        assert a.got[1:] == b.got[1:] == [answer]
        rounds.ask(a)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert b.got[-1] == GiveMetrics(2)
        await rounds.close()

    asyncio.run(main())


def test_who_does_not_answer_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("streamtts.server.rounds.ROUND_S", 0.02)

    async def main() -> None:
        rounds, (a, b) = make(2)
        rounds.ask(a)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        rounds.answer(0, OwnMetrics(1, "x 1\n"))
        await until_answered(a)
        assert a.got[-1] == AllMetrics('own 1\nx{worker="0"} 1\n')
        rounds.ask(a)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        rounds.answer(1, OwnMetrics(1, "too late 1\n"))  # of the round before
        rounds.answer(0, OwnMetrics(2, "x 3\n"))
        await until_answered(a)
        assert a.got[-1] == AllMetrics('own 1\nx{worker="0"} 3\n')
        assert b.got == [GiveMetrics(1), GiveMetrics(2)]

    asyncio.run(main())
    assert [r.getMessage() for r in caplog.records] == [
        "metrics are incomplete: only workers=0 have answered"
    ] * 2
