"""What comes from the broker, read and handed on: requests, text, and what must not wait."""

from __future__ import annotations

import logging

from streamtts import events
from streamtts.errors import BadField, RequestError
from streamtts.mqtt import requests, topics
from streamtts.mqtt.actions import Request
from streamtts.mqtt.backend import Backend
from streamtts.mqtt.broker import Inbound
from streamtts.mqtt.desk import Desk
from streamtts.mqtt.fleet import Fleet
from streamtts.mqtt.hermes import Hermes
from streamtts.mqtt.native import Publish
from streamtts.mqtt.topics import Topics
from streamtts.protocol import hermes
from streamtts.protocol.codec import shown

logger = logging.getLogger(__name__)


class Reception:
    """Reads messages; what is wrong with one is told to its device, or to the log.

    Args:
        topics_: below the prefix.
        backend: whose voices and limits count.
        desk: takes what is right.
        fleet: hears of other bridges.
        hermes_: reads Rhasspy's requests.
        publish: for answers that belong to no request.
    """

    def __init__(
        self,
        topics_: Topics,
        backend: Backend,
        desk: Desk,
        fleet: Fleet,
        hermes_: Hermes,
        publish: Publish,
    ) -> None:
        self._topics = topics_
        self._backend = backend
        self._desk = desk
        self._fleet = fleet
        self._hermes = hermes_
        self._publish = publish

    # --- requests

    def on_request(self, session: str, inbound: Inbound) -> None:
        """A message that came through a session for requests."""
        if inbound.retained:
            logger.warning("a retained request is ignored: %s", shown(inbound.topic))
            inbound.ack()
            return
        if inbound.topic == hermes.SAY:
            request = self._hermes.request(
                inbound,
                session,
                voices=self._backend.voices,
                max_chars=self._backend.max_chars,
            )
        else:
            request = self._read_say(session, inbound)
        if request is not None:
            self._desk.offer(request)

    def _read_say(self, session: str, inbound: Inbound) -> Request | None:
        place = self._topics.read(inbound.topic)
        if place is None or place.verb != topics.SAY or place.id is not None:
            inbound.ack()
            return None
        request = Request(
            site=place.site,
            id="",
            text="",
            settings={},
            receipt=inbound,
            session=session,
            correlation=inbound.correlation,
        )
        try:
            self._topics.check_site(place.site)
            fields = requests.read_object(inbound.payload)
            request.id = requests.known_id(fields) or ""
            request.event_topic = self._topics.event(place.site, request.id)
            if inbound.response_topic is not None:
                response = self._topics.check_response(place.site, inbound.response_topic)
                request.event_topic = response
            say = requests.read_say(fields, self._backend.max_chars)
            request.settings = requests.settings(say)
            request.text, request.stream = say.text, say.stream
            request.priority = say.priority
        except RequestError as error:
            self._refuse(request, error)
            return None
        return request

    def _refuse(self, request: Request, error: RequestError) -> None:
        """Something is wrong with a request: a line in the log, and an event if it has an id."""
        assert request.receipt is not None
        request.receipt.ack()
        if request.event_topic and (request.id or not request.event_topic.endswith("/")):
            failed = events.Failed(error.code, str(error), error.retry_after_ms, final=True)
            self._desk.tell(request, failed)
        else:
            logger.warning("refused site=%s: %s: %s", shown(request.site), error.code, error)

    # --- control

    def on_control(self, inbound: Inbound) -> None:
        """A message of the session that never waits behind requests."""
        try:
            self._control_message(inbound)
        except RequestError as error:
            logger.warning("ignored %s: %s: %s", shown(inbound.topic), error.code, error)
        finally:
            inbound.ack()

    def _control_message(self, inbound: Inbound) -> None:
        if inbound.topic == hermes.GET_VOICES:
            asked = hermes.read_get_voices(inbound.payload)
            answer = hermes.voices(asked, self._backend.voices)
            self._publish(hermes.VOICES, answer, qos=1)
            return
        finished = hermes.read_finished(inbound.topic, inbound.payload)
        if finished is not None:
            self._desk.finished(finished.site_id, finished.id)
            return
        place = self._topics.read(inbound.topic)
        if place is None:
            return
        if place.site == topics.STATUS:
            self._fleet.heard(place.verb, inbound.payload)
        elif inbound.retained:  # it would come with every reconnect
            logger.warning("a retained message is ignored: %s", shown(inbound.topic))
        elif place.verb == topics.TEXT and place.id is not None:
            self._on_text(place.site, place.id, inbound.payload)
        else:
            self._on_device(self._topics.check_site(place.site), place.verb, inbound.payload)

    def _on_device(self, site: str, verb: str, payload: bytes) -> None:
        fields = requests.read_object(payload)
        if verb == topics.CANCEL:
            cancel = requests.convert(fields, requests.Cancel)
            self._desk.cancel(site, cancel.id, cancel.played_samples)
        elif verb == topics.PLAYBACK:
            report = requests.convert(fields, requests.Playback)
            buffer_s = None if report.buffer_ms is None else report.buffer_ms / 1000
            self._desk.playback(site, report.id, report.played_samples, buffer_s)

    def _on_text(self, site: str, id_: str, payload: bytes) -> None:
        request = self._desk.taking(site, id_)
        if request is None:
            return  # on its way when the request ended
        try:
            delta = requests.convert(requests.read_object(payload), requests.Delta)
            if delta.delta is None and delta.flush is None and delta.end is None:
                raise BadField("text wants one of delta, flush, end")
        except RequestError as error:
            failed = events.Failed(error.code, str(error), error.retry_after_ms, final=False)
            self._desk.tell(request, failed)
            return
        self._desk.text(request, delta)
