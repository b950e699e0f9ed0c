"""The net that says, frame by frame, how harmonics and noise are to be shaped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from streamtts.nn.conv import CausalConvLast, CausalDepthwise, ConvState


@dataclass(frozen=True, slots=True)
class FilterState:
    """Tails of the net's convolutions.

    Attributes:
        first: of the convolution over the frames.
        blocks: of each block's depthwise convolution.
    """

    first: ConvState
    blocks: tuple[ConvState, ...]


class Block(nn.Module):
    """A causal ConvNeXt block (Liu 2022): depthwise convolution, norm, two linear layers.

    Args:
        channels: C.
        inner: width between the linear layers.
        kernel_size: K of the depthwise convolution.
    """

    def __init__(self, channels: int, inner: int, kernel_size: int) -> None:
        super().__init__()
        self.depthwise = CausalDepthwise(channels, kernel_size)
        self.norm = nn.LayerNorm(channels)
        self.wide = nn.Linear(channels, inner)
        self.narrow = nn.Linear(inner, channels)
        with torch.no_grad():
            self.narrow.weight *= 0.2

    def forward(self, x: Tensor, state: ConvState) -> tuple[Tensor, ConvState]:
        """From (B, T, C) to (B, T, C) and the new state."""
        y, state = self.depthwise(x, state)
        return x + self.narrow(torch.relu_(self.wide(self.norm(y)))), state


class FilterNet(nn.Module):
    """Frames to filter parameters, looking two frames ahead: as far as the window of a frame does.

    Args:
        in_size: features in a frame.
        out_size: parameters of a frame's filters.
        channels: C inside.
        inner: width inside a block.
        blocks: how many.
        kernel_size: K of every convolution.
    """

    lookahead = 2

    def __init__(
        self, in_size: int, out_size: int, channels: int, inner: int, blocks: int, kernel_size: int
    ) -> None:
        super().__init__()
        self.first = CausalConvLast(in_size, channels, kernel_size, lookahead=self.lookahead)
        self.blocks = nn.ModuleList(Block(channels, inner, kernel_size) for _ in range(blocks))
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, out_size)
        with torch.no_grad():
            self.head.weight *= 0.1
            self.head.bias.zero_()

    def zeros(self, rows: int) -> FilterState:
        """State of `rows` streams that have not begun."""
        return FilterState(
            self.first.zeros(rows),
            tuple(cast(Block, block).depthwise.zeros(rows) for block in self.blocks),
        )

    def forward(self, x: Tensor, state: FilterState) -> tuple[Tensor, FilterState]:
        """From (B, T, in_size) to (B, T, out_size), `lookahead` frames late, and the new state."""
        x, first = self.first(x, state.first)
        tails = []
        for block, tail in zip(self.blocks, state.blocks, strict=True):
            x, tail = block(x, tail)
            tails.append(tail)
        return self.head(self.norm(x)), FilterState(first, tuple(tails))
