"""The net that says, frame by frame, how harmonics and noise are to be shaped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from streamtts.nn.conv import CausalConvLast, CausalDepthwise, ConvState

_PIECE = 384
"""Inputs of a bfloat16 product: up to 512 are known to be added up in one go."""


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices by tiles (AMX): far faster than float32.

    Only there is it known that `PackedLinear` keeps its promise about rows.
    """
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return probe is not None and bool(probe()) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@dataclass(frozen=True, slots=True)
class FilterState:
    """Tails of the net's convolutions.

    Attributes:
        first: of the convolution over the frames.
        blocks: of each block's depthwise convolution.
    """

    first: ConvState
    blocks: tuple[ConvState, ...]


class PackedLinear(nn.Module):
    """A linear layer in bfloat16, made from a trained one and laid out for oneDNN; no gradients.

    A row's outputs are the same bits however many rows there are. Of itself oneDNN adds up many
    inputs in more than one go when there are many rows, so they are cut into pieces of `_PIECE`.

    Args:
        linear: with a bias.
        activation: what follows: "none" or "relu" (not above `_PIECE` inputs).
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, linear: nn.Linear, activation: str = "none") -> None:
        super().__init__()
        self.activation = activation
        self.register_buffer("weight", linear.weight.detach().bfloat16())
        self.register_buffer("bias", linear.bias.detach().bfloat16())
        pieces = self.weight.tensor_split(-(-linear.in_features // _PIECE), dim=1)
        # Not tensors like others: their numbers lie as oneDNN likes them.
        self._packed = [torch.ops.mkldnn._reorder_linear_weight(p.contiguous()) for p in pieces]

    def forward(self, x: Tensor) -> Tensor:
        """From (..., in) float32 or bfloat16 to (..., out) bfloat16."""
        pieces = x.bfloat16().tensor_split(len(self._packed), dim=-1)
        linear, bias = torch.ops.mkldnn._linear_pointwise, self.bias
        y: Tensor = linear(pieces[0].contiguous(), self._packed[0], bias, self.activation, [], "")
        for piece, packed in zip(pieces[1:], self._packed[1:], strict=True):
            y = y + linear(piece.contiguous(), packed, None, "none", [], "")
        return y


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
        self.relu = nn.ReLU(inplace=True)
        self.narrow = nn.Linear(inner, channels)
        with torch.no_grad():
            self.narrow.weight *= 0.2

    def forward(self, x: Tensor, state: ConvState) -> tuple[Tensor, ConvState]:
        """From (B, T, C) to (B, T, C) and the new state."""
        y, state = self.depthwise(x, state)
        return x + self.narrow(self.relu(self.wide(self.norm(y)))), state


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
        x, first = self.first(x.to(self.head.weight.dtype), state.first)
        x = x.float()
        tails = []
        for block, tail in zip(self.blocks, state.blocks, strict=True):
            x, tail = block(x, tail)
            tails.append(tail)
        return self.head(self.norm(x)).float(), FilterState(first, tuple(tails))

    def use_bfloat16(self) -> None:
        """Multiply matrices in bfloat16 from now on; what is added up stays float32."""
        for layer in (self.first, *self.blocks, self):
            for name, linear in list(layer.named_children()):
                if isinstance(linear, nn.Linear):
                    activation = "relu" if name == "wide" else "none"
                    layer.add_module(name, PackedLinear(linear, activation))
        for block in self.blocks:
            block.add_module("relu", nn.Identity())  # it is in `wide` now
