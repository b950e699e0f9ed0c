"""One stream of a load run: what is sent for it, and what its listener meets with."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

import load_play
import msgspec
from load_spec import StreamReport
from load_tally import Late, spread

from streamtts.audio.formats import BYTES_PER_SAMPLE
from streamtts.errors import ContextLimit, Loading, Overloaded
from streamtts.protocol.messages import Done, Error, Opened, Started, Words

if TYPE_CHECKING:
    from load_arrivals import Arrival
    from load_spec import LoadSpec
    from load_tally import Tally

REFUSALS = frozenset({Overloaded.code, Loading.code, ContextLimit.code})
_ENCODING = "pcm_s16le"

Post = Callable[[bytes], None]


class Stream:
    """One context; times are of `time.monotonic`.

    Args:
        number: in the order of the starts.
        arrival: when it is to come, and its text.
        spec: of the run.
        s_per_char: seconds of speech a character, for what is told to be starved.
        tally: of the run.

    Attributes:
        context_id: on the wire.
        due_s: when it was to come.
        given_s: when its text was given; None before.
        answered: a first sound, a refusal or a failure has come.
        spoken: the server will send no more of it.
        end_s: when its listener has heard all that has come.
    """

    def __init__(
        self, number: int, arrival: Arrival, spec: LoadSpec, s_per_char: float, tally: Tally
    ) -> None:
        self.number = number
        self.context_id = f"s{number}"
        self.pieces = arrival.pieces
        self.due_s = tally.begin_s + arrival.at_s
        self.given_s: float | None = None
        self.asked_s = self.due_s
        self.connect_ms = 0.0
        self.spoken = False
        self.done = False
        self.refused = ""
        self.refusal_ms: float | None = None
        self.error = ""
        self._spec = spec
        self._s_per_char = s_per_char
        self._tally = tally
        self._playout = load_play.Playout()
        self._bytes_per_s = 0.0
        self._sample_rate = 0
        self._last_s = -1.0
        self._gaps_ms = array("d")
        self._words: list[tuple[float, int]] = []
        self._heard = True
        self._queue_ms = 0.0
        self.audio_s = 0.0
        self.chunks = 0
        self._underruns = 0
        self._late_s = 0.0
        self._starved_s = 0.0

    @property
    def answered(self) -> bool:
        """Nobody waits for its first sound any more."""
        return self.chunks > 0 or self.spoken

    @property
    def end_s(self) -> float:
        """When all that has come will have been heard."""
        return self._playout.end_s

    # -- what is sent

    def give(self, now_s: float, post: Post) -> None:
        """Sends the text, or the first piece of it."""
        self.given_s = now_s
        opening = {
            "type": "text",
            "context_id": self.context_id,
            "text": self.pieces[0],
            "audio": {"encoding": _ENCODING},
            "timestamps": ["word"] if len(self.pieces) > 1 else [],
            "on_conflict": "parallel",
        }
        if self._spec.frame_ms is not None:
            opening["audio"] = {"encoding": _ENCODING, "frame_ms": self._spec.frame_ms}
        if self._spec.voice:
            opening["voice"] = self._spec.voice
        post(msgspec.json.encode(opening))
        if len(self.pieces) == 1:
            self.end(post)

    def give_piece(self, number: int, post: Post) -> None:
        """Sends a later piece; the end after the last one."""
        fields = {"type": "text", "context_id": self.context_id, "text": self.pieces[number]}
        post(msgspec.json.encode(fields))
        if number == len(self.pieces) - 1:
            self.end(post)

    def end(self, post: Post) -> None:
        """Says that no more text comes."""
        post(msgspec.json.encode({"type": "end", "context_id": self.context_id}))

    # -- what comes

    def on_audio(self, now_s: float, size: int) -> None:
        """Takes a chunk of `size` bytes of sound."""
        if size <= 0 or not self._bytes_per_s or self.spoken:
            return
        sound_s = size / self._bytes_per_s
        ran_dry_s = self._playout.end_s
        late_s = self._playout.arrived(now_s, sound_s)
        self.chunks += 1
        tally = self._tally
        tally.life_s = now_s
        if self.chunks == 1:
            tally.alive.append((now_s, 1))
            self._heard = False
        elif late_s:
            self._late(late_s, ran_dry_s)
        self.audio_s += sound_s
        if tally.begin_s <= now_s < tally.end_s:
            gap_s = now_s - self._last_s if self.chunks > 1 else -1.0
            tally.chunk(now_s, sound_s, gap_s, late_s > 0)
            if gap_s >= 0:
                self._gaps_ms.append(gap_s * 1000)
        self._last_s = now_s

    def on_message(self, now_s: float, message: object) -> None:
        """Takes a message about this context."""
        self._tally.life_s = now_s
        if isinstance(message, Opened) and message.audio is not None:
            width = BYTES_PER_SAMPLE.get(message.audio.encoding)
            if width is None:
                self._fail(f"the server sends {message.audio.encoding} for {_ENCODING}")
            else:
                self._sample_rate = message.audio.sample_rate
                self._bytes_per_s = float(width * self._sample_rate * message.audio.channels)
        elif isinstance(message, Started):
            self._queue_ms = message.queue_ms
        elif isinstance(message, Words):
            self._words += [(item.start, item.char_end) for item in message.items]
        elif isinstance(message, Done):
            self.spoken = self.done = True
            if not self.chunks:
                self.error = "done without a sound"
        elif isinstance(message, Error) and message.final:
            self.fail(now_s, message.code, f"{message.code}: {message.message}")

    def fail(self, now_s: float, code: str, why: str) -> None:
        """Ends it: a refusal when the server has no room for it, an error otherwise."""
        if self.spoken:
            return
        if code in REFUSALS and not self.chunks:
            self.refused = code
            asked_s = self.asked_s if self.given_s is None else self.given_s
            self.refusal_ms = (now_s - asked_s) * 1000
            self.spoken = True
        else:
            self._fail(why)

    def heard(self, now_s: float) -> None:
        """Its listener has heard the end, or will hear no more."""
        if not self._heard:
            self._heard = True
            self._tally.alive.append((now_s, -1))

    def stop(self, now_s: float) -> None:
        """The run ends; a chunk that is overdue by then will be late whenever it comes."""
        late_s = self._playout.late_by(now_s)
        if late_s and not self.spoken:
            self._late(late_s, self._playout.end_s)
        self.spoken = True
        self.heard(min(now_s, max(self.end_s, self._last_s)))

    # -- what comes of it

    def waited_ms(self, now_s: float) -> float | None:
        """Text given -> first sound, or until `now_s` without one; None when never given."""
        if self.given_s is None:
            return None
        first_s = self._playout.first_s
        return ((now_s if first_s is None else first_s) - self.given_s) * 1000

    def report(self) -> StreamReport:
        """How it went."""
        tally = self._tally
        return StreamReport(
            number=self.number,
            start_s=round(self.due_s - tally.begin_s, 4),
            measured=tally.inside(self.due_s),
            connect_ms=round(self.connect_ms, 3),
            ttfa_ms=round(self.waited_ms(0.0) or 0.0, 3) if self.chunks else None,
            queue_ms=self._queue_ms,
            gaps=spread(self._gaps_ms),
            underruns=self._underruns,
            late_ms=round(self._late_s * 1000, 3),
            starved_ms=round(self._starved_s * 1000, 3),
            audio_s=round(self.audio_s, 4),
            chunks=self.chunks,
            refused=self.refused,
            refusal_ms=None if self.refusal_ms is None else round(self.refusal_ms, 3),
            error=self.error,
            done=self.done,
        )

    # -- inside

    def _late(self, late_s: float, ran_dry_s: float) -> None:
        if self._starved(ran_dry_s):
            if self._tally.inside(ran_dry_s):
                self._starved_s += late_s
                self._tally.starved_ms += late_s * 1000
        elif self._tally.underrun(Late(ran_dry_s, late_s, self.number)):
            self._underruns += 1
            self._late_s += late_s

    def _starved(self, ran_dry_s: float) -> bool:
        if len(self.pieces) == 1 or self.given_s is None:
            return False
        per_second = self._spec.tokens_per_s
        sent = load_play.sent_by(self.pieces, self.given_s, per_second, ran_dry_s)
        return load_play.is_starved(self.pieces, sent, self._spoken_chars())

    def _spoken_chars(self) -> float:
        """Of the text, when all that had come was heard: told by the words, or from the time."""
        samples = self.audio_s * self._sample_rate
        begun = [char_end for start, char_end in self._words if start < samples]
        if self._words:
            return max(begun, default=0)
        return self.audio_s / self._s_per_char

    def _fail(self, why: str) -> None:
        self.error = why
        self.spoken = True
