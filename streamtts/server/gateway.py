"""What every connection of a server shares: the service, its voices, keys, limits, metrics."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from streamtts import __version__
from streamtts.audio.encode import available_encodings
from streamtts.audio.formats import SAMPLE_RATES, resolve
from streamtts.config import Config
from streamtts.errors import BadField, UnknownVoice
from streamtts.protocol import messages, parts
from streamtts.protocol.codec import ENUMS, shown
from streamtts.server import memory
from streamtts.server.metrics import Metrics
from streamtts.server.security import Keys
from streamtts.settings import STREAMS, TEXT_FORMATS, TIMESTAMPS, ContextSettings

if TYPE_CHECKING:
    from streamtts.service import Service

CROWD = 100  # connections that have left after which their memory is given back,
CROWD_S = 2.0  # when the others of a crowd have left as well
SERVER = f"streamtts/{__version__}"


class Phase(enum.Enum):
    """Where the server is between its start and its end."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


class Peer(Protocol):
    """A connection, as far as the server as a whole deals with it.

    Attributes:
        begun: whether it has ever opened a context.
    """

    begun: bool

    @property
    def outbox(self) -> tuple[int, bool]:
        """Bytes that wait for the client, and whether they are so many that it is not served."""

    def drain(self) -> None:
        """Closes with 1001 as soon as nothing is being said."""

    def stop(self, code: int, reason: str) -> None:
        """Closes now."""

    def check_stalled(self) -> None:
        """Closes a client that has stopped reading."""


class Gateway:
    """The shared part of all connections.

    Args:
        config: the resolved configuration.
        keys: those that clients may show.
        clock: monotonic seconds.
        wall_clock: seconds since 1970.
    """

    def __init__(
        self,
        config: Config,
        keys: Keys,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self.keys = keys
        self.clock = clock
        self.wall_clock = wall_clock
        self.phase = Phase.LOADING
        self.service: Service | None = None
        self.voices: tuple[parts.VoiceInfo, ...] = ()
        self.encodings = available_encodings()
        self.metrics = Metrics()
        self.metrics.outboxes = self._outboxes
        self.all_metrics: Callable[[], Awaitable[bytes]] | None = None  # set among `workers`
        self.peers: set[Peer] = set()
        self._left = 0  # since memory was given back
        self.quiet = asyncio.Event()  # set while there is no peer
        self.quiet.set()

    def join(self, peer: Peer) -> None:
        """A connection begins."""
        self.peers.add(peer)
        self.quiet.clear()
        self.metrics.connections += 1
        self.metrics.connected += 1

    def leave(self, peer: Peer) -> None:
        """A connection is over."""
        self.peers.discard(peer)
        self.metrics.connections -= 1
        self._left += 1
        if self._left == CROWD:
            asyncio.get_running_loop().call_later(CROWD_S, self._give_back)
        if not self.peers:
            self.quiet.set()

    def serve(self, service: Service, voices: Sequence[parts.VoiceInfo]) -> None:
        """Begins to take contexts. The first voice is the one that is spoken by default."""
        self.voices = tuple(voices)
        self.service = service
        self.metrics.watch(service)
        self.phase = Phase.READY
        self.metrics.ready = True
        memory.give_back()  # what loading needed

    def drain(self) -> None:
        """Lets what is being said be said; takes nothing new."""
        self.phase = Phase.DRAINING
        self.metrics.ready = False
        if self.service is not None:
            self.service.drain()
        for peer in tuple(self.peers):
            peer.drain()

    def stop(self) -> None:
        """Closes every connection now; their contexts are cancelled."""
        for peer in tuple(self.peers):
            peer.stop(1001, "the server is going away")

    def greeting(self, session_id: str) -> messages.Ready:
        """The first message of every connection."""
        return messages.Ready(
            session_id=session_id,
            server=SERVER,
            voices=self.voices,
            audio=self.audio(),
            limits=self.limits(),
            capabilities=self.capabilities(),
        )

    def limits(self) -> parts.Limits:
        """What one connection may ask for."""
        limits = self.config.limits
        return parts.Limits(
            contexts=limits.contexts,
            chars_per_context=limits.chars_per_context,
            message_bytes=limits.message_bytes,
            idle_s=limits.idle_s,
        )

    def capabilities(self) -> parts.Capabilities:
        """What this build of the server can."""
        return parts.Capabilities(
            encodings=tuple(self.encodings),
            sample_rates=SAMPLE_RATES,
            streams=STREAMS,
            timestamps=TIMESTAMPS,
            transports=ENUMS["transport"],
            text_formats=TEXT_FORMATS,
            on_conflict=ENUMS["on_conflict"],
        )

    def audio(self) -> parts.AudioInfo:
        """The sound that a client gets that asks for nothing else."""
        audio = self.settings({}).audio
        assert audio.sample_rate is not None
        return parts.AudioInfo(
            encoding=audio.encoding, sample_rate=audio.sample_rate, frame_ms=audio.frame_ms
        )

    def settings(self, given: Mapping[str, Any]) -> ContextSettings:
        """Settings of a context, from what its client gave over what the configuration says.

        Raises:
            BadField: a value out of range, or that this build cannot do.
            UnknownVoice: there is no such voice.
        """
        default = self.config.audio
        audio = {
            "encoding": default.encoding,
            "sample_rate": default.sample_rate or None,
            "frame_ms": default.frame_ms,
        }
        asked = given.get("audio", {})
        fields: dict[str, Any] = {
            "lead_ms": default.lead_ms,
            "max_buffer_delay_ms": default.max_buffer_delay_ms,
            **given,
            "audio": {**audio, "joined": "frame_ms" not in asked, **asked},
        }
        voice = self._voice(fields.get("voice"))
        fields["voice"] = voice.id
        try:
            settings = msgspec.convert(fields, ContextSettings)
        except msgspec.ValidationError as error:  # numbers too large for their type
            raise BadField(str(error)) from None
        settings.check()
        if settings.audio.encoding not in self.encodings:
            able = ", ".join(self.encodings)
            encoding = shown(settings.audio.encoding)
            raise BadField(f"audio.encoding: {encoding} is not one of {able}")
        return msgspec.structs.replace(settings, audio=resolve(settings.audio, voice.sample_rate))

    def _give_back(self) -> None:
        self._left = 0
        memory.give_back()

    def _outboxes(self) -> list[tuple[int, bool]]:
        return [peer.outbox for peer in self.peers]

    def _voice(self, voice_id: str | None) -> parts.VoiceInfo:
        for voice in self.voices:
            if voice_id in (voice.id, None, ""):
                return voice
        known = ", ".join(voice.id for voice in self.voices)
        raise UnknownVoice(f"there is no voice {shown(voice_id)}; there is {known}")
