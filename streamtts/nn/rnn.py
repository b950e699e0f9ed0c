"""An LSTM over whole sequences; its steps are in `model/cell.py`."""

from __future__ import annotations

from torch import Tensor, nn


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

    def forward(self, x: Tensor) -> Tensor:
        """From a zero state: (B, T, D) -> (B, T, H)."""
        return self.lstm(x)[0]
