"""The metrics of all workers, collected by the parent for the one that was asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from streamtts.server.channel import AllMetrics, GiveMetrics, OwnMetrics
from streamtts.server.door import Link
from streamtts.server.merge import merged

ROUND_S = 1.0  # a worker that takes longer is missing from the answer

logger = logging.getLogger(__name__)


class Rounds:
    """One question to every worker at a time, for all who ask meanwhile.

    Args:
        own: what the parent itself shows.
    """

    def __init__(self, own: Callable[[], str]) -> None:
        self.links: Sequence[Link] = ()
        self._own = own
        self._round = 0
        self._askers: list[Link] = []
        self._texts: dict[int, str] = {}
        self._all_here = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def ask(self, asker: Link) -> None:
        """A worker wants to know."""
        self._askers.append(asker)
        if self._task is None:
            self._task = asyncio.create_task(self._collect(), name="metrics")

    def answer(self, number: int, message: OwnMetrics) -> None:
        """A worker has said its own."""
        if message.round == self._round:
            self._texts[number] = message.text
            if len(self._texts) >= len(self._asked()):
                self._all_here.set()

    async def close(self) -> None:
        """Ends a round that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _asked(self) -> list[Link]:
        return [link for link in self.links if link.seat.report is not None]

    async def _collect(self) -> None:
        self._round += 1
        self._texts.clear()
        self._all_here.clear()
        for link in self._asked():
            link.channel.send(GiveMetrics(self._round))
        try:
            await asyncio.wait_for(self._all_here.wait(), ROUND_S)
        except TimeoutError:
            here = ",".join(map(str, self._texts))
            logger.warning("metrics are incomplete: only workers=%s have answered", here)
        answer = AllMetrics(self._own() + merged(dict(sorted(self._texts.items()))))
        askers, self._askers, self._task = self._askers, [], None
        for link in askers:
            link.channel.send(answer)
