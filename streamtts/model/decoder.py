"""The decoder: one step makes R mel frames, with F0 and voicing, and moves the attention.

There is no feedback of made frames: the alignment is known in training and the recurrent state
carries the past, so what the decoder reads when it is trained is what it reads when it speaks
(no exposure bias), and the sound depends on the symbols alone. This is whole sequences, for
training; `model/cell.py` makes the steps.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from streamtts.model.attention import StepwiseMonotonicAttention
from streamtts.nn.conv import CausalConv1d
from streamtts.nn.rnn import LSTM


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

    def forward(self, x: Tensor) -> Tensor:
        """Whole sequences between silence, which is zero here: (B, C, T) -> (B, C, T)."""
        y = torch.cat([x, x.new_zeros(*x.shape[:2], self.lookahead)], dim=-1)
        for i, conv in enumerate(self.convs):
            assert isinstance(conv, CausalConv1d)
            y, _ = conv(torch.tanh(y) if i else y, conv.zeros(x.shape[0]))
        return x + y[..., self.lookahead :]


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
            self.postnet(frames),
            self.attention.logits(first, context_vec, dwell_features),
        )

    def _frames(self, query: Tensor, context_vec: Tensor) -> Tensor:
        """(B, T, H), (B, T, 2 D) -> (B, C, T * R)."""
        out = self.output(torch.cat([query, context_vec], dim=-1))
        return out.reshape(out.shape[0], -1, self.channels).mT
