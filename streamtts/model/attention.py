"""Hard stepwise monotonic attention: a stream stands on one symbol and stays or moves on by one.

Source: He, Deng, He 2019, "Robust Sequence-to-Sequence Acoustic Modeling with Stepwise Monotonic
Attention for Neural TTS" (stepwise constraint), in hard mode in training too, since the teacher's
alignment is known. The chance of moving on is a discrete-time hazard, and a stream moves on when
the survival product of (1 - hazard) falls below one half: that is the median of the learned
duration, where a threshold on the hazard itself would make speech drag.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StepwiseMonotonicAttention(nn.Module):
    """Reads the memory of the symbol a row stands on and of the next one; decides to move on.

    Args:
        memory_width: D.
        query_width: Q, of the decoder state that asks.
        hidden: units of the hazard head.
        dwell_bins: the dwell beyond which all counts look the same.
        dwell_width: features of the dwell embedding.
        max_dwell: steps after which a row moves on whatever the hazard says.
    """

    def __init__(
        self,
        memory_width: int,
        query_width: int,
        hidden: int,
        dwell_bins: int,
        dwell_width: int,
        max_dwell: int,
    ) -> None:
        super().__init__()
        self.max_dwell = max_dwell
        self.dwell_bins = dwell_bins
        self.no_following = nn.Parameter(torch.zeros(memory_width))
        self.dwell = nn.Embedding(dwell_bins, dwell_width)
        self.hazard = nn.Sequential(
            nn.Linear(query_width + 2 * memory_width + dwell_width, hidden),
            nn.Tanh(),
            nn.Linear(hidden, 1),
        )

    def embed_dwell(self, dwell: Tensor) -> Tensor:
        """Dwell counts (...) int64 as features (..., W)."""
        features: Tensor = self.dwell(dwell.clamp(max=self.dwell_bins - 1))
        return features

    def context(self, here: Tensor, following: Tensor, has_following: Tensor) -> Tensor:
        """What the decoder reads.

        Args:
            here: (..., D) memory of the symbol stood on.
            following: (..., D) memory of the next one; ignored where it has not arrived.
            has_following: (...) bool.

        Returns:
            (..., 2 D).
        """
        following = torch.where(
            has_following[..., None], following, self.no_following.to(following.dtype)
        )
        return torch.cat([here, following], dim=-1)

    def logits(self, query: Tensor, context_vec: Tensor, dwell_features: Tensor) -> Tensor:
        """The log-odds of moving on after this step: (..., Q), (..., 2 D), (..., W) -> (...)."""
        return self.hazard(torch.cat([query, context_vec, dwell_features], dim=-1))[..., 0]


def move(logits: Tensor, dwell: Tensor, survival: Tensor, max_dwell: int) -> tuple[Tensor, Tensor]:
    """Stay or move on, after a step.

    Args:
        logits: (B,), of moving on.
        dwell: (B,) int64, steps made on this symbol before this one; changed in place.
        survival: (B,), the chance of still being here; changed in place.
        max_dwell: steps after which a row moves on whatever the hazard says.

    Returns:
        hazard (B,) and leave (B,) bool.
    """
    hazard = torch.sigmoid(logits)
    survival.addcmul_(survival, hazard, value=-1.0)
    dwell.add_(1)
    leave = (survival < 0.5).logical_or_(dwell >= max_dwell)
    dwell.masked_fill_(leave, 0)
    survival.masked_fill_(leave, 1.0)
    return hazard, leave
