"""What a context tells its listener. Plain values: no torch, no audio library, no IO.

Every sample number is counted in the context's own output audio, at the rate that it asked for.
Exactly one of `Done`, `Cancelled` and `Failed` with `final` ends a context; nothing follows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

FLAG_FIRST = 1
FLAG_LAST = 2
FLAG_FILLER = 4  # silence in place of text that cannot be spoken
FLAG_FADED = 8  # cut short by a cancel, faded out
FLAG_MEL = 16


class AudioInfo(NamedTuple):
    """The sound that a context will get.

    Attributes:
        encoding: a name of audio/formats.py.
        sample_rate: in Hz, never None here.
        channels: always 1.
        frame_ms: length of every chunk but the last.
    """

    encoding: str
    sample_rate: int
    channels: int
    frame_ms: int


class MelInfo(NamedTuple):
    """The mel frames that a context will get, as float16 natural logarithms.

    Attributes:
        n_mels: bins of a frame.
        hop_length: samples between two frames, at `sample_rate`.
        sample_rate: in Hz, of the model, whatever the audio's own rate.
    """

    n_mels: int
    hop_length: int
    sample_rate: int


class AlignmentStep(NamedTuple):
    """One decoder step: from `sample` on the attention stood on symbol `position`."""

    sample: int
    position: int
    hazard: float


class AlignmentSymbol(NamedTuple):
    """A symbol that the attention has entered for the first time."""

    position: int
    phone: str
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class TimedItem:
    """A word or a phone with its place in the audio and in the text that the client sent.

    Attributes:
        index: of the word, or of the phone's symbol position.
        text: the client's own spelling of a word; the name of a phone.
        start: first sample.
        end: one past the last sample; None while it is still being spoken.
        char_start: first code point.
        char_end: one past the last code point.
    """

    index: int
    text: str
    start: int
    end: int | None
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The context exists; comes first.

    Attributes:
        audio: None when no audio was asked for.
        mel: None when no mel was asked for.
        queue_position: its place among those that wait for a slot, if its text came now; 0 when
            it would be spoken at once.
    """

    audio: AudioInfo | None
    mel: MelInfo | None
    queue_position: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """Comes just before the first chunk.

    Attributes:
        ttfa_ms: from the first text to the first chunk.
        queue_ms: of that, waiting for a slot.
    """

    ttfa_ms: float
    queue_ms: float


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A piece of encoded sound.

    Attributes:
        seq: 0, 1, 2 ... within the context's audio.
        flags: FLAG_FIRST, FLAG_LAST, FLAG_FILLER, FLAG_FADED.
        first_sample: samples before this chunk (given to the encoder, for encoded formats).
        data: the bytes; may be empty in the last chunk.
        samples: how many samples they stand for.
    """

    seq: int
    flags: int
    first_sample: int
    data: bytes
    samples: int


@dataclass(frozen=True, slots=True)
class MelChunk:
    """Mel frames as they leave the decoder.

    Attributes:
        seq: 0, 1, 2 ... within the context's mel stream.
        flags: FLAG_MEL with FLAG_FIRST, FLAG_LAST, FLAG_FADED (nothing is faded: cut short).
        first_sample: where the first frame begins, in output samples.
        data: float16 little-endian, frames x n_mels, natural logarithm.
    """

    seq: int
    flags: int
    first_sample: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where the attention stood, and the symbols that it entered."""

    steps: tuple[AlignmentStep, ...]
    symbols: tuple[AlignmentSymbol, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """Words with their times; sent no later than the chunk in which they begin."""

    items: tuple[TimedItem, ...]


@dataclass(frozen=True, slots=True)
class Phones:
    """Phones with their times, as `Words`."""

    items: tuple[TimedItem, ...]


@dataclass(frozen=True, slots=True)
class Flushed:
    """All text before a flush has been sent as sound; it ends before `sample`."""

    flush_id: str | None
    sample: int


@dataclass(frozen=True, slots=True)
class Done:
    """The context has come to its end.

    Attributes:
        reason: "end" or "idle".
        samples: length of the audio.
        chars: code points that were fed.
        ttfa_ms: as in `Started`; 0 when there was no sound.
        rtf: compute seconds per second of audio; 0 when there was no sound.
        queue_ms: waiting for a slot.
        steps: decoder steps.
        underruns: chunks that came too late for a listener that plays as they arrive.
        starved_ms: gaps because the text had not come yet.
    """

    reason: str
    samples: int
    chars: int
    ttfa_ms: float
    rtf: float
    queue_ms: float
    steps: int
    underruns: int
    starved_ms: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The context was cut short.

    Attributes:
        generated_samples: made, sent or not.
        sent_samples: handed to the listener, the fade included.
        spoken_chars: code points of the text that were heard (by `played_samples`, else sent).
        spoken_words: whole words that were heard.
        spoken_text: the text up to there, as the client sent it.
    """

    generated_samples: int
    sent_samples: int
    spoken_chars: int
    spoken_words: int
    spoken_text: str


@dataclass(frozen=True, slots=True)
class Warning_:  # noqa: N801 - Warning is a builtin
    """Something was odd and the context goes on. `code` is one of the protocol's warnings."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Failed:
    """An error; with `final` the context is over."""

    code: str
    message: str
    retry_after_ms: int | None
    final: bool


Event: TypeAlias = (
    Opened
    | Started
    | AudioChunk
    | MelChunk
    | Alignment
    | Words
    | Phones
    | Flushed
    | Done
    | Cancelled
    | Warning_
    | Failed
)
