"""A voice of small random weights, a front end without a lexicon, and who listens to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from streamtts.config import EngineConfig, LimitsConfig
from streamtts.engine.engine import Engine
from streamtts.engine.runner import Runner
from streamtts.engine.sink import Chunk, Step, StreamRequest, StreamStats
from streamtts.errors import StreamTTSError
from streamtts.events import (
    AudioChunk,
    Cancelled,
    Done,
    Event,
    Failed,
    TimedItem,
    Words,
)
from streamtts.service import MakeFrontEnd, Service
from streamtts.text.frontend import FrontEndOutput, Word
from streamtts.text.symbols import EDGES, MARKS, PAUSE, PHONES, Symbol
from streamtts.vocoder.vocoder import Vocoder, VocoderConfig
from streamtts.voice.store import save_voice
from support.tiny import tiny_acoustic

E = TypeVar("E")
F0_MEAN_LN = 4.6
REQUEST = StreamRequest(
    seed=7, speed=1.0, pitch=1.0, pitch_range=1.0, audio=True, mel=True, lead_s=0.0, tail_s=0.0
)


def tiny_vocoder(seed: int = 0) -> Vocoder:
    """A vocoder of small sizes with random weights, in eval mode."""
    torch.manual_seed(seed)
    vocoder = Vocoder(VocoderConfig(channels=16, inner=16, blocks=1)).eval()
    for p in vocoder.parameters():
        p.requires_grad_(False)
    return vocoder


def fake_runner(slots: int = 4) -> Runner:
    """A runner of small random models, on one thread: two get in each other's way."""
    torch.set_num_threads(1)
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
    queue_s: float = 60.0,
    stuck_s: float = 10.0,
) -> Engine:
    """An engine that is stepped by hand; nobody's wait ends because the machine is slow."""
    config = EngineConfig(queue=queue, queue_s=queue_s, stuck_s=stuck_s)
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

    def starved(self, symbols: int) -> None:
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


class FakeFrontEnd:
    """Letters are words, full stops end sentences, commas pause; nothing else is spoken."""

    def __init__(self) -> None:
        self._char = 0
        self._letters = ""
        self._words = 0
        self._in_sentence = False
        self._after_pause = True
        self._symbols: list[Symbol] = []
        self._found: list[Word] = []

    @property
    def pending_chars(self) -> int:
        return len(self._letters)

    def feed(self, delta: str) -> FrontEndOutput:
        for char in delta:
            if char.isascii() and char.isalpha():
                self._letters += char
            else:
                self._word()
                if char in ".?!" and self._in_sentence:
                    self._pause("period", ends=True)
                elif char == "," and not self._after_pause:
                    self._pause("comma")
            self._char += 1
        return self._take()

    def flush(self) -> FrontEndOutput:
        self._word()
        if not self._after_pause:
            self._pause("flush")
        return self._take()

    def end(self) -> FrontEndOutput:
        self._word()
        if self._in_sentence:
            self._pause("period", ends=True)
        return self._take()

    def _word(self) -> None:
        if not self._letters:
            return
        if not self._in_sentence:
            self._symbols.append(pause(word=self._words - 1, at=self._char))
            self._in_sentence = True
        start = self._char - len(self._letters)
        phones = 2 + len(self._letters)
        self._symbols += word(self._words, phones, at=start, chars=len(self._letters))
        self._found.append(Word(self._words, self._letters, start, self._char))
        self._words += 1
        self._letters = ""
        self._after_pause = False

    def _pause(self, mark: str, *, ends: bool = False) -> None:
        self._symbols.append(pause(mark, self._words - 1, self._char, ends=ends))
        self._after_pause = True
        self._in_sentence = self._in_sentence and not ends

    def _take(self) -> FrontEndOutput:
        out = FrontEndOutput(tuple(self._symbols), tuple(self._found), ())
        self._symbols, self._found = [], []
        return out


def fake_service(
    *,
    slots: int = 4,
    queue: int = 4,
    chars_per_context: int = 20_000,
    all_contexts: int = 4096,
    idle_s: float = 60.0,
    clock: Callable[[], float] | None = None,
    make_front_end: MakeFrontEnd = lambda text_format, normalize: FakeFrontEnd(),
) -> Service:
    """A service of a tiny voice; `turn` it by hand, or `start` it with a real clock."""
    clock = clock or FakeClock()
    engine = fake_engine(fake_runner(slots), clock=clock, queue=queue)
    limits = LimitsConfig(
        chars_per_context=chars_per_context, all_contexts=all_contexts, idle_s=idle_s
    )
    return Service(engine, ["tiny"], limits, make_front_end, clock=clock)


def settle(service: Service, limit: int = 50_000) -> None:
    """Turns a service until nothing moves."""
    for _ in range(limit):
        if not service.turn():
            return
    raise AssertionError("the service never comes to rest")


class Heard:
    """A listener of a context: its events, and what they come to."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        assert not self.ends, "an event after the last"
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def ends(self) -> list[Event]:
        return [
            event
            for event in self.events
            if isinstance(event, (Done, Cancelled)) or (isinstance(event, Failed) and event.final)
        ]

    @property
    def data(self) -> bytes:
        return b"".join(chunk.data for chunk in self.of(AudioChunk))

    @property
    def samples(self) -> int:
        return sum(chunk.samples for chunk in self.of(AudioChunk))

    @property
    def words(self) -> dict[int, TimedItem]:
        """The newest word on each word."""
        return {item.index: item for event in self.of(Words) for item in event.items}


def write_tiny_voice(folder: Path, voice_id: str = "tiny") -> Path:
    """Writes a voice of random weights; returns its folder, `folder / voice_id`."""
    save_voice(
        folder / voice_id,
        tiny_acoustic(),
        tiny_vocoder(),
        "# Tiny\n",
        voice_id=voice_id,
        name="Tiny",
        language="en",
        description="random weights, for tests",
        licence="MIT",
        origin="random numbers",
    )
    return folder / voice_id
