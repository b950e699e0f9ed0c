"""A bridge between a broker and whoever speaks: two sessions, one desk."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from streamtts.config import MqttConfig
from streamtts.mqtt.actions import Delivery, Request
from streamtts.mqtt.adapter import Session
from streamtts.mqtt.backend import Backend
from streamtts.mqtt.broker import Broker, Inbound, Will
from streamtts.mqtt.desk import Desk
from streamtts.mqtt.fleet import Fleet
from streamtts.mqtt.hermes import Hermes
from streamtts.mqtt.native import Dialect, Native
from streamtts.mqtt.reception import Reception
from streamtts.mqtt.sites import SiteLimits, Sites
from streamtts.mqtt.topics import SHARE, Topics
from streamtts.protocol import hermes

CONTROL_RECEIVE_MAXIMUM = 200
OFFLINE_S = 30.0  # how long an utterance waits for a broker that is gone
GOODBYE_S = 2.0
ONLINE, DRAINING, OFFLINE = "online", "draining", "offline"

logger = logging.getLogger(__name__)


class Bridge:
    """Speaks for the devices of one broker.

    Args:
        config: `[mqtt]`.
        broker: where, with the password.
        backend: speaks.
        server_id: its name in topics; unique on the broker.

    Attributes:
        tasks: running.
    """

    def __init__(
        self, config: MqttConfig, broker: Broker, backend: Backend, server_id: str
    ) -> None:
        self._config = config
        self._broker = broker
        self._backend = backend
        self._topics = Topics(config.prefix)
        self._server_id = server_id
        self._state = OFFLINE
        self._known = False
        self.tasks: set[asyncio.Task[None]] = set()
        self._offline: asyncio.TimerHandle | None = None
        loop = asyncio.get_running_loop()
        self._control = Session(
            broker,
            f"{config.prefix}-{server_id}-control".replace("/", "-"),
            receive_maximum=CONTROL_RECEIVE_MAXIMUM,
            on_message=self._on_control,
            on_up=self._on_up,
            on_ready=self.tell_state,
            on_down=self._on_down,
            will=Will(self._topics.status(server_id), _status(OFFLINE)),
            fresh=True,
        )
        self._requests = Session(
            broker,
            self._requests_of(server_id),
            receive_maximum=config.in_flight,
            on_message=functools.partial(self._on_request, self._requests_of(server_id)),
            on_up=self._on_requests_up,
            on_ready=self.tell_state,
        )
        self._native = Native(self._control.publish, self._topics, server_id)
        self._hermes = Hermes(self._control.publish, config.hermes_streaming_sites)
        limits = SiteLimits(
            sites=config.sites,
            queue=config.site_queue,
            in_flight=config.in_flight,
            buffer_s=config.buffer_ms / 1000,
        )
        self._desk = Desk(Sites(limits), backend, self._dialect_of, self._listen, loop.time)
        self._fleet = Fleet(server_id, self._inherit, loop.time)
        self._reception = Reception(
            self._topics, backend, self._desk, self._fleet, self._hermes, self._control.publish
        )

    @property
    def sites(self) -> Sites:
        """Who speaks and who waits."""
        return self._desk.sites

    @property
    def connected(self) -> bool:
        """Both sessions are up, and the broker knows what we want."""
        return self._control.ready and self._requests.ready

    async def start(self) -> None:
        """Begins to connect, and returns; the broker may be away."""
        self._state = ONLINE
        shared = self._config.fleet
        for topic_filter in self._topics.control_filters():
            self._control.subscribe(topic_filter)
        self._requests.subscribe(self._topics.say_filter(shared=shared))
        if self._config.hermes:
            share = SHARE if shared else ""
            self._requests.subscribe(share + hermes.SAY)
            self._control.subscribe(share + hermes.GET_VOICES)
            self._control.subscribe(hermes.PLAY_FINISHED)
            self._control.subscribe(hermes.STREAM_FINISHED)
        if shared:
            self._control.subscribe(self._topics.status_filter())
            self._run(self._fleet.run(), "mqtt fleet")
        self._desk.set_online(False)
        self._run(self._control.run(), "mqtt control")
        self._run(self._requests.run(), "mqtt requests")

    async def drain(self, timeout_s: float) -> bool:
        """Takes nothing new and lets what is being said be said; whether all of it was.

        What has not begun stays with the broker: for the next start, or for another bridge.
        """
        self._state = DRAINING
        self.tell_state()
        await self._stop("mqtt fleet", "mqtt requests", "mqtt heir")
        self._desk.withdraw(self._requests.identifier)
        try:
            async with asyncio.timeout(timeout_s):
                while self.sites.busy:
                    self._desk.changed.clear()
                    await self._desk.changed.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Stops what is being said, says good-bye and disconnects."""
        if self._state is not DRAINING:
            await self.drain(0.0)
        if self.sites.busy:
            self._desk.cancel_all(OFFLINE)
            await self.drain(GOODBYE_S)
        self._state = OFFLINE
        self.tell_state()
        if self._control.connected:
            await self._control.flushed(GOODBYE_S)
        await self._stop("mqtt")
        self._desk.close()
        if self._offline is not None:
            self._offline.cancel()
        await self._backend.close()

    def tell_state(self) -> None:
        """Publishes the retained state: after connecting, and when the voices change."""
        if self._control.connected and (self.connected or self._state is not ONLINE):
            voices = [voice.id for voice in self._backend.voices]
            payload = _status(self._state, voices, self._backend.slots)
            topic = self._topics.status(self._server_id)
            self._control.publish(topic, payload, qos=1, retain=True)

    # --- sessions

    def _requests_of(self, server_id: str) -> str:
        return f"{self._config.prefix}-{server_id}-requests".replace("/", "-")

    def _on_up(self, known: bool) -> None:
        if self._offline is not None:
            self._offline.cancel()
        self._desk.set_online(True)

    def _on_down(self) -> None:
        self._desk.set_online(False)
        loop = asyncio.get_running_loop()
        if self._offline is not None:
            self._offline.cancel()
        self._offline = loop.call_later(OFFLINE_S, self._desk.cancel_all, OFFLINE)

    def _on_requests_up(self, known: bool) -> None:
        if not known and self._known and self._config.fleet:
            logger.warning("the broker has given our unbegun requests to others, or lost them")
            self._desk.withdraw(self._requests.identifier)
        self._known = True

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("%s failed", task.get_name(), exc_info=task.exception())

    async def _stop(self, *names: str) -> None:
        mine = asyncio.current_task()
        tasks = [t for t in self.tasks if t.get_name().startswith(names) and t is not mine]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # --- the fleet

    async def _inherit(self, server_id: str, still: Callable[[], bool]) -> None:
        """Takes over the requests that a bridge that has died had not begun."""
        name = self._requests_of(server_id)
        heard = asyncio.Event()

        def on_message(inbound: Inbound) -> None:
            heard.set()
            self._on_request(name, inbound)

        def on_up(known: bool) -> None:
            session.unsubscribe(self._topics.say_filter(shared=True))
            session.unsubscribe(SHARE + hermes.SAY)

        session = Session(
            self._broker,
            name,
            receive_maximum=self._config.in_flight,
            on_message=on_message,
            on_up=on_up,
            lasting=False,
        )
        task = self._run(session.run(), f"mqtt heir of {server_id}")
        try:
            await self._fleet.last(session, heard, lambda: self.sites.holds(name), still, task)
        finally:
            self._desk.withdraw(name)
            await self._stop(task.get_name())

    # --- for the sessions and the desk

    def _on_request(self, session: str, inbound: Inbound) -> None:
        self._reception.on_request(session, inbound)

    def _on_control(self, inbound: Inbound) -> None:
        self._reception.on_control(inbound)

    def _dialect_of(self, request: Request) -> Dialect:
        return self._native if request.delivery is Delivery.PACED else self._hermes

    def _listen(self, request: Request, begin: bool) -> None:
        topic = self._topics.text(request.site, request.id)
        if begin:
            self._control.subscribe(topic)
        else:
            self._control.unsubscribe(topic)


def _status(state: str, voices: list[str] | None = None, slots: int = 0) -> bytes:
    return msgspec.json.encode({"state": state, "voices": voices or [], "slots": slots})
