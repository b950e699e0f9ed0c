"""Rhasspy's satellites: whole WAVs or streams of small ones, and the word that they were played."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from streamtts import events
from streamtts.errors import BadField, RequestError, TextTooLong
from streamtts.mqtt.actions import Delivery, Request
from streamtts.mqtt.broker import Inbound
from streamtts.mqtt.native import AUDIO_EXPIRY_S, Publish
from streamtts.mqtt.topics import check_name
from streamtts.protocol import hermes
from streamtts.protocol.parts import VoiceInfo

MAX_WAV_BYTES = 16_777_216
FRAME_MS = 40
_NAMED = 1000  # requests without an id of their own whose names are kept

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Playback:
    """What becomes of one `say`.

    Attributes:
        say: as it came.
        sample_rate: Hz.
        gathered: the samples of a whole WAV so far.
        size: bytes of them.
        chunks: sent.
    """

    say: hermes.Say
    sample_rate: int = 0
    gathered: list[bytes] = field(default_factory=list)
    size: int = 0
    chunks: int = 0


class Hermes:
    """Answers `hermes/tts/say`.

    Args:
        publish: on the session that never waits behind requests.
        streaming_sites: those that take `playBytesStreaming`.
    """

    def __init__(self, publish: Publish, streaming_sites: Sequence[str]) -> None:
        self._publish = publish
        self._streaming_sites = frozenset(streaming_sites)
        self._numbers = itertools.count(1)
        self._names: OrderedDict[tuple[str, int, str], str] = OrderedDict()

    def request(
        self,
        inbound: Inbound,
        session: str,
        *,
        voices: Sequence[VoiceInfo],
        max_chars: int,
    ) -> Request | None:
        """Reads a request; None when it was refused, and that was told.

        Args:
            inbound: of `hermes/tts/say`.
            session: that it came through.
            voices: to choose from by language.
            max_chars: code points that are taken at once.
        """
        say = None
        try:
            say = hermes.read_say(inbound.payload)
            check_name("siteId", say.site_id)
            if not say.text:
                raise BadField("text: is empty")
            if len(say.text) > max_chars:
                raise TextTooLong(f"text: {len(say.text)} characters are more than {max_chars}")
        except RequestError as error:
            logger.warning("refused hermes say: %s", error)
            inbound.ack()
            self._publish(hermes.ERROR, hermes.error(str(error), "say", say), qos=1)
            if say is not None:
                self._publish(hermes.SAY_FINISHED, hermes.say_finished(say), qos=1)
            return None
        streams = say.site_id in self._streaming_sites
        settings: dict[str, object] = {"audio": {"encoding": "pcm_s16le", "frame_ms": FRAME_MS}}
        voice = hermes.choose_voice(say.lang, voices)
        if voice is not None:
            settings["voice"] = voice
        return Request(
            site=say.site_id,
            id=self._name(say, inbound, session),
            text=say.text,
            settings=settings,
            receipt=inbound,
            session=session,
            delivery=Delivery.AWAITED if streams else Delivery.WHOLE,
            extra=Playback(say),
        )

    def _name(self, say: hermes.Say, inbound: Inbound, session: str) -> str:
        """Its id; one without an id gets a name that it keeps when it is delivered again."""
        try:
            return check_name("id", say.id)
        except BadField:
            digest = hashlib.sha256(inbound.payload).hexdigest()[:16]
        key = (session, inbound.number, digest)
        if not inbound.again or key not in self._names:
            self._names[key] = f"{digest}-{next(self._numbers)}"
            self._names.move_to_end(key)
            if len(self._names) > _NAMED:
                self._names.popitem(last=False)
        return self._names[key]

    # --- as a dialect

    def accepted(self, request: Request, audio: events.AudioInfo) -> None:
        """See `Dialect`."""
        _playback(request).sample_rate = audio.sample_rate

    def send(self, request: Request, chunk: events.AudioChunk) -> None:
        """See `Dialect`."""
        playback = _playback(request)
        data = hermes.scaled(chunk.data, playback.say.volume)
        if request.delivery is Delivery.WHOLE:
            if playback.size <= MAX_WAV_BYTES:
                playback.gathered.append(data)
                playback.size += len(data)
            return
        last = bool(chunk.flags & events.FLAG_LAST)
        topic = hermes.play_bytes_streaming(request.site, request.id, playback.chunks, last=last)
        playback.chunks += 1
        self._publish(topic, hermes.wav(data, playback.sample_rate), expiry_s=AUDIO_EXPIRY_S)

    def tell(self, request: Request, event: events.Event, reason: str) -> None:
        """See `Dialect`."""
        playback = _playback(request)
        if isinstance(event, events.Failed):
            self._error(playback, request, event.message)
        elif isinstance(event, events.Done) and request.delivery is Delivery.WHOLE:
            if playback.size > MAX_WAV_BYTES:
                self._error(playback, request, f"more than {MAX_WAV_BYTES} bytes of sound")
                return
            sound = hermes.wav(b"".join(playback.gathered), playback.sample_rate)
            self._publish(hermes.play_bytes(request.site, request.id), sound, qos=1)
            playback.gathered.clear()

    def over(self, request: Request) -> None:
        """See `Dialect`."""
        if request.settled:  # otherwise another bridge will speak it
            say = _playback(request).say
            self._publish(hermes.SAY_FINISHED, hermes.say_finished(say), qos=1)

    def _error(self, playback: Playback, request: Request, message: str) -> None:
        payload = hermes.error(message, request.id, playback.say)
        self._publish(hermes.ERROR, payload, qos=1)


def _playback(request: Request) -> Playback:
    playback = request.extra
    assert isinstance(playback, Playback)
    return playback
