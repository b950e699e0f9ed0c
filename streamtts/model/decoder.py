"""The decoder: one step makes R mel frames, with F0 and voicing, and moves the attention.

There is no feedback of made frames: the alignment is known in training and the recurrent state
carries the past, so what the decoder reads when it is trained is what it reads when it speaks
(no exposure bias), and the sound depends on the symbols alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from streamtts.model.attention import AttentionState, StepwiseMonotonicAttention
from streamtts.nn.conv import CausalConv1d, ConvState
from streamtts.nn.rnn import LSTM, LSTMState


@dataclass(frozen=True, slots=True)
class PostnetState:
    """Convolution tails and the frames that wait for the look-ahead, (B, C, lookahead)."""

    convs: tuple[ConvState, ...]
    waiting: Tensor


class Postnet(nn.Module):
    """A causal convolutional correction of the frames (Shen 2018), one frame of look-ahead.

    Args:
        channels: C, outputs of the decoder a frame.
        width: inner channels.
        kernel: K.
        layers: convolutions.
        lookahead: frames of the future that a frame may see.
    """

    def __init__(self, channels: int, width: int, kernel: int, layers: int, lookahead: int) -> None:
        super().__init__()
        self.lookahead = lookahead
        sizes = [channels, *[width] * (layers - 1), channels]
        self.convs = nn.ModuleList(
            CausalConv1d(a, b, kernel, lookahead=lookahead if i == 0 else 0)
            for i, (a, b) in enumerate(pairwise(sizes))
        )

    def zeros(self, rows: int) -> PostnetState:
        """The state before the first frame: silence, which is zero in the decoder's scale."""
        first = self.convs[0]
        assert isinstance(first, CausalConv1d)
        convs = tuple(c.zeros(rows) for c in self.convs if isinstance(c, CausalConv1d))
        weight = next(first.parameters())
        return PostnetState(convs, weight.new_zeros(rows, weight.shape[1], self.lookahead))

    def forward(self, x: Tensor, state: PostnetState) -> tuple[Tensor, PostnetState]:
        """Frames (B, C, T) -> (B, C, T), delayed by `lookahead` frames."""
        y, convs = x, []
        for i, (conv, conv_state) in enumerate(zip(self.convs, state.convs, strict=True)):
            y, after = conv(y, conv_state)
            convs.append(after)
            if i + 1 < len(self.convs):
                y = torch.tanh(y)
        joined = torch.cat([state.waiting, x], dim=-1)
        T = x.shape[-1]
        return joined[..., :T] + y, PostnetState(tuple(convs), joined[..., T:])

    def offline(self, x: Tensor) -> Tensor:
        """Whole sequences, not delayed: (B, C, T) -> (B, C, T)."""
        ahead = x.new_zeros(x.shape[0], x.shape[1], self.lookahead)
        y, _ = self.forward(torch.cat([x, ahead], dim=-1), self.zeros(x.shape[0]))
        return y[..., self.lookahead :]


@dataclass(frozen=True, slots=True)
class RecurrentState:
    """What a new sentence starts without: both LSTMs and the attention's place."""

    first: LSTMState
    second: LSTMState
    attention: AttentionState


@dataclass(frozen=True, slots=True)
class DecoderState:
    """Everything a row carries from step to step."""

    recurrent: RecurrentState
    postnet: PostnetState


@dataclass(frozen=True, slots=True)
class DecoderStep:
    """Frames (B, C, R) after the postnet, hazard (B,), leave (B,) bool."""

    frames: Tensor
    hazard: Tensor
    leave: Tensor


class Decoder(nn.Module):
    """Two LSTMs (the second adds to the first), each fed what the attention reads.

    Args:
        attention: reads the memory.
        memory_width: D.
        width: H of both LSTMs.
        channels: C outputs a frame.
        reduction_factor: R frames a step.
        postnet: corrects the frames.
        dropout: in training only, between the LSTMs.
    """

    def __init__(
        self,
        attention: StepwiseMonotonicAttention,
        memory_width: int,
        width: int,
        channels: int,
        reduction_factor: int,
        postnet: Postnet,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.postnet = postnet
        self.channels = channels
        self.reduction_factor = reduction_factor
        inputs = 2 * memory_width + attention.dwell.embedding_dim
        self.first = LSTM(inputs, width)
        self.second = LSTM(inputs + width, width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width + 2 * memory_width, reduction_factor * channels)

    def zeros(self, rows: int) -> DecoderState:
        """The state of rows that start to speak."""
        return DecoderState(self.recurrent_zeros(rows), self.postnet.zeros(rows))

    def recurrent_zeros(self, rows: int) -> RecurrentState:
        """The recurrent state at the start of a sentence."""
        return RecurrentState(
            self.first.zeros(rows), self.second.zeros(rows), self.attention.zeros(rows)
        )

    def forward(
        self, here: Tensor, following: Tensor, has_following: Tensor, dwell: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Whole sentences along known alignments, for training.

        Args:
            here: (B, T, D) memory of the symbol of each step.
            following: (B, T, D).
            has_following: (B, T) bool.
            dwell: (B, T) int64, steps made on the symbol before this one.

        Returns:
            frames before the postnet (B, C, T * R), after it, and hazard logits (B, T).
        """
        context_vec = self.attention.context(here, following, has_following)
        dwell_features = self.attention.embed_dwell(dwell)
        x = torch.cat([context_vec, dwell_features], dim=-1)
        first = self.first(x)
        second = first + self.second(torch.cat([x, self.dropout(first)], dim=-1))
        frames = self._frames(self.dropout(second), context_vec)
        return (
            frames,
            self.postnet.offline(frames),
            self.attention.logits(first, context_vec, dwell_features),
        )

    def step(
        self,
        here: Tensor,
        following: Tensor,
        has_following: Tensor,
        state: DecoderState,
    ) -> tuple[DecoderStep, DecoderState]:
        """One step of B rows; shapes as in `forward` without T."""
        before = state.recurrent
        context_vec = self.attention.context(here, following, has_following)
        dwell_features = self.attention.embed_dwell(before.attention.dwell)
        x = torch.cat([context_vec, dwell_features], dim=-1)
        first, first_state = self.first.step(x, before.first)
        second, second_state = self.second.step(torch.cat([x, first], dim=-1), before.second)
        frames = self._frames((first + second)[:, None], context_vec[:, None])
        frames, postnet = self.postnet(frames, state.postnet)
        logits = self.attention.logits(first, context_vec, dwell_features)
        hazard, leave, attention = self.attention.advance(logits, before.attention)
        after = DecoderState(RecurrentState(first_state, second_state, attention), postnet)
        return DecoderStep(frames, hazard, leave), after

    def _frames(self, query: Tensor, context_vec: Tensor) -> Tensor:
        """(B, T, H), (B, T, 2 D) -> (B, C, T * R)."""
        out = self.output(torch.cat([query, context_vec], dim=-1))
        return out.reshape(out.shape[0], -1, self.channels).mT
