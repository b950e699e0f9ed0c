"""Streaming convolutions: the past travels in the state, and the look-ahead is a delay."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class ConvState:
    """What a convolution still needs of its past.

    Attributes:
        tail: (B, C, K - 1), or (B, K - 1, C) where the convolution is channels-last.
    """

    tail: Tensor


class CausalConv1d(nn.Module):
    """A 1-D convolution that streams; T frames in, T frames out.

    Output t is centred on input t - lookahead: with a look-ahead the output is delayed by it, and
    the first `lookahead` outputs of a stream lie before its start.

    Args:
        in_channels: C of the input.
        out_channels: C of the output.
        kernel_size: K, how many inputs one output reads.
        lookahead: how many of them lie ahead of its centre, below K.
        groups: as in `torch.nn.Conv1d`.
        bias: as in `torch.nn.Conv1d`.

    Raises:
        ValueError: the look-ahead does not fit into the kernel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        lookahead: int = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if not 0 <= lookahead < kernel_size:
            raise ValueError(f"a kernel of {kernel_size} cannot look {lookahead} ahead")
        self.lookahead = lookahead
        self.in_channels = in_channels
        self.tail_frames = kernel_size - 1
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, groups=groups, bias=bias)

    def zeros(self, rows: int) -> ConvState:
        """State of `rows` streams that have not begun: silence (zeros) behind them."""
        weight = self.conv.weight
        return ConvState(weight.new_zeros(rows, self.in_channels, self.tail_frames))

    def forward(self, x: Tensor, state: ConvState) -> tuple[Tensor, ConvState]:
        """Convolve the next frames.

        Args:
            x: (B, C, T); T may be 0.
            state: of B rows.

        Returns:
            (B, out_channels, T), delayed by `lookahead`, and the new state.
        """
        if x.shape[-1] == 0:
            return x.new_zeros(x.shape[0], self.conv.out_channels, 0), state
        x = torch.cat([state.tail, x], dim=-1)
        return self.conv(x), ConvState(x[..., x.shape[-1] - self.tail_frames :])


class CausalConvLast(nn.Module):
    """`CausalConv1d` for channels-last input, as one matrix product: cheaper for short chunks.

    Args:
        in_channels: C of the input.
        out_channels: C of the output.
        kernel_size: K, how many inputs one output reads.
        lookahead: how many of them lie ahead of its centre, below K.

    Raises:
        ValueError: the look-ahead does not fit into the kernel.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, lookahead: int = 0
    ) -> None:
        super().__init__()
        if not 0 <= lookahead < kernel_size:
            raise ValueError(f"a kernel of {kernel_size} cannot look {lookahead} ahead")
        self.lookahead = lookahead
        self.in_channels = in_channels
        self.kernel_size = kernel_size
        self.linear = nn.Linear(in_channels * kernel_size, out_channels)

    def zeros(self, rows: int) -> ConvState:
        """State of `rows` streams that have not begun: silence (zeros) behind them."""
        weight = self.linear.weight
        return ConvState(weight.new_zeros(rows, self.kernel_size - 1, self.in_channels))

    def forward(self, x: Tensor, state: ConvState) -> tuple[Tensor, ConvState]:
        """Convolve the next frames.

        Args:
            x: (B, T, C); T may be 0.
            state: of B rows.

        Returns:
            (B, T, out_channels), delayed by `lookahead`, and the new state.
        """
        frames = x.shape[1]
        x = torch.cat([state.tail, x], dim=1)
        taps = [x[:, tap : tap + frames] for tap in range(self.kernel_size)]
        return self.linear(torch.cat(taps, dim=-1)), ConvState(x[:, frames:])


class CausalDepthwise(nn.Module):
    """A causal depthwise convolution for channels-last input: one filter a channel.

    Args:
        channels: C.
        kernel_size: K.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        bound = kernel_size**-0.5
        self.weight = nn.Parameter(torch.empty(kernel_size, channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(channels))

    def zeros(self, rows: int) -> ConvState:
        """State of `rows` streams that have not begun: silence (zeros) behind them."""
        kernel_size, channels = self.weight.shape
        return ConvState(self.weight.new_zeros(rows, kernel_size - 1, channels))

    def forward(self, x: Tensor, state: ConvState) -> tuple[Tensor, ConvState]:
        """Convolve the next frames.

        Args:
            x: (B, T, C); T may be 0.
            state: of B rows.

        Returns:
            (B, T, C) and the new state.
        """
        frames = x.shape[1]
        x = torch.cat([state.tail, x], dim=1)
        y: Tensor = self.bias
        for tap, weight in enumerate(self.weight):
            y = torch.addcmul(y, x[:, tap : tap + frames], weight)
        return y, ConvState(x[:, frames:])
