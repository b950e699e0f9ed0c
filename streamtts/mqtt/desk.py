"""Carries out what the sites say: contexts, acknowledgements, sound and events, on the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from streamtts import events
from streamtts.mqtt.actions import (
    Accept,
    Action,
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
from streamtts.mqtt.backend import Backend, Speech
from streamtts.mqtt.native import Dialect
from streamtts.mqtt.requests import Delta
from streamtts.mqtt.sites import Sites

LEAD_MS = 1000  # of sound that waits here, so that a device with a small buffer never runs dry

logger = logging.getLogger(__name__)


class Desk:
    """One engine behind many loudspeakers.

    Args:
        sites: decide.
        backend: speaks.
        dialect_of: how the device of a request is answered.
        listen: called with a request that takes text from now on, and False when no more.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        sites: Sites,
        backend: Backend,
        dialect_of: Callable[[Request], Dialect],
        listen: Callable[[Request, bool], None],
        clock: Callable[[], float],
    ) -> None:
        self.sites = sites
        self._backend = backend
        self._dialect_of = dialect_of
        self._listen = listen
        self._clock = clock
        self._speeches: dict[Request, Speech] = {}
        self._taking: dict[tuple[str, str], Request] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.changed = asyncio.Event()

    def offer(self, request: Request) -> None:
        """A device wants something spoken."""
        self._do(request.site, self.sites.offer(request, self._clock()))

    def cancel(self, site: str, id_: str, played_samples: int | None) -> None:
        """A device wants silence."""
        self._do(site, self.sites.cancel(site, id_, played_samples, self._clock()))

    def playback(
        self, site: str, id_: str | None, played_samples: int | None, buffer_s: float | None
    ) -> None:
        """A device says how far it is."""
        now_s = self._clock()
        self._do(site, self.sites.playback(site, id_, played_samples, buffer_s, now_s))

    def finished(self, site: str, id_: str) -> None:
        """A device has played what it was awaited for."""
        self._do(site, self.sites.finished(site, id_, self._clock()))

    def taking(self, site: str, id_: str) -> Request | None:
        """The request of that name that takes text."""
        return self._taking.get((site, id_))

    def text(self, request: Request, delta: Delta) -> None:
        """Text for a request that takes it."""
        speech = self._speeches.get(request)
        if speech is None:
            return
        if delta.delta:
            request.deltas.append(delta.delta)
            speech.feed(delta.delta)
        if delta.flush or delta.flush == "":
            speech.flush(delta.flush if isinstance(delta.flush, str) else None)
        if delta.end:
            speech.end()

    def tell(self, request: Request, event: events.Event) -> None:
        """Tells a device of something that is no event of a context."""
        self._perform([Tell(request, event)])

    def set_online(self, online: bool) -> None:
        """The broker can be reached, or cannot."""
        for site in self.sites.set_online(online):
            self._tick(site)

    def withdraw(self, session: str) -> None:
        """Forgets what has not begun and came through a session that is gone."""
        self._perform(self.sites.withdraw(session, self._clock()))

    def cancel_all(self, reason: str) -> None:
        """Stops what is being spoken."""
        self._perform(self.sites.cancel_all(reason, self._clock()))

    def close(self) -> None:
        """No more timers; contexts that are still alive are cancelled."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for speech in self._speeches.values():
            speech.cancel()
        self._speeches.clear()

    # --- inside

    def _do(self, site: str, actions: Iterable[Action]) -> None:
        self._perform(actions)
        self._schedule(site)

    def _schedule(self, site: str) -> None:
        now_s = self._clock()
        wake_s = self.sites.wake_s(site, now_s)
        timer = self._timers.pop(site, None)
        if timer is not None:
            timer.cancel()
        if wake_s is not None:
            loop = asyncio.get_running_loop()
            self._timers[site] = loop.call_later(max(0.0, wake_s - now_s), self._tick, site)

    def _tick(self, site: str) -> None:
        self._timers.pop(site, None)
        self._do(site, self.sites.tick(site, self._clock()))

    def _perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            request = action.request
            match action:
                case Open():
                    self._open(request)
                case Accept():
                    if request.stream:
                        self._taking[request.site, request.id] = request
                        self._listen(request, True)
                    self._dialect_of(request).accepted(request, action.audio)
                case Settle():
                    if request.receipt is not None:
                        request.receipt.ack()
                case Send():
                    self._dialect_of(request).send(request, action.chunk)
                case Tell():
                    self._log(request, action.event, action.reason)
                    self._dialect_of(request).tell(request, action.event, action.reason)
                case Over():
                    self._over(request)
                case Speak() | Stop() | Drop() | Played():
                    self._pass_on(action)

    def _pass_on(self, action: Speak | Stop | Drop | Played) -> None:
        speech = self._speeches.get(action.request)
        if speech is None:
            return
        match action:
            case Speak():
                speech.feed(action.request.text)
                speech.end()
            case Stop():
                speech.cancel(action.played_samples)
            case Drop():
                del self._speeches[action.request]
                speech.cancel()
            case Played():
                speech.playback(action.played_samples)

    def _open(self, request: Request) -> None:
        def on_event(event: events.Event) -> None:
            if self._speeches.get(request) is speech:
                self._on_event(request, event)

        whole = request.delivery is Delivery.WHOLE
        settings = {
            "streams": ("audio",),
            "timestamps": ("word",),
            "lead_ms": 0 if whole else LEAD_MS,
            **request.settings,
        }
        speech = self._backend.open(settings, on_event)
        self._speeches[request] = speech

    def _on_event(self, request: Request, event: events.Event) -> None:
        try:
            self._do(request.site, self.sites.event(request, event, self._clock()))
        except Exception:
            logger.exception("site=%s id=%s failed and is cancelled", request.site, request.id)
            self.cancel(request.site, request.id, None)

    def _over(self, request: Request) -> None:
        self._speeches.pop(request, None)
        key = (request.site, request.id)
        if self._taking.get(key) is request:
            del self._taking[key]
            self._listen(request, False)
        self._dialect_of(request).over(request)
        self.changed.set()

    def _log(self, request: Request, event: events.Event, reason: str) -> None:
        where = f"site={request.site!r} id={request.id!r}"
        match event:
            case events.Done():
                logger.info(
                    "spoken %s samples=%d ttfa_ms=%.0f", where, event.samples, event.ttfa_ms
                )
            case events.Cancelled():
                logger.info("cut %s reason=%s samples=%d", where, reason, event.sent_samples)
            case events.Failed():
                logger.warning("%s code=%s: %s", where, event.code, event.message)
