"""What goes into the engine and what comes out of it: requests, chunks, and who takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from streamtts.errors import StreamTTSError


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What a stream is asked to make.

    Attributes:
        seed: of the noise.
        speed: 2 speaks in half the time.
        pitch: ratio of F0.
        pitch_range: scales the distance of ln F0 from its mean.
        audio: run the vocoder.
        mel: hand on the mel frames.
        lead_s: how far ahead of the listener sound is made; 0 for no bound.
        tail_s: sound that the listener's side holds back (resampler, chunks): a pause at which
            text runs out is made that much longer, so that the last word gets through.
    """

    seed: int
    speed: float
    pitch: float
    pitch_range: float
    audio: bool
    mel: bool
    lead_s: float
    tail_s: float


class Step(NamedTuple):
    """One decoder step.

    Attributes:
        number: 0, 1, 2 ... in the stream; it made the frames from `number * R` on.
        position: of the symbol stood on.
        hazard: the chance of moving on that it saw.
        left: the symbol was left behind this step.
    """

    number: int
    position: int
    hazard: float
    left: bool


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a stream has made since the last one.

    Attributes:
        samples: (S,) float32 at the voice's rate; None when no audio was asked for.
        mel: (T, M) float32 natural log; None when not asked for.
        steps: the decoder steps made since the last chunk.
        last: nothing follows.
    """

    samples: NDArray[np.float32] | None
    mel: NDArray[np.float32] | None
    steps: tuple[Step, ...]
    last: bool


@dataclass(frozen=True, slots=True)
class StreamStats:
    """How a stream went: `Done` in events.py has the same names."""

    steps: int
    queue_s: float
    compute_s: float
    underruns: int
    starved_s: float


class Sink(Protocol):
    """Who takes what a stream makes; called by the engine's thread, and must not block."""

    def deliver(self, chunk: Chunk) -> float:
        """Takes a chunk; returns the seconds of sound that now went to the listener."""

    def starved(self, symbols: int) -> None:
        """All that can be spoken of the `symbols` fed so far has been: it waits for text."""

    def ended(self, stats: StreamStats) -> None:
        """The last chunk has been delivered."""

    def cancelled(self, stats: StreamStats) -> None:
        """The stream was cut short; nothing more comes."""

    def failed(self, error: StreamTTSError) -> None:
        """The stream is over because of an error."""
