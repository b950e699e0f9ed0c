"""The project's own dialect on the broker: events as JSON, sound in chunks of 16 + n bytes."""

from __future__ import annotations

from typing import Protocol

from streamtts import events
from streamtts.mqtt import replies
from streamtts.mqtt.actions import Request
from streamtts.mqtt.topics import Topics
from streamtts.protocol.frames import MAX_HANDLE, pack_header

AUDIO_EXPIRY_S = 5


class Publish(Protocol):
    """Sends a message without waiting (`adapter.Session.publish`)."""

    def __call__(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        expiry_s: int | None = None,
        correlation: bytes | None = None,
    ) -> bool:
        """Returns whether it went out or will."""


class Dialect(Protocol):
    """How devices of one kind are answered."""

    def accepted(self, request: Request, audio: events.AudioInfo) -> None:
        """Its request has a slot."""

    def send(self, request: Request, chunk: events.AudioChunk) -> None:
        """A chunk of its sound."""

    def tell(self, request: Request, event: events.Event, reason: str) -> None:
        """Something happened."""

    def over(self, request: Request) -> None:
        """Nothing more comes, and it has been played."""


class Native:
    """Devices that speak `<prefix>/<site>/...`.

    Args:
        publish: on the session that never waits behind requests.
        topics: below the prefix.
        server_id: told in `accepted`.
    """

    def __init__(self, publish: Publish, topics: Topics, server_id: str) -> None:
        self._publish = publish
        self._topics = topics
        self._server_id = server_id
        self._handle = 0
        self._handles: dict[Request, tuple[int, int]] = {}

    def accepted(self, request: Request, audio: events.AudioInfo) -> None:
        """See `Dialect`."""
        self._handle = self._handle % MAX_HANDLE + 1
        self._handles[request] = (self._handle, 0)
        payload = replies.accepted(request.id, self._server_id, self._handle, audio)
        self._event(request, payload)

    def send(self, request: Request, chunk: events.AudioChunk) -> None:
        """See `Dialect`."""
        handle, seq = self._handles.get(request, (0, 0))
        self._handles[request] = (handle, seq + 1)
        header = pack_header(chunk.flags, handle, seq, chunk.first_sample)
        topic = self._topics.audio(request.site, request.id)
        self._publish(topic, header + chunk.data, expiry_s=AUDIO_EXPIRY_S)

    def tell(self, request: Request, event: events.Event, reason: str) -> None:
        """See `Dialect`."""
        payload = replies.encode(request.id, event, reason)
        if payload is not None:
            self._event(request, payload)

    def over(self, request: Request) -> None:
        """See `Dialect`."""
        self._handles.pop(request, None)

    def _event(self, request: Request, payload: bytes) -> None:
        self._publish(request.event_topic, payload, qos=1, correlation=request.correlation)
