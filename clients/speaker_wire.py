"""What a loudspeaker and streamtts say to each other over MQTT: topics and payloads. No IO.

A site is one place with a loudspeaker. Below `PREFIX/SITE/` (`streamtts/kitchen/`):

    topic        QoS  direction  payload
    audio/ID     0    to us      a chunk of sound, see below
    event/ID     1    to us      JSON with a `type`: accepted, started, words, flushed, warning,
                                 and one of done, cancelled, error (with `final`) as the last
    say          1    from us    {"id", "text"}; or {"id", "stream": true}: the text follows
    text/ID      1    from us    {"delta"}, {"flush": true}, {"end": true}; after `accepted`
    cancel       1    from us    {"id", "played_samples"}
    playback     0    from us    {"id", "played_samples", "buffer_ms"}

and `PREFIX/status/SERVER`, retained: {"state"}, online, draining or offline.

A chunk is a header of 16 bytes, little-endian, and sound:

    bytes  field         meaning
    0      version       1; a message of another version is none of ours
    1      flags         1 first, 2 last, 4 silence in place of what cannot be spoken,
                         8 cut by a cancel and faded out
    2-3    handle        as `accepted` told it; another handle is of an older request
    4-7    seq           0, 1, 2 ...: a hole is a chunk that the network has lost
    8-15   first_sample  samples of this request in front of this chunk
    16-    sound         mono, in the encoding and at the rate that `accepted` told;
                         20 to 60 ms, at most 4096 bytes with the header; a last chunk may be empty
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from streamtts.errors import BadField
from streamtts.protocol.frames import HEADER_BYTES, Header, unpack_header
from streamtts.protocol.parts import AudioInfo, Item, Metrics, Spoken

AUDIO, EVENT, STATUS = "audio", "event", "status"
LAST_EVENTS = frozenset({"done", "cancelled"})  # and an `error` that is final


class Publication(NamedTuple):
    """A message for the broker."""

    topic: str
    payload: bytes
    qos: int


class Event(msgspec.Struct, frozen=True):
    """Every field that an event may have; `type` says which ones it has."""

    type: str
    id: str
    handle: int = 0
    audio: AudioInfo | None = None
    items: tuple[Item, ...] = ()
    samples: int = 0
    metrics: Metrics | None = None
    reason: str = ""
    spoken: Spoken | None = None
    code: str = ""
    message: str = ""
    final: bool = False

    @property
    def is_last(self) -> bool:
        """Nothing more comes of its request."""
        return self.type in LAST_EVENTS or (self.type == "error" and self.final)


class Status(msgspec.Struct, frozen=True):
    """What a server tells of itself."""

    state: str


class Topics:
    """The topics of one loudspeaker.

    Args:
        prefix: `streamtts`, unless the server's `[mqtt] prefix` is another.
        site: where the loudspeaker is.
    """

    def __init__(self, prefix: str, site: str) -> None:
        for name, level in (("--prefix", prefix.replace("/", "")), ("--site", site)):
            if not level or any(c in "/+#" or not c.isprintable() for c in level):
                raise BadField(f"{name} {level!r}: must be a name without / + # for a topic")
        if site == STATUS:
            raise BadField("--site status: is where the servers tell their state")
        self._prefix = prefix
        self._own = f"{prefix}/{site}"

    @property
    def filters(self) -> list[tuple[str, int]]:
        """What to subscribe to, each with its QoS."""
        own = self._own
        status = f"{self._prefix}/{STATUS}/+"
        return [(f"{own}/{AUDIO}/+", 0), (f"{own}/{EVENT}/+", 1), (status, 1)]

    def read(self, topic: str) -> tuple[str, str] | None:
        """What a message is (`AUDIO`, `EVENT`, `STATUS`) and of which request or server."""
        above, _, name = topic.rpartition("/")
        for kind, folder in ((AUDIO, self._own), (EVENT, self._own), (STATUS, self._prefix)):
            if above == f"{folder}/{kind}":
                return kind, name
        return None

    def say(self, id_: str, text: str | None, settings: dict[str, object]) -> Publication:
        """A request to speak; without a text this follows piece by piece."""
        what = {"stream": True} if text is None else {"text": text}
        return self._publication("say", {"id": id_, **what, **settings})

    def delta(self, id_: str, delta: str) -> Publication:
        """A piece of the text of a request."""
        return self._publication(f"text/{id_}", {"delta": delta})

    def end(self, id_: str) -> Publication:
        """No more text."""
        return self._publication(f"text/{id_}", {"end": True})

    def cancel(self, id_: str, played_samples: int) -> Publication:
        """Stop."""
        return self._publication("cancel", {"id": id_, "played_samples": played_samples})

    def buffer(self, buffer_ms: int) -> Publication:
        """How much sound this loudspeaker can hold: as soon as a server is there."""
        return self._publication("playback", {"buffer_ms": buffer_ms}, qos=0)

    def playback(self, id_: str, played_samples: int, buffer_ms: int) -> Publication:
        """How far it is: a few times a second while it plays."""
        report = {"id": id_, "played_samples": played_samples, "buffer_ms": buffer_ms}
        return self._publication("playback", report, qos=0)

    def _publication(self, verb: str, fields: dict[str, object], qos: int = 1) -> Publication:
        return Publication(f"{self._own}/{verb}", msgspec.json.encode(fields), qos)


def read_chunk(payload: bytes) -> tuple[Header, bytes]:
    """Takes a message of `audio/ID` apart.

    Raises:
        BadField: it is none of ours.
    """
    return unpack_header(payload), payload[HEADER_BYTES:]


def read_event(payload: bytes) -> Event:
    """Reads a message of `event/ID`.

    Raises:
        BadField: it is none of ours.
    """
    try:
        return msgspec.json.decode(payload, type=Event)
    except msgspec.DecodeError as error:
        raise BadField(f"not an event: {error}") from None


def read_status(payload: bytes) -> str:
    """Reads a message of `status/SERVER`.

    Raises:
        BadField: it is none of ours.
    """
    try:
        return msgspec.json.decode(payload, type=Status).state
    except msgspec.DecodeError as error:
        raise BadField(f"not a status: {error}") from None
