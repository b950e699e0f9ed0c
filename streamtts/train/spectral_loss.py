"""How far one sound is from another, as spectra see it (Yamamoto 2020, without the GAN)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from streamtts.nn.spectral import log_mel

_SMALLEST_POWER = 1e-12


class SpectralLoss(nn.Module):
    """Log-magnitude and spectral convergence at several resolutions, and log-mel distance.

    Magnitudes are scaled so that noise of standard deviation s measures about s.

    Args:
        n_ffts: window lengths; each window moves by a quarter of itself.
        floor: what is quieter counts little in the logarithms.
    """

    def __init__(
        self, n_ffts: tuple[int, ...] = (64, 128, 256, 512, 1024), floor: float = 1e-4
    ) -> None:
        super().__init__()
        self.n_ffts = n_ffts
        self.floor = floor
        for n_fft in n_ffts:
            window = torch.hann_window(n_fft, dtype=torch.float64)
            window = (window / window.square().sum().sqrt()).float()
            self.register_buffer(f"window_{n_fft}", window, persistent=False)

    def _magnitudes(self, wave: Tensor, n_fft: int) -> Tensor:
        frames = wave.unfold(1, n_fft, n_fft // 4) * self.get_buffer(f"window_{n_fft}")
        spectra = torch.view_as_real(torch.fft.rfft(frames))
        # A root at zero has no slope: keep a little away from it.
        return (spectra.square().sum(dim=-1) + _SMALLEST_POWER).sqrt()

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Distance of two batches of waves.

        Args:
            made: (B, S) float32, S at least the longest window.
            wanted: (B, S) float32.

        Returns:
            A scalar, 0 where both are the same.
        """
        total = made.new_zeros(())
        for n_fft in self.n_ffts:
            ours = self._magnitudes(made, n_fft)
            with torch.no_grad():
                theirs = self._magnitudes(wanted, n_fft)
                scale = theirs.norm().clamp_min(1e-3)
            logarithmic = ((ours + self.floor).log() - (theirs + self.floor).log()).abs().mean()
            total = total + logarithmic + (ours - theirs).norm() / scale
        with torch.no_grad():
            mel = log_mel(wanted)
        return total / len(self.n_ffts) + (log_mel(made) - mel).abs().mean()
