"""A loudspeaker: what it does with each message, and what it tells. No IO, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from speaker_buffer import Buffer, told_ms
from speaker_wire import (
    AUDIO,
    STATUS,
    Event,
    Publication,
    Topics,
    read_chunk,
    read_event,
    read_status,
)

from streamtts.audio.formats import from_bytes
from streamtts.errors import BadField
from streamtts.protocol.frames import FIRST, LAST

if TYPE_CHECKING:
    from speaker_output import Output, Outputs

    from streamtts.protocol.parts import AudioInfo, Item

REPORT_S = 0.25
STRAGGLER_S = 1.0  # that sound may come after the event that says that it is over
_EARLY = 32  # chunks of a request that came before its `accepted`


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a request was played."""

    id: str
    end: str
    seconds: float
    underruns: int
    dry_ms: float
    peak_ms: float
    buffer_ms: int
    lowest_ms: float | None
    burst_ms: float
    lost_ms: float
    dropped_ms: float
    starved_ms: float

    def json(self) -> str:
        """The same for programs."""
        return msgspec.json.encode(self).decode()

    def line(self) -> str:
        """The same for people."""
        lowest = "" if self.lowest_ms is None else f", never below {self.lowest_ms:.0f}"
        parts = [
            f"{self.id}: {self.end}, {self.seconds:.2f} s of sound, {self.underruns} underruns",
            f"at most {self.peak_ms:.0f} of {self.buffer_ms} ms held{lowest}",
            f"largest burst {self.burst_ms:.0f} ms",
        ]
        for what, ms in (
            ("dry for", self.dry_ms),
            ("lost", self.lost_ms),
            ("no room for", self.dropped_ms),
            ("the text was late by", self.starved_ms),
        ):
            parts += [f"{what} {ms:.0f} ms"] if ms else []
        return "; ".join(parts)


@dataclass(eq=False, slots=True)
class Utterance:
    """A request that this loudspeaker plays."""

    id: str
    handle: int
    audio: AudioInfo
    buffer: Buffer
    output: Output
    end: str = "over"
    over_s: float | None = None  # when its last event came
    starved_ms: float = 0.0
    reported_s: float = -1.0
    began: bool = False
    words: dict[int, Item] = field(default_factory=dict)

    @property
    def played(self) -> int:
        """Samples that were heard."""
        return max(0, self.buffer.position - self.output.held)

    def heard(self, text: str, samples: int) -> str:
        """The text up to the last word that had been spoken to its end by then."""
        words = self.words.values()
        spoken = [w.char_end for w in words if isinstance(w.end, int) and w.end <= samples]
        return text[: max(spoken, default=0)]


class Loudspeaker:
    """Plays what is sent to one site.

    Args:
        topics: of the site.
        buffer_ms: room for sound.
        outputs: where it goes.
        on_event: told of every event, after it was done.
        on_over: told how a request was played, when it is over.
        note: told what is odd.

    Attributes:
        servers: that are online.
    """

    def __init__(
        self,
        topics: Topics,
        buffer_ms: int,
        outputs: Outputs,
        on_event: Callable[[Event], None],
        on_over: Callable[[Report], None],
        note: Callable[[str], None],
    ) -> None:
        self.servers: set[str] = set()
        self.buffer_ms = buffer_ms
        self._topics = topics
        self._outputs = outputs
        self._on_event = on_event
        self._on_over = on_over
        self._note = note
        self._utterances: deque[Utterance] = deque()
        self._early: tuple[str, list[bytes]] = ("", [])

    @property
    def told_ms(self) -> int:
        """What the server may send ahead."""
        return told_ms(self.buffer_ms)

    @property
    def playing(self) -> Utterance | None:
        """What is heard now, or will be next."""
        return self._utterances[0] if self._utterances else None

    @property
    def held_ms(self) -> float:
        """Sound that waits to be heard, in the buffers and on its way through the sound card."""
        held_ms = sum(1000 * u.buffer.held / u.buffer.rate for u in self._utterances)
        playing = self.playing
        if playing is not None:
            held_ms += 1000 * playing.output.held / playing.buffer.rate
        return held_ms

    def find(self, id_: str) -> Utterance | None:
        """The request of that id, until it is over."""
        return next((u for u in self._utterances if u.id == id_), None)

    def message(self, topic: str, payload: bytes, now_s: float) -> list[Publication]:
        """Takes a message, and tells what to answer."""
        what = self._topics.read(topic)
        try:
            if what is None:
                return []
            kind, name = what
            if kind == STATUS:
                return self._status(name, payload)
            if kind == AUDIO:
                return self._chunk(name, payload, now_s)
            self._event(read_event(payload), now_s)
        except BadField as error:
            self._note(f"ignored a message of {topic}: {error}")
        return []

    def tick(self, now_s: float) -> list[Publication]:
        """Plays what is due; call it every few milliseconds."""
        reports: list[Publication] = []
        while (one := self.playing) is not None:
            buffer = one.buffer
            if buffer.started and not one.began:
                one.began = True
                one.output.start(now_s)
            if one.began:
                wanted = one.output.room(now_s)
                sound = buffer.take(wanted)
                one.output.write(sound)
                if len(sound) < wanted and one.output.silent:
                    buffer.ran_dry(now_s)
                if buffer.held and now_s - one.reported_s >= REPORT_S:
                    reports.append(self._report(one, now_s))
            if not self._is_over(one, now_s):
                break
            self._utterances.popleft()
            self._on_over(self._summary(one))
        return reports

    def played_s(self, id_: str) -> float:
        """Seconds of the sound of a request that were heard; 0 when none came, or it is over."""
        one = self.find(id_)
        return 0.0 if one is None else one.played / one.buffer.rate

    def silence(self, id_: str) -> int:
        """Falls silent; tells how many samples of that request will have been heard."""
        one = self.find(id_)
        if one is None:
            return 0
        one.end = "cancelled"
        return one.buffer.silence()

    # --- inside

    def _status(self, server: str, payload: bytes) -> list[Publication]:
        if not payload or read_status(payload) != "online":
            self.servers.discard(server)
            return []
        self.servers.add(server)
        return [self._topics.buffer(self.told_ms)]

    def _chunk(self, id_: str, payload: bytes, now_s: float) -> list[Publication]:
        one = self.find(id_)
        if one is None:  # QoS 0 may overtake the event of QoS 1 that tells what it is
            if self._early[0] != id_ and read_chunk(payload)[0].flags & FIRST:
                self._early = (id_, [])
            if self._early[0] == id_ and len(self._early[1]) < _EARLY:
                self._early[1].append(payload)
            return []
        header, sound = read_chunk(payload)
        if header.handle != one.handle:
            return []
        reports = self.tick(now_s)  # what has been played makes room
        elsewhere_ms = self.held_ms - 1000 * one.buffer.held / one.buffer.rate
        samples = from_bytes(sound, one.audio.encoding)
        elsewhere = round(elsewhere_ms * one.buffer.rate / 1000)
        one.buffer.put(header.first_sample, samples, now_s, elsewhere)
        one.buffer.last = one.buffer.last or bool(header.flags & LAST)
        return reports + self.tick(now_s)

    def _event(self, event: Event, now_s: float) -> None:
        one = self.find(event.id)
        if event.type == "accepted" and event.audio is not None and one is None:
            self._accepted(event, event.audio, now_s)
        elif one is not None:
            one.words.update((item.index, item) for item in event.items)
            if event.is_last:
                one.over_s = now_s
                one.starved_ms = event.metrics.starved_ms if event.metrics else 0.0
                one.end = event.reason if event.type == "cancelled" else event.type
                if event.type == "cancelled":
                    one.buffer.silence()
        self._on_event(event)

    def _accepted(self, event: Event, audio: AudioInfo, now_s: float) -> None:
        rate = audio.sample_rate
        if not 8000 <= rate <= 48000 or audio.channels != 1:
            raise BadField(f"sound of {rate} Hz and {audio.channels} channels cannot be played")
        from_bytes(b"", audio.encoding)
        buffer, output = Buffer(rate, self.buffer_ms), self._outputs.at(rate)
        self._utterances.append(Utterance(event.id, event.handle, audio, buffer, output))
        name, early = self._early
        self._early = ("", [])
        for payload in early if name == event.id else ():
            self._chunk(name, payload, now_s)

    def _report(self, one: Utterance, now_s: float) -> Publication:
        one.reported_s = now_s
        return self._topics.playback(one.id, one.played, self.told_ms)

    def _is_over(self, one: Utterance, now_s: float) -> bool:
        if len(self._utterances) > 1 and not one.buffer.held:
            return True  # the next one has begun: whatever is missing here was lost
        if one.over_s is None or one.buffer.held or not one.output.silent:
            return False
        return one.buffer.last or not one.began or now_s - one.over_s > STRAGGLER_S

    def _summary(self, one: Utterance) -> Report:
        buffer = one.buffer

        def ms(samples: int) -> float:
            return round(1000 * samples / buffer.rate, 1)

        return Report(
            id=one.id,
            end=one.end,
            seconds=round(buffer.position / buffer.rate, 3),
            underruns=buffer.underruns,
            dry_ms=round(buffer.dry_s * 1000, 1),
            peak_ms=ms(buffer.peak),
            buffer_ms=self.buffer_ms,
            lowest_ms=None if buffer.lowest is None else ms(buffer.lowest),
            burst_ms=ms(buffer.burst),
            lost_ms=ms(buffer.lost),
            dropped_ms=ms(buffer.dropped),
            starved_ms=round(one.starved_ms, 1),
        )
