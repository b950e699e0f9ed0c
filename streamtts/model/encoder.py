"""Symbols to memory: convolutions with a small look-ahead, then a unidirectional GRU.

A memory row depends on `lookahead` symbols to its right and on everything to its left in the same
sentence. So it is final as soon as its look-ahead has arrived, however the text was cut; only a
stream whose text has stalled goes on without it, and then the future reads as `<unknown>`.
This is whole sentences, for training; `model/streaming.py` takes symbols as they come.
"""

from __future__ import annotations

import enum

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Future(enum.Enum):
    """What lies behind the symbols given so far."""

    MORE = "more"  # wait for it: only symbols whose look-ahead is there come out
    UNKNOWN = "unknown"  # go on without it: the text has stalled or was flushed
    END = "end"  # nothing: the sentence is over


class Encoder(nn.Module):
    """Convolutions (residual, layer norm) and a GRU added to their output.

    Args:
        feature_sizes: how many values each of the F symbol features has; the first is the phone.
        width: D, of memory.
        layers: convolutions, each of `kernel` symbols of which one lies ahead.
        kernel: K.
        dropout: in training only.
        boundary_id: the phone feature's value for what lies outside a sentence.
        unknown_id: the phone feature's value for a future that has not arrived.
    """

    def __init__(
        self,
        feature_sizes: tuple[int, ...],
        width: int,
        layers: int,
        kernel: int,
        dropout: float,
        boundary_id: int,
        unknown_id: int,
    ) -> None:
        super().__init__()
        self.lookahead = layers
        self.past = layers * (kernel - 2)
        self.kernel = kernel
        self.width = width
        self.dropout = dropout
        self.boundary_id = boundary_id
        self.unknown_id = unknown_id
        self.embeddings = nn.ModuleList(nn.Embedding(size, width) for size in feature_sizes)
        for weight in self.embeddings.parameters():
            nn.init.normal_(weight, std=0.3)
        self.convs = nn.ModuleList(nn.Conv1d(width, width, kernel) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.gru = nn.GRU(width, width, batch_first=True)

    def forward(self, features: Tensor, lengths: Tensor, cuts: Tensor) -> Tensor:
        """Whole sentences at once, for training.

        Args:
            features: (B, N, F) int64.
            lengths: (B,) int64, symbols in each row.
            cuts: (B,) int64, the last symbol known when the text of this row stalled once; -1
                where it never did.

        Returns:
            (B, N, D) memory; what lies behind a row's length is undefined.
        """
        B, N, _ = features.shape
        positions = torch.arange(N + self.lookahead, device=features.device)
        x = F.pad(features, (0, 0, 0, self.lookahead))
        x = self._outside(x, positions >= lengths[:, None], self.boundary_id)
        out = self._convolve(x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device))
        out = out[:, :N]
        # What a stalled stream sees: the same window, but nothing behind the cut.
        offsets = torch.arange(-self.past - self.lookahead + 1, self.lookahead + 1).to(x.device)
        at = cuts[:, None] + offsets
        window = torch.gather(x, 1, at.clamp(min=0)[:, :, None].expand(-1, -1, x.shape[-1]))
        window = self._outside(window, (offsets > 0).expand(B, -1), self.unknown_id)
        stalled = self._convolve(window, at >= 0)[:, self.past : self.past + self.lookahead]
        to = cuts[:, None] + torch.arange(-self.lookahead + 1, 1, device=x.device)
        rows, columns = torch.nonzero((to >= 0) & (cuts >= 0)[:, None], as_tuple=True)
        out = out.index_put((rows, to[rows, columns]), stalled[rows, columns].to(out.dtype))
        hidden, _ = self.gru(out)
        return out + hidden

    @staticmethod
    def _outside(features: Tensor, outside: Tensor, phone_id: int) -> Tensor:
        """Features in which the symbols where `outside` (B, N) is True carry only `phone_id`."""
        blank = torch.zeros_like(features[:1, :1])
        blank[..., 0] = phone_id
        return torch.where(outside[..., None], blank, features)

    def _convolve(self, features: Tensor, valid: Tensor) -> Tensor:
        """Convolutions over (B, N, F) symbols; where `valid` (B, N) is False lies the void."""
        x = sum(e(features[..., i]) for i, e in enumerate(self.embeddings))
        assert isinstance(x, Tensor)
        mask = valid[..., None].to(x.dtype)
        x = x * mask
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = conv(F.pad(x.mT, (self.kernel - 2, 1))).mT
            y = F.dropout(F.gelu(norm(y)), self.dropout, self.training)
            x = (x + y) * mask
        return x
