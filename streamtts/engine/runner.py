"""The only caller of the model: one decoder step or one vocoder call for a batch of slots."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamtts.engine.admission import Costs
from streamtts.engine.graphs import StepGraphs
from streamtts.engine.holding import Holding, Row
from streamtts.engine.measure import measure
from streamtts.engine.sink import StreamRequest
from streamtts.engine.slots import SlotTable
from streamtts.engine.stream import Stream
from streamtts.engine.stretch import FrameStretcher
from streamtts.model.acoustic import AcousticModel, DecoderState, EncodeJob, Future, StepOutput
from streamtts.text.symbols import encode
from streamtts.vocoder.vocoder import Vocoder, VocoderState

# Every context begins with 25 ms of silence; half of it is enough, and nobody need wait for more.
DROPPED_FRAMES = 1

_ENCODED_UNITS = 64  # of one call of the encoder at most
_LOW_ROWS = 6  # with fewer memory rows ahead of some stream, all that like more get more


class Stepped(NamedTuple):
    """What a step gave one row: the hazard, whether it leaves its symbol, new final frames."""

    hazard: float
    leave: bool
    frames: int


class Sound(NamedTuple):
    """What a vocoder call gave one slot: float32 samples (S,) and mel (T, M), None if not asked."""

    samples: NDArray[np.float32] | None
    mel: NDArray[np.float32] | None


class Runner:
    """Model, vocoder and the state of every slot.

    Args:
        acoustic: in eval mode.
        vocoder: in eval mode, of the same frames, on the same device.
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
        self._device = self._acoustic.device
        # On a GPU frames are queued in main memory: two copies a call instead of many small ones.
        self._graphs = StepGraphs(self._acoustic) if self._device.type == "cuda" else None
        self._vocoder = vocoder
        self._f0_mean_ln = f0_mean_ln
        _keep_freed_memory()
        self._no_memory = torch.zeros(0, acoustic.config.memory_width, device=self._device)
        self.reset()

    @torch.inference_mode()
    def reset(self) -> None:
        """Forgets every stream."""
        seeds = torch.zeros(self.slots, dtype=torch.int64, device=self._device)
        self._slots: dict[int, Holding] = {}
        decoder = self._acoustic.decoder_zeros(self.slots)
        self._decoder: SlotTable[DecoderState] = SlotTable(decoder, self.slots, self._device)
        sound = self._vocoder.zeros(self.slots, seeds)
        self._sound: SlotTable[VocoderState] = SlotTable(sound, self.slots, self._device)

    @torch.inference_mode()
    def admit(self, slot: int, request: StreamRequest) -> None:
        """Gives a free slot to a new stream."""
        self._slots[slot] = Holding(
            request,
            self._acoustic.encoder_zeros(),
            self._acoustic.lookahead_frames + DROPPED_FRAMES,
            self._vocoder.delay_samples,
            FrameStretcher(request.speed),
        )
        self._decoder.reset(slot, self._acoustic.decoder_zeros(1))
        seeds = torch.tensor([request.seed], dtype=torch.int64, device=self._device)
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
        moved = [i for i, (row, own) in enumerate(zip(rows, owners, strict=True)) if own.moves(row)]
        state = self._decoder.take(slots)
        restarts = [i for i, row in enumerate(rows) if row.restart]
        if restarts:
            self._acoustic.restart(state, torch.tensor(restarts, device=self._device))
        out = self._advance(rows, owners, moved, state)
        self._decoder.put(slots, state)
        hazards: list[float] = out.hazard.tolist()
        leaves: list[bool] = out.leave.tolist()
        frames = out.frames.cpu()
        counts = [own.keep(frames[i]) for i, own in enumerate(owners)]
        return [Stepped(h, le, n) for h, le, n in zip(hazards, leaves, counts, strict=True)]

    def _advance(
        self,
        rows: Sequence[Row],
        owners: Sequence[Holding],
        moved: Sequence[int],
        state: DecoderState,
    ) -> StepOutput:
        """The step itself; only what has moved is read anew, but a graph reads everything."""
        read = moved if self._graphs is None else range(len(rows))
        here = self._read([owners[i].memory[0] for i in read])
        following = self._read([owners[i].memory[int(rows[i].has_following)] for i in read])
        has = torch.tensor([rows[i].has_following for i in read], dtype=torch.bool)
        if self._graphs is not None:
            return self._graphs.advance(here, following, has.to(self._device), state)
        at = torch.tensor(moved, dtype=torch.int64)
        return self._acoustic.advance(at, here, following, has, state)

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
        taken = torch.stack([own.take(frames) for own in owners])
        with_audio = [i for i, own in enumerate(owners) if own.request.audio]
        samples: list[NDArray[np.float32] | None] = [None] * len(slots)
        if with_audio:
            voiced = [slots[i] for i in with_audio]
            made, state = self._vocoder.step(
                self._shift([owners[i].request for i in with_audio], taken[with_audio]),
                self._sound.take(voiced),
            )
            self._sound.put(voiced, state)
            for i, sound in zip(with_audio, made.cpu().numpy(), strict=True):
                samples[i] = owners[i].drop_late(sound)
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
        frames = torch.cat([*own.frames, own.stretcher.push(rest[0, own.skip_frames :].cpu())])
        own.frames.clear()
        mel = frames[:, : self.n_mels].numpy() if own.request.mel else None
        if not own.request.audio:
            return Sound(None, mel)
        made, _ = self._vocoder.finish(
            self._shift([own.request], frames[None]), self._sound.take([slot])
        )
        return Sound(own.drop_late(made[0].cpu().numpy()), mel)

    def measure(self) -> Costs:
        """What steps and vocoder calls take on this machine; nobody's stream is touched."""
        return measure(self._acoustic, self._vocoder, self.slots)

    def _shift(self, requests: Sequence[StreamRequest], frames: Tensor) -> Tensor:
        """Frames (B, T, M + 2) for the vocoder, pitch and its range applied to ln F0."""
        if all(r.pitch == 1.0 and r.pitch_range == 1.0 for r in requests):
            return frames.to(self._device)
        scale = torch.tensor([[r.pitch_range] for r in requests])
        offset = torch.tensor([[math.log(r.pitch)] for r in requests])
        frames = frames.clone()
        ln_f0 = frames[..., self.n_mels]
        frames[..., self.n_mels] = (ln_f0 - self._f0_mean_ln) * scale + self._f0_mean_ln + offset
        return frames.to(self._device)


def _keep_freed_memory() -> None:
    """Makes glibc keep what is freed: the tensors of every call are as large as the last one's.

    Otherwise each of them is mapped anew, which takes a page fault for every 4 KiB. Freeing a
    mapped block once raises the size from which blocks are mapped (mallopt(3), M_MMAP_THRESHOLD:
    the threshold is dynamic, up to 32 MiB).
    """
    torch.empty(31 << 20, dtype=torch.uint8)
