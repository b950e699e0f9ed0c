"""The acoustic model as others see it: symbols in, frames of natural units out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamtts.model.attention import StepwiseMonotonicAttention
from streamtts.model.cell import DecoderCell, DecoderState, StepOutput
from streamtts.model.decoder import Decoder, Postnet
from streamtts.model.encoder import Encoder, Future
from streamtts.model.streaming import EncodeJob, EncoderState, StreamingEncoder

__all__ = [
    "AcousticConfig",
    "AcousticModel",
    "AcousticSpeaker",
    "DecoderState",
    "EncodeJob",
    "EncoderState",
    "Future",
    "StepOutput",
]


@dataclass(frozen=True, slots=True)
class AcousticConfig:
    """Sizes and scales of an acoustic model; travels in the voice's manifest.

    Attributes:
        feature_sizes: values of each symbol feature (text/symbols.py).
        boundary_id: the phone feature's value for what lies outside a sentence.
        unknown_id: the phone feature's value for a future that has not arrived.
        memory_width: D.
        encoder_layers: convolutions, one symbol of look-ahead each.
        encoder_kernel: symbols a convolution sees.
        decoder_width: H.
        hazard_hidden: units of the hazard head.
        dwell_bins: dwell counts told apart.
        dwell_width: features of the dwell.
        max_dwell: steps on one symbol at most.
        reduction_factor: R.
        n_mels: M.
        postnet_width: inner channels.
        postnet_kernel: frames a convolution sees.
        postnet_layers: convolutions.
        postnet_lookahead: frames of look-ahead.
        dropout: in training.
        mel_floor: natural log of the quietest mel value; zero in the decoder's scale.
        mel_scale: natural-log units that are one in the decoder's scale.
        f0_mean_ln: mean of ln F0 where voiced; zero in the decoder's scale.
        f0_std_ln: its standard deviation.
    """

    feature_sizes: tuple[int, ...]
    boundary_id: int
    unknown_id: int
    memory_width: int = 192
    encoder_layers: int = 3
    encoder_kernel: int = 5
    decoder_width: int = 256
    hazard_hidden: int = 64
    dwell_bins: int = 24
    dwell_width: int = 32
    max_dwell: int = 60
    reduction_factor: int = 2
    n_mels: int = 80
    postnet_width: int = 128
    postnet_kernel: int = 5
    postnet_layers: int = 3
    postnet_lookahead: int = 1
    dropout: float = 0.1
    mel_floor: float = -11.512925464970229  # ln 1e-5
    mel_scale: float = 4.0
    f0_mean_ln: float = 4.6
    f0_std_ln: float = 0.15


class AcousticModel(nn.Module):
    """Encoder, attention and decoder of one voice."""

    offset: Tensor
    scale: Tensor

    def __init__(self, config: AcousticConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(
            config.feature_sizes,
            config.memory_width,
            config.encoder_layers,
            config.encoder_kernel,
            config.dropout,
            config.boundary_id,
            config.unknown_id,
        )
        attention = StepwiseMonotonicAttention(
            config.memory_width,
            config.decoder_width,
            config.hazard_hidden,
            config.dwell_bins,
            config.dwell_width,
            config.max_dwell,
        )
        channels = config.n_mels + 2
        postnet = Postnet(
            channels,
            config.postnet_width,
            config.postnet_kernel,
            config.postnet_layers,
            config.postnet_lookahead,
        )
        self.decoder = Decoder(
            attention,
            config.memory_width,
            config.decoder_width,
            channels,
            config.reduction_factor,
            postnet,
            config.dropout,
        )
        offset = torch.full((channels,), config.mel_floor)
        scale = torch.full((channels,), config.mel_scale)
        offset[-2:] = torch.tensor([config.f0_mean_ln, 0.0])
        scale[-2:] = torch.tensor([config.f0_std_ln, 1.0])
        self.register_buffer("offset", offset, persistent=False)
        self.register_buffer("scale", scale, persistent=False)

    @property
    def reduction_factor(self) -> int:
        """R, frames a step."""
        return self.config.reduction_factor

    @property
    def lookahead_symbols(self) -> int:
        """Symbols behind the one stood on that its frames may depend on."""
        return self.encoder.lookahead + 1

    @property
    def lookahead_frames(self) -> int:
        """Frames by which `StepOutput.frames` is late."""
        return self.config.postnet_lookahead

    def prepare(self) -> AcousticSpeaker:
        """A copy of the weights as they are now, laid out for inference.

        What is trained or loaded into this model later does not change it.
        """
        return AcousticSpeaker(self)

    def natural(self, frames: Tensor) -> Tensor:
        """Decoder outputs (B, C, T) to frames of natural units (B, T, C)."""
        out = frames.mT * self.scale + self.offset
        return torch.cat([out[..., :-1], torch.sigmoid(out[..., -1:])], dim=-1)


class AcousticSpeaker:
    """An acoustic model that speaks: the same function, in inference's own layout.

    Args:
        model: to copy the weights from; float32, on any device.

    Attributes:
        config: the model's.
        device: where the weights are.
    """

    @torch.inference_mode()
    def __init__(self, model: AcousticModel) -> None:
        self.config = model.config
        self.device = model.offset.device
        self.lookahead_symbols = model.lookahead_symbols
        self._encoder = StreamingEncoder(model.encoder)
        self._decoder = DecoderCell(model.decoder, model.scale, model.offset)

    @property
    def reduction_factor(self) -> int:
        """R, frames a step."""
        return self.config.reduction_factor

    @property
    def lookahead_frames(self) -> int:
        """Frames by which `StepOutput.frames` is late."""
        return self.config.postnet_lookahead

    @torch.inference_mode()
    def encoder_zeros(self) -> EncoderState:
        """The encoder's state at the start of a sentence, of one stream."""
        return self._encoder.zeros()

    @torch.inference_mode()
    def encode_batch(self, jobs: Sequence[EncodeJob]) -> list[tuple[Tensor, EncoderState]]:
        """New symbols of several streams to memory (n, D); see `StreamingEncoder.encode`."""
        return self._encoder.encode(jobs)

    def encode(
        self, features: NDArray[np.int64], state: EncoderState, future: Future
    ) -> tuple[Tensor, EncoderState]:
        """New symbols (N, F) of one stream; see `encode_batch`."""
        return self.encode_batch([EncodeJob(features, state, future)])[0]

    @torch.inference_mode()
    def decoder_zeros(self, rows: int) -> DecoderState:
        """The decoder's state before the first step, of `rows` rows."""
        return self._decoder.zeros(rows)

    @torch.inference_mode()
    def advance(
        self,
        moved: Tensor | None,
        here: Tensor,
        following: Tensor,
        has_following: Tensor,
        state: DecoderState,
    ) -> StepOutput:
        """One step of B rows.

        A row whose next symbol has not arrived and which has left its own must not be stepped.

        Args:
            moved: (K,) int64, rows for which one of the next three differs from what the row read
                in its last step, or that have not made one since they were new or restarted; K
                may be 0. None: all B, in order; nothing then depends on values, so that a CUDA
                graph can hold the step.
            here: (K, D) memory of the symbol each of them stands on.
            following: (K, D) memory of the next; anything where it has not arrived.
            has_following: (K,) bool.
            state: of B rows; changed in place.

        Returns:
            what the step gives, in tensors of its own.
        """
        return self._decoder.advance(moved, here, following, has_following, state)

    @torch.inference_mode()
    def restart(self, state: DecoderState, rows: Tensor) -> None:
        """Rows (K,) int64 begin a new sentence, in place; they count as moved in the next step."""
        self._decoder.restart(state, rows)

    @torch.inference_mode()
    def flush(self, state: DecoderState) -> Tensor:
        """The frames that the postnet holds back: (B, lookahead_frames, M + 2)."""
        return self._decoder.flush(state)
