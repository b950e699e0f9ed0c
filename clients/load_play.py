"""The listener of one stream: what he hears late, and whose fault that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_ON_TIME_S = 1e-6  # what rounding may add up to
LOOKAHEAD_WORDS = 2  # a word is spoken when the next one is known, and that when it is complete


class Playout:
    """The playout model: sound is played from its first arrival on, in real time.

    A chunk that arrives after all before it has been played is late; what follows slips by as much.

    Attributes:
        first_s: the first arrival; None before it.
        end_s: when all that has arrived will have been played.
    """

    __slots__ = ("end_s", "first_s")

    def __init__(self) -> None:
        self.first_s: float | None = None
        self.end_s = 0.0

    def arrived(self, now_s: float, sound_s: float) -> float:
        """Takes a chunk of `sound_s` seconds; returns by how many seconds it was late, or 0."""
        if self.first_s is None:
            self.first_s = now_s
            self.end_s = now_s + sound_s
            return 0.0
        late_s = now_s - self.end_s
        if late_s > _ON_TIME_S:
            self.end_s = now_s + sound_s
            return late_s
        self.end_s += sound_s
        return 0.0

    def late_by(self, now_s: float) -> float:
        """By how much the next chunk is late already, in seconds, or 0."""
        if self.first_s is None or now_s - self.end_s <= _ON_TIME_S:
            return 0.0
        return now_s - self.end_s


def sent_by(pieces: Sequence[str], began_s: float, per_second: float, now_s: float) -> int:
    """How many pieces had been sent by then: the first at `began_s`, the others at their rate."""
    if now_s < began_s:
        return 0
    return min(len(pieces), int((now_s - began_s) * per_second + 1e-9) + 1)


def is_starved(pieces: Sequence[str], sent: int, spoken_chars: float) -> bool:
    """Whether a listener who ran dry did so because the text had not come.

    It has come when more than `LOOKAHEAD_WORDS` words of it wait to be spoken, or when it is whole.

    Args:
        pieces: the text of the stream.
        sent: pieces that had been sent when the sound ran out.
        spoken_chars: of the text, by then.
    """
    if sent >= len(pieces):
        return False
    waiting = "".join(pieces[:sent])[int(spoken_chars) :]
    return len(waiting.split()) <= LOOKAHEAD_WORDS
