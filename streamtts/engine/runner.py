"""The only caller of the model: one decoder step or one vocoder call for a batch of slots."""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamtts.engine.admission import Costs
from streamtts.engine.sink import StreamRequest
from streamtts.engine.slots import SlotTable
from streamtts.engine.stream import Stream
from streamtts.engine.stretch import FrameStretcher
from streamtts.model.acoustic import (
    AcousticModel,
    DecoderState,
    EncodeJob,
    EncoderState,
    Future,
)
from streamtts.text.symbols import encode
from streamtts.vocoder.vocoder import Vocoder, VocoderState

# Every context begins with 25 ms of silence; half of it is enough, and nobody need wait for more.
DROPPED_FRAMES = 1

_ENCODED_UNITS = 64  # of one call of the encoder at most
_LOW_ROWS = 12  # with fewer memory rows ahead of some stream, all that like more get more
_MEASURED_ROWS = (1, 4, 16, 64, 128, 256)
_MEASURED_SOUND = (16, 16)  # rows, frames
_MEASURED_TIMES = 4


class Row(NamedTuple):
    """One row of a step.

    Attributes:
        slot: whose.
        passed: memory rows that it has left behind since its last step.
        restart: it begins a new sentence.
        has_following: it may read the symbol after the one stood on.
    """

    slot: int
    passed: int
    restart: bool
    has_following: bool


class Stepped(NamedTuple):
    """What a step gave one row: the hazard, whether it leaves its symbol, new final frames."""

    hazard: float
    leave: bool
    frames: int


class Sound(NamedTuple):
    """What a vocoder call gave one slot: float32 samples (S,) and mel (T, M), None if not asked."""

    samples: NDArray[np.float32] | None
    mel: NDArray[np.float32] | None


@dataclass(slots=True)
class _Slot:
    """What one stream keeps beside the batched state; its size does not grow with the text."""

    request: StreamRequest
    encoder: EncoderState
    skip_frames: int
    skip_samples: int
    stretcher: FrameStretcher
    had_following: bool | None = None  # what its last step read; None before the first
    memory: deque[Tensor] = field(default_factory=deque)  # (D,) from the symbol stood on
    frames: deque[Tensor] = field(default_factory=deque)  # (R, M + 2), final, not yet sound


class Runner:
    """Model, vocoder and the state of every slot.

    Args:
        acoustic: in eval mode.
        vocoder: in eval mode, of the same frames.
        slots: how many streams at most.
        f0_mean_ln: ln Hz, what `pitch_range` keeps in place.

    Attributes:
        sample_rate: of the sound, in Hz.
        hop_length: samples a frame.
        n_mels: mel bins.
        step_frames: frames that a step makes.
        delay_samples: by how much sound lags behind the frames that it is made from.
        lookahead_frames: by how much final frames lag behind the decoder.
        slots: as given.
    """

    def __init__(
        self, acoustic: AcousticModel, vocoder: Vocoder, *, slots: int, f0_mean_ln: float
    ) -> None:
        self.slots = slots
        self.sample_rate = vocoder.sample_rate
        self.hop_length = vocoder.hop_length
        self.n_mels = acoustic.config.n_mels
        self.step_frames = acoustic.reduction_factor
        self.delay_samples = vocoder.delay_samples
        self.lookahead_frames = acoustic.lookahead_frames
        self._acoustic = acoustic.prepare()
        self._vocoder = vocoder
        self._f0_mean_ln = f0_mean_ln
        self._no_memory = torch.zeros(0, acoustic.config.memory_width)
        self.reset()

    @torch.inference_mode()
    def reset(self) -> None:
        """Forgets every stream."""
        seeds = torch.zeros(self.slots, dtype=torch.int64)
        self._slots: dict[int, _Slot] = {}
        decoder = self._acoustic.decoder_zeros(self.slots)
        self._decoder: SlotTable[DecoderState] = SlotTable(decoder, self.slots)
        sound = self._vocoder.zeros(self.slots, seeds)
        self._sound: SlotTable[VocoderState] = SlotTable(sound, self.slots)

    @torch.inference_mode()
    def admit(self, slot: int, request: StreamRequest) -> None:
        """Gives a free slot to a new stream."""
        self._slots[slot] = _Slot(
            request,
            self._acoustic.encoder_zeros(),
            self._acoustic.lookahead_frames + DROPPED_FRAMES,
            self._vocoder.delay_samples,
            FrameStretcher(request.speed),
        )
        self._decoder.reset(slot, self._acoustic.decoder_zeros(1))
        seeds = torch.tensor([request.seed], dtype=torch.int64)
        self._sound.reset(slot, self._vocoder.zeros(1, seeds))

    def release(self, slot: int) -> None:
        """Frees a slot."""
        self._slots.pop(slot, None)

    def encode_ahead(self, streams: Sequence[Stream]) -> None:
        """Encodes what streams need to move, and in the same breath what others will need soon.

        Args:
            streams: those that have a slot.
        """
        while self._encode_units([s for s in streams if not s.can_step]):
            pass
        fond = [s for s in streams if s.sounds and s.wants_rows]
        if any(s.final < _LOW_ROWS for s in fond):
            self._encode_units(fond)

    @torch.inference_mode()
    def _encode_units(self, streams: Sequence[Stream]) -> bool:
        """One unit more for each of them, as far as there is one; whether anything moved."""
        found = ((s, unit) for s in streams if (unit := s.to_encode()) is not None)
        moved = False
        for units in iter(lambda: list(itertools.islice(found, _ENCODED_UNITS)), []):
            owners = [self._slots[stream.slot] for stream, _ in units]
            made = self._acoustic.encode_batch(
                [
                    EncodeJob(encode(symbols), own.encoder, Future(future))
                    for (_, (symbols, future)), own in zip(units, owners, strict=True)
                ]
            )
            for (stream, (symbols, _)), own, (memory, state) in zip(
                units, owners, made, strict=True
            ):
                own.encoder = state
                own.memory.extend(memory.unbind(0))
                stream.on_encoded(len(symbols), memory.shape[0])
                moved |= bool(symbols) or memory.shape[0] > 0
        return moved

    def memory_rows(self, slot: int) -> int:
        """Memory rows that a slot holds."""
        return len(self._slots[slot].memory)

    @torch.inference_mode()
    def step(self, rows: Sequence[Row]) -> list[Stepped]:
        """One decoder step.

        Args:
            rows: at least one, of different slots; each must have the memory that it reads.
        """
        slots = [row.slot for row in rows]
        owners = [self._slots[slot] for slot in slots]
        moved = [
            i for i, (row, own) in enumerate(zip(rows, owners, strict=True)) if _moves(row, own)
        ]
        state = self._decoder.take(slots)
        restarts = [i for i, row in enumerate(rows) if row.restart]
        if restarts:
            self._acoustic.restart(state, torch.tensor(restarts))
        out = self._acoustic.advance(
            torch.tensor(moved, dtype=torch.int64),
            self._read([owners[i].memory[0] for i in moved]),
            self._read([owners[i].memory[int(rows[i].has_following)] for i in moved]),
            torch.tensor([rows[i].has_following for i in moved], dtype=torch.bool),
            state,
        )
        self._decoder.put(slots, state)
        hazards: list[float] = out.hazard.tolist()
        leaves: list[bool] = out.leave.tolist()
        counts = [_keep(own, out.frames[i]) for i, own in enumerate(owners)]
        return [Stepped(h, le, n) for h, le, n in zip(hazards, leaves, counts, strict=True)]

    def _read(self, rows: Sequence[Tensor]) -> Tensor:
        """Memory rows (D,) as one tensor (K, D); K may be 0."""
        return torch.stack(list(rows)) if rows else self._no_memory

    @torch.inference_mode()
    def vocode(self, slots: Sequence[int], frames: int) -> list[Sound]:
        """Turns the oldest `frames` frames of each slot into sound, in one call.

        Args:
            slots: at least one; each has that many frames.
            frames: T.
        """
        owners = [self._slots[slot] for slot in slots]
        taken = torch.stack([_take(own, frames) for own in owners])
        with_audio = [i for i, own in enumerate(owners) if own.request.audio]
        samples: list[NDArray[np.float32] | None] = [None] * len(slots)
        if with_audio:
            voiced = [slots[i] for i in with_audio]
            made, state = self._vocoder.step(
                self._shift([owners[i].request for i in with_audio], taken[with_audio]),
                self._sound.take(voiced),
            )
            self._sound.put(voiced, state)
            for i, sound in zip(with_audio, made.numpy(), strict=True):
                samples[i] = _drop_late(owners[i], sound)
        mels = [
            taken[i, :, : self.n_mels].numpy() if own.request.mel else None
            for i, own in enumerate(owners)
        ]
        return [Sound(s, m) for s, m in zip(samples, mels, strict=True)]

    @torch.inference_mode()
    def finish(self, slot: int) -> Sound:
        """Everything that postnet and vocoder still hold back; the slot must be released then."""
        own = self._slots[slot]
        rest = self._acoustic.flush(self._decoder.take([slot]))
        frames = torch.cat([*own.frames, own.stretcher.push(rest[0, own.skip_frames :])])
        own.frames.clear()
        mel = frames[:, : self.n_mels].numpy() if own.request.mel else None
        if not own.request.audio:
            return Sound(None, mel)
        made, state = self._vocoder.step(
            self._shift([own.request], frames[None]), self._sound.take([slot])
        )
        made = torch.cat([made, self._vocoder.flush(state)[0]], dim=1)
        return Sound(_drop_late(own, made[0].numpy()), mel)

    @torch.inference_mode()
    def measure(self, clock: Callable[[], float] = time.thread_time) -> Costs:
        """What steps and vocoder calls take on this machine; nobody's stream is touched.

        Args:
            clock: seconds; of this thread alone, so that a busy machine does not look like a slow one.
        """
        steps = []
        for rows in sorted({min(n, self.slots) for n in _MEASURED_ROWS}):
            every = torch.arange(rows)
            memory = torch.zeros(rows, self._no_memory.shape[1])
            has = torch.ones(rows, dtype=torch.bool)
            state = self._acoustic.decoder_zeros(rows)
            step = partial(self._acoustic.advance, every, memory, memory, has, state)
            steps.append((rows, _least(clock, step)))
        rows, count = _MEASURED_SOUND
        frames = torch.zeros(rows, count, self.n_mels + 2)
        sound = self._vocoder.zeros(rows, torch.zeros(rows, dtype=torch.int64))
        sound_s = _least(clock, lambda: self._vocoder.step(frames, sound)) / (rows * count)
        return Costs(tuple(steps), sound_s)

    def _shift(self, requests: Sequence[StreamRequest], frames: Tensor) -> Tensor:
        """Applies pitch and its range to ln F0 of frames (B, T, M + 2)."""
        if all(r.pitch == 1.0 and r.pitch_range == 1.0 for r in requests):
            return frames
        scale = torch.tensor([[r.pitch_range] for r in requests])
        offset = torch.tensor([[math.log(r.pitch)] for r in requests])
        frames = frames.clone()
        ln_f0 = frames[..., self.n_mels]
        frames[..., self.n_mels] = (ln_f0 - self._f0_mean_ln) * scale + self._f0_mean_ln + offset
        return frames


def _least(clock: Callable[[], float], call: Callable[[], object]) -> float:
    """The shortest of a few calls, in seconds."""
    call()
    took = []
    for _ in range(_MEASURED_TIMES):
        begun_s = clock()
        call()
        took.append(clock() - begun_s)
    return min(took)


def _moves(row: Row, own: _Slot) -> bool:
    """Brings a slot's memory up to a row; whether the row reads other memory than last time."""
    for _ in range(row.passed):
        own.memory.popleft()
    moves = bool(row.passed) or row.restart or own.had_following is not row.has_following
    own.had_following = row.has_following
    return moves


def _keep(own: _Slot, frames: Tensor) -> int:
    """Queues frames (R, M + 2) for the vocoder, without those that lie before the stream.

    Returns:
        how many there are now, at the stream's speed.
    """
    skip = min(own.skip_frames, len(frames))
    own.skip_frames -= skip
    frames = own.stretcher.push(frames[skip:])
    if len(frames):
        own.frames.append(frames)
    return len(frames)


def _take(own: _Slot, count: int) -> Tensor:
    """The oldest `count` frames of a slot, (count, M + 2)."""
    parts = []
    while count > 0:
        part = own.frames.popleft()
        if len(part) > count:
            own.frames.appendleft(part[count:])
            part = part[:count]
        parts.append(part)
        count -= len(part)
    return torch.cat(parts)


def _drop_late(own: _Slot, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples without those that lie before the stream."""
    skip = min(own.skip_samples, len(samples))
    own.skip_samples -= skip
    return samples[skip:]
