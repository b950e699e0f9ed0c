"""A voice of small random weights, a front end without a lexicon, and who listens to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from support.tiny import tiny_acoustic

from streamtts.config import EngineConfig
from streamtts.engine.engine import Engine
from streamtts.engine.runner import Runner
from streamtts.engine.sink import Chunk, Step, StreamRequest, StreamStats
from streamtts.errors import StreamTTSError
from streamtts.text.symbols import EDGES, MARKS, PAUSE, PHONES, Symbol
from streamtts.vocoder.vocoder import Vocoder, VocoderConfig

F0_MEAN_LN = 4.6
REQUEST = StreamRequest(
    seed=7, speed=1.0, pitch=1.0, pitch_range=1.0, audio=True, mel=True, lead_s=0.0, tail_s=0.0
)


def tiny_vocoder(seed: int = 0) -> Vocoder:
    """A vocoder of small sizes with random weights, in eval mode."""
    torch.manual_seed(seed)
    vocoder = Vocoder(VocoderConfig(channels=16, inner=16, blocks=1, bands=8)).eval()
    for p in vocoder.parameters():
        p.requires_grad_(False)
    return vocoder


def fake_runner(slots: int = 4) -> Runner:
    """A runner of small random models."""
    return Runner(tiny_acoustic(), tiny_vocoder(), slots=slots, f0_mean_ln=F0_MEAN_LN)


class FakeClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def fake_engine(
    runner: Runner | None = None,
    *,
    clock: Callable[[], float] | None = None,
    queue: int = 4,
    stuck_s: float = 10.0,
) -> Engine:
    """An engine that is stepped by hand."""
    config = EngineConfig(queue=queue, stuck_s=stuck_s)
    return Engine(runner or fake_runner(), config, clock=clock or FakeClock())


def pause(mark: str = "none", word: int = -1, at: int = 0, *, ends: bool = False) -> Symbol:
    """A pause symbol."""
    return Symbol(PAUSE, 0, EDGES.index("both"), MARKS.index(mark), 0, word, at, at, ends)


def word(index: int, phones: int = 4, at: int = 0, chars: int = 4) -> list[Symbol]:
    """A word of made-up phones."""
    edges = ["start", *["inside"] * (phones - 2), "end"] if phones > 1 else ["both"]
    return [
        Symbol(
            PHONES[3 + (7 * index + 3 * i) % (len(PHONES) - 3)],
            (index + i) % 4,
            EDGES.index(edge),
            0,
            index % 2,
            index,
            at,
            at + chars,
        )
        for i, edge in enumerate(edges)
    ]


def sentence(words: int, first: int = 0, phones: int = 4) -> list[list[Symbol]]:
    """A sentence in pieces as a front end hands them on; the last closes it."""
    pieces = [word(first + i, phones, at=5 * (first + i)) for i in range(words)]
    pieces[0] = [pause(word=first - 1, at=5 * first), *pieces[0]]
    last = first + words - 1
    pieces[-1] = [*pieces[-1], pause("period", last, 5 * last + 5, ends=True)]
    return pieces


@dataclass
class Listener:
    """A sink that keeps what it gets."""

    engine: Engine | None = None
    chunks: list[Chunk] = field(default_factory=list)
    starvations: int = 0
    stats: StreamStats | None = None
    was_cancelled: bool = False
    error: StreamTTSError | None = None

    def deliver(self, chunk: Chunk) -> float:
        self.chunks.append(chunk)
        return 0.0 if chunk.samples is None else len(chunk.samples) / 16000

    def starved(self) -> None:
        self.starvations += 1

    def ended(self, stats: StreamStats) -> None:
        assert not self.over
        self.stats = stats

    def cancelled(self, stats: StreamStats) -> None:
        assert not self.over
        self.was_cancelled = True

    def failed(self, error: StreamTTSError) -> None:
        assert not self.over
        self.error = error

    @property
    def over(self) -> bool:
        return self.stats is not None or self.was_cancelled or self.error is not None

    @property
    def samples(self) -> np.ndarray:
        parts = [c.samples for c in self.chunks if c.samples is not None]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    @property
    def mel(self) -> np.ndarray:
        parts = [c.mel for c in self.chunks if c.mel is not None]
        return np.concatenate([np.zeros((0, 80), np.float32), *parts])

    @property
    def steps(self) -> list[Step]:
        return [step for chunk in self.chunks for step in chunk.steps]


def run_dry(engine: Engine, limit: int = 20_000) -> int:
    """Steps until nothing moves; returns how many turns it took."""
    for turns in range(limit):
        if not engine.step():
            return turns
    raise AssertionError("the engine never comes to rest")


def speak(
    engine: Engine, pieces: Sequence[Sequence[Symbol]], request: StreamRequest = REQUEST
) -> Listener:
    """One stream from first to last symbol, all text at once."""
    listener = Listener()
    stream = engine.submit(request, listener)
    for piece in pieces:
        engine.feed(stream, piece)
    engine.end(stream)
    run_dry(engine)
    return listener
