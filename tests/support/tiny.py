"""Small random models for tests."""

import torch

from streamtts.model.acoustic import AcousticConfig, AcousticModel
from streamtts.text.symbols import BOUNDARY_ID, FEATURE_SIZES, UNKNOWN_ID
from streamtts.vocoder.vocoder import Vocoder, VocoderConfig


def tiny_acoustic(
    seed: int = 0, *, reduction_factor: int = 2, postnet_lookahead: int = 1
) -> AcousticModel:
    """An acoustic model of small sizes with random weights, in eval mode."""
    torch.manual_seed(seed)
    config = AcousticConfig(
        feature_sizes=FEATURE_SIZES,
        boundary_id=BOUNDARY_ID,
        unknown_id=UNKNOWN_ID,
        memory_width=24,
        decoder_width=32,
        hazard_hidden=16,
        dwell_bins=8,
        dwell_width=8,
        max_dwell=12,
        reduction_factor=reduction_factor,
        postnet_width=16,
        postnet_lookahead=postnet_lookahead,
    )
    model = AcousticModel(config).eval()
    for p in model.parameters():
        p.requires_grad_(False)
    return model


def random_features(n: int, seed: int = 0) -> torch.Tensor:
    """(n, F) symbol features, phones only."""
    generator = torch.Generator().manual_seed(seed)
    columns = [
        torch.randint(2 if i == 0 else 0, size, (n,), generator=generator)
        for i, size in enumerate(FEATURE_SIZES)
    ]
    return torch.stack(columns, dim=-1)


def tiny_vocoder(seed: int = 0) -> Vocoder:
    """A vocoder of small sizes with random weights, in eval mode."""
    torch.manual_seed(seed)
    vocoder = Vocoder(VocoderConfig(channels=16, inner=32, blocks=1)).eval()
    return vocoder.requires_grad_(False)
