"""What an utterance tells: the protocol's own messages, and its binary frames made typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from streamtts.audio.formats import from_bytes
from streamtts.protocol.frames import FADED, FILLER, FIRST, LAST
from streamtts.protocol.messages import (
    Alignment,
    Cancelled,
    Done,
    Flushed,
    Opened,
    Phones,
    Started,
    Warning_,
    Words,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streamtts.errors import StreamTTSError

__all__ = [
    "Alignment",
    "Audio",
    "Cancelled",
    "Done",
    "Event",
    "Flushed",
    "Mel",
    "Opened",
    "Phones",
    "Refused",
    "Started",
    "Warning_",
    "Words",
]


@dataclass(frozen=True, slots=True)
class Audio:
    """A chunk of sound.

    Attributes:
        seq: 0, 1, 2 ... within the utterance.
        flags: of the frame's header.
        first_sample: samples of the utterance before this chunk.
        data: as it came.
        encoding: of `data`.
        sample_rate: Hz.
    """

    seq: int
    flags: int
    first_sample: int
    data: bytes
    encoding: str
    sample_rate: int

    @property
    def samples(self) -> NDArray[np.float32]:
        """The chunk as float32 (S,), full scale at 1.0.

        Raises:
            BadField: for wav, flac, ogg_opus and mp3, whose chunks make no sense alone.
        """
        return from_bytes(self.data, self.encoding)

    @property
    def is_first(self) -> bool:
        """Whether it opens the utterance."""
        return bool(self.flags & FIRST)

    @property
    def is_last(self) -> bool:
        """Whether it closes the utterance."""
        return bool(self.flags & LAST)

    @property
    def is_filler(self) -> bool:
        """Whether it is silence for text that cannot be spoken."""
        return bool(self.flags & FILLER)

    @property
    def is_faded(self) -> bool:
        """Whether a cancel faded it out."""
        return bool(self.flags & FADED)


@dataclass(frozen=True, slots=True)
class Mel:
    """Mel frames as they left the decoder.

    Attributes:
        seq: 0, 1, 2 ... within the utterance.
        flags: of the frame's header.
        first_sample: samples of the utterance before its first frame.
        frames: (T, n_mels) float32, natural logarithm.
    """

    seq: int
    flags: int
    first_sample: int
    frames: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that was sent was not taken; the utterance goes on.

    Attributes:
        error: what an utterance that could not go on would have raised.
    """

    error: StreamTTSError


Event: TypeAlias = (
    Audio
    | Mel
    | Opened
    | Started
    | Words
    | Phones
    | Alignment
    | Flushed
    | Warning_
    | Refused
    | Done
    | Cancelled
)
