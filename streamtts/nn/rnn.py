"""An LSTM whose whole-sequence kernel and single step share one set of weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class LSTMState:
    """Hidden and cell vectors, (B, H) each."""

    hidden: Tensor
    cell: Tensor


class LSTM(nn.Module):
    """One unidirectional layer (Hochreiter and Schmidhuber 1997).

    Args:
        inputs: features in.
        width: H.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.lstm = nn.LSTM(inputs, width, batch_first=True)

    def zeros(self, rows: int) -> LSTMState:
        """The state before the first step, of `rows` rows."""
        zero = self.lstm.all_weights[0][1].new_zeros(rows, self.width)
        return LSTMState(zero, zero)

    def forward(self, x: Tensor) -> Tensor:
        """Whole sequences from a zero state: (B, T, D) -> (B, T, H)."""
        return self.lstm(x)[0]

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """One step: (B, D) -> (B, H), equal to `forward` up to rounding."""
        hidden, cell = torch.lstm_cell(x, (state.hidden, state.cell), *self.lstm.all_weights[0])
        return hidden, LSTMState(hidden, cell)
