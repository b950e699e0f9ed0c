"""All loudspeakers of a bridge: who may speak, what was said already. No IO, no clock."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from streamtts import events
from streamtts.errors import BadField, Overloaded
from streamtts.mqtt.actions import Accept, Action, Over, Request, Settle, Tell
from streamtts.mqtt.site import Site
from streamtts.mqtt.turn import unspoken

REMEMBER_S = 600.0  # how long an id is the same request
REMEMBERED = 4096
CANCEL_S = 30.0  # how long a cancel waits for a request that it has overtaken
_FULL_RETRY_MS = 2000

_K = TypeVar("_K")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLimits:
    """Bounds.

    Attributes:
        sites: loudspeakers that are busy at a time.
        queue: requests that wait for one loudspeaker.
        in_flight: unacknowledged requests that the broker hands out.
        buffer_s: what a device can hold that has not told it.
    """

    sites: int
    queue: int
    in_flight: int
    buffer_s: float


class Sites:
    """The queues of all loudspeakers. Every method tells what is to be done now."""

    def __init__(self, limits: SiteLimits) -> None:
        self._limits = limits
        self._sites: OrderedDict[str, Site] = OrderedDict()
        self._spoken: OrderedDict[tuple[str, str, bytes | None], float] = OrderedDict()
        self._cancelled: OrderedDict[tuple[str, str], float] = OrderedDict()
        self.online = True

    @property
    def idle(self) -> bool:
        """Nothing is spoken and nobody waits."""
        return all(site.idle for site in self._sites.values())

    @property
    def busy(self) -> bool:
        """A request has had its slot and is not over."""
        return any(site.busy for site in self._sites.values())

    @property
    def waiting(self) -> int:
        """Requests that are not acknowledged yet."""
        return sum(site.waiting for site in self._sites.values())

    @property
    def largest_s(self) -> float:
        """The most sound that any device ever held."""
        return max((site.largest_s for site in self._sites.values()), default=0.0)

    def holds(self, session: str) -> bool:
        """Whether something that came through a session has not begun."""
        return any(site.holds(session) for site in self._sites.values())

    def offer(self, request: Request, now_s: float) -> list[Action]:
        """Takes a request, drops it as a duplicate, or refuses it."""
        key = (request.site, request.id, request.correlation)
        site = self._site(request.site)
        if site is None:
            return _refuse(request, Overloaded("too many sites are busy", retry_after_ms=2000))
        alive = site.find(request.id)
        if alive is not None:
            return self._again(alive, request)
        if _known(self._spoken, key, now_s - REMEMBER_S):
            request.settled = True
            return [Settle(request)]
        if _known(self._cancelled, (request.site, request.id), now_s - CANCEL_S):
            del self._cancelled[request.site, request.id]
            return [*unspoken(request, "cancel"), Over(request)]
        full = self._why_full(site)
        if full:
            return _refuse(request, Overloaded(full, retry_after_ms=_FULL_RETRY_MS))
        return self._noted(site.cut_in(request, now_s), now_s)

    def cancel(self, name: str, id_: str, played_samples: int | None, now_s: float) -> list[Action]:
        """A device wants silence; a request that this has overtaken will not be spoken."""
        site = self._sites.get(name)
        if id_ != "*" and (site is None or site.find(id_) is None):
            _note(self._cancelled, (name, id_), now_s)
        return self._noted(site.cancel(id_, played_samples, now_s), now_s) if site else []

    def cancel_all(self, reason: str, now_s: float) -> list[Action]:
        """Stops what is being spoken everywhere; what has not begun stays."""
        actions: list[Action] = []
        for site in self._sites.values():
            if site.busy:
                actions += site.cancel_turn(now_s, reason)
        return self._noted(actions, now_s)

    def playback(
        self,
        name: str,
        id_: str | None,
        played_samples: int | None,
        buffer_s: float | None,
        now_s: float,
    ) -> list[Action]:
        """A device says how far it is, and what it can hold from now on."""
        site = self._site(name) if buffer_s is not None else self._sites.get(name)
        return site.playback(id_, played_samples, buffer_s, now_s) if site else []

    def finished(self, name: str, id_: str, now_s: float) -> list[Action]:
        """A device has played all of a request that it was awaited for."""
        site = self._sites.get(name)
        return self._noted(site.finished(id_), now_s) if site else []

    def event(self, request: Request, event: events.Event, now_s: float) -> list[Action]:
        """Something happened in the context of a request."""
        site = self._sites.get(request.site)
        return self._noted(site.event(request, event, now_s), now_s) if site else []

    def withdraw(self, session: str, now_s: float) -> list[Action]:
        """Forgets what has not begun and came through a session that is gone."""
        actions: list[Action] = []
        for site in tuple(self._sites.values()):
            actions += site.withdraw(session)
        return self._noted(actions, now_s)

    def set_online(self, online: bool) -> tuple[str, ...]:
        """The broker can be reached, or cannot; tells which sites to `tick`."""
        self.online = online
        for site in self._sites.values():
            site.online = online
        return tuple(self._sites)

    def tick(self, name: str, now_s: float) -> list[Action]:
        """Does what has become due at a site."""
        site = self._sites.get(name)
        return self._noted(site.tick(now_s), now_s) if site else []

    def wake_s(self, name: str, now_s: float) -> float | None:
        """When to call `tick` for a site next; None: when something happens there."""
        site = self._sites.get(name)
        return site.wake_s(now_s) if site else None

    # --- inside

    def _site(self, name: str) -> Site | None:
        """The site of that name; the one that was idle longest makes room for a new one."""
        site = self._sites.get(name)
        if site is None:
            if len(self._sites) >= self._limits.sites:
                idle = next((n for n, other in self._sites.items() if other.idle), None)
                if idle is None:
                    return None
                del self._sites[idle]
            site = self._sites[name] = Site(self._limits.buffer_s, online=self.online)
        self._sites.move_to_end(name)
        return site

    def _again(self, alive: Request, request: Request) -> list[Action]:
        """An id that is alive: the same request once more, or another one of the same name."""
        if alive.correlation != request.correlation:
            return _refuse(request, BadField(f"id: {request.id!r} is in use"))
        if alive.settled:
            request.settled = True
            return [Settle(request)]
        alive.receipt, alive.session = request.receipt, request.session
        return []

    def _why_full(self, site: Site) -> str:
        if site.idle:
            return ""
        if site.waiting >= self._limits.queue:
            return f"{site.waiting} requests wait for this site"
        if self.waiting >= self._limits.in_flight - 1:  # the last place is for who need not wait
            return f"{self.waiting} requests wait"
        return ""

    def _noted(self, actions: list[Action], now_s: float) -> list[Action]:
        for action in actions:
            if isinstance(action, Accept | Over) and action.request.settled:
                request = action.request
                _note(self._spoken, (request.site, request.id, request.correlation), now_s)
        return actions


def _refuse(request: Request, error: BadField | Overloaded) -> list[Action]:
    request.settled = True
    failed = events.Failed(error.code, str(error), error.retry_after_ms, final=True)
    return [Settle(request), Tell(request, failed), Over(request)]


def _note(book: OrderedDict[_K, float], key: _K, now_s: float) -> None:
    book[key] = now_s
    book.move_to_end(key)
    if len(book) > REMEMBERED:
        book.popitem(last=False)


def _known(book: OrderedDict[_K, float], key: _K, since_s: float) -> bool:
    return book.get(key, since_s) > since_s
