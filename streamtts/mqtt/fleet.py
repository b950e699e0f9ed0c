"""Bridges that share their devices: who is alive, and who speaks for one that has died.

Brokers keep the unacknowledged messages of a shared subscription for the session that they were
given to, even when its client is dead. So the heir, the living bridge with the smallest name,
connects under the dead one's name, takes what is there, and lets the broker forget that session.
Should the dead one come back, the broker closes the heir's connection: one of the two has it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

from streamtts.mqtt.adapter import Session

GRACE_S = 3.0  # that a bridge may be away before it counts as dead
QUIET_S = 2.0  # without another message, an inheritance has been taken
LOOK_S = 0.5

logger = logging.getLogger(__name__)


class Fleet:
    """What one bridge knows of the others.

    Args:
        server_id: its own name.
        inherit: takes over from a dead one, as long as its second argument says so.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        server_id: str,
        inherit: Callable[[str, Callable[[], bool]], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._server_id = server_id
        self._inherit = inherit
        self._clock = clock
        self._alive: set[str] = {server_id}
        self._gone_s: dict[str, float] = {}

    def heard(self, server_id: str, payload: bytes) -> None:
        """A bridge, or the broker for it, tells its state."""
        if server_id == self._server_id:
            return
        try:
            state = json.loads(payload)["state"]
        except (ValueError, KeyError, TypeError):
            logger.warning("the status of %r says nothing", server_id[:80])
            return
        if state == "offline":
            self._alive.discard(server_id)
            self._gone_s.setdefault(server_id, self._clock())
        else:
            self._alive.add(server_id)
            self._gone_s.pop(server_id, None)

    def due(self) -> str | None:
        """A dead bridge whose requests this one has to take over now."""
        if min(self._alive) != self._server_id:
            return None
        now_s = self._clock()
        return next((n for n, at_s in self._gone_s.items() if now_s - at_s >= GRACE_S), None)

    async def run(self) -> None:
        """Looks after the others until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            name = self.due()
            if name is None:
                continue
            logger.info("taking over what %s had not begun", name)
            await self._inherit(name, lambda name=name: name in self._gone_s)  # type: ignore[misc]
            self._gone_s.pop(name, None)

    async def last(
        self,
        session: Session,
        heard: asyncio.Event,
        holds: Callable[[], bool],
        still: Callable[[], bool],
        task: asyncio.Task[None],
    ) -> None:
        """Keeps an inherited session until it is empty and everything from it has begun.

        Args:
            session: connecting.
            heard: set by each of its messages.
            holds: whether any of its requests has not begun.
            still: whether its owner is still dead.
            task: that runs it.
        """
        while not task.done() and still():
            heard.clear()
            try:
                async with asyncio.timeout(QUIET_S):
                    await heard.wait()
            except TimeoutError:
                if session.connected and not holds():
                    session.forget()
                    await asyncio.wait([task], timeout=QUIET_S)
                    return
