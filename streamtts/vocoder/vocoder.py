"""The vocoder: frames in, sound out, a few milliseconds later; streams row by row.

Harmonics plus noise, each multiplied in short spectra with what a small net says, and added up
where they overlap (after FreeV and the DDSP vocoders: the net starts from the mel's own envelope,
so it is intelligible before it has learnt anything).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamtts.nn.spectral import (
    HOP_LENGTH,
    LOG_MEL_FLOOR,
    N_MELS,
    SAMPLE_RATE,
    mel_to_linear,
)
from streamtts.vocoder.excitation import Excitation, ExcitationState
from streamtts.vocoder.filters import FilterNet, FilterState

_ENVELOPE_REACH_HZ = 110.0
"""The mel shows low harmonics one by one; the envelope that the filters start from must not."""


@dataclass(frozen=True, slots=True)
class VocoderConfig:
    """Sizes of a vocoder; they travel in the voice's manifest.

    Attributes:
        sample_rate: in Hz.
        hop_length: samples in a frame; excitation is cut into windows twice as long.
        n_mels: log-mel bins in a frame.
        n_fft: of the filters, at least twice `hop_length`; what is more is room for them to ring.
        channels: of the net.
        inner: width inside the net's blocks.
        blocks: of the net.
        kernel_size: of the net's convolutions, in frames.
        bands: in which noise is shaped, and harmonics coarsely.
    """

    sample_rate: int = SAMPLE_RATE
    hop_length: int = HOP_LENGTH
    n_mels: int = N_MELS
    n_fft: int = 512
    channels: int = 128
    inner: int = 384
    blocks: int = 4
    kernel_size: int = 7
    bands: int = 40


@dataclass(frozen=True, slots=True)
class VocoderState:
    """What each row's stream carries from one step to the next.

    Attributes:
        net: the filter net's.
        excitation: the excitation's.
        block: (B, 2, hop_length), the last block of excitation, harmonics and noise.
        mel: (B, lookahead, n_mels), frames that the net has not come to yet.
        tail: (B, hop_length), the second half of the last filtered frame.
    """

    net: FilterState
    excitation: ExcitationState
    block: Tensor
    mel: Tensor
    tail: Tensor


class Vocoder(nn.Module):
    """Frames to sound.

    Sample `n` of the sound lies at the centre of frame `n / hop_length`; a stream's samples come
    out `delay_samples` late, and `flush` gives what is held back.

    Args:
        config: sizes.

    Attributes:
        hop_length: samples for every frame.
        sample_rate: in Hz.
        lookahead_frames: how many frames after its own a sample depends on.
        delay_samples: how late the samples come out of `step`.

    Raises:
        ValueError: `n_fft` is odd or shorter than two hops.
    """

    offset: Tensor
    scale: Tensor
    window: Tensor
    spread_mel: Tensor
    spread_bands: Tensor

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        hop, n_fft = config.hop_length, config.n_fft
        if n_fft < 2 * hop or n_fft % 2:
            raise ValueError(f"n_fft must be even and at least {2 * hop}, got {n_fft}")
        self.config = config
        self.hop_length = hop
        self.sample_rate = config.sample_rate
        self.bins = n_fft // 2 + 1
        self.net = FilterNet(
            config.n_mels + 2,
            2 * self.bins + 2 * config.bands,
            config.channels,
            config.inner,
            config.blocks,
            config.kernel_size,
        )
        with torch.no_grad():
            self.net.head.bias[: self.bins] = 1.0  # starts as the mel's own envelope
            self.net.head.bias[2 * self.bins + config.bands :] = -2.0
        self.excitation = Excitation(config.sample_rate, hop)
        self.lookahead_frames = self.net.lookahead
        self.delay_samples = (1 + self.lookahead_frames) * hop
        # Silence, unvoiced at about 110 Hz, is zero to the net: what lies before a stream's start.
        offset = torch.tensor([LOG_MEL_FLOOR] * config.n_mels + [4.7, 0.0])
        self.register_buffer("offset", offset, persistent=False)
        scale = torch.tensor([0.25] * config.n_mels + [4.0, 1.0])
        self.register_buffer("scale", scale, persistent=False)
        # Its square adds up to one; used before and behind the filters, so that what rings past
        # the end of a frame fades out.
        window = torch.hann_window(2 * hop, dtype=torch.float64).sqrt().float()
        self.register_buffer("window", window, persistent=False)
        spread_mel = mel_to_linear(
            n_fft, config.sample_rate, config.n_mels, reach_hz=_ENVELOPE_REACH_HZ
        )
        self.register_buffer("spread_mel", spread_mel, persistent=False)
        spread_bands = mel_to_linear(n_fft, config.sample_rate, config.bands)
        self.register_buffer("spread_bands", spread_bands, persistent=False)

    def zeros(self, rows: int, seeds: Tensor) -> VocoderState:
        """State of `rows` streams that have not begun; before them is silence.

        Args:
            rows: B.
            seeds: (B,) int64, what each row's noise depends on.
        """
        new = self.window.new_zeros
        mel = new(rows, self.lookahead_frames, self.config.n_mels)
        return VocoderState(
            net=self.net.zeros(rows),
            excitation=self.excitation.zeros(rows, seeds),
            block=new(rows, 2, self.hop_length),
            mel=mel + LOG_MEL_FLOOR,
            tail=new(rows, self.hop_length),
        )

    def step(self, frames: Tensor, state: VocoderState) -> tuple[Tensor, VocoderState]:
        """Speak the next frames.

        Args:
            frames: (B, T, n_mels + 2): log-mel, ln F0 in Hz, voicing 0 to 1; T may be 0.
            state: of B rows.

        Returns:
            (B, T * hop_length) samples, `delay_samples` late (so the first that many of a stream
            are to be dropped), and the new state.
        """
        rows, count = frames.shape[:2]
        if count == 0:
            return frames.new_zeros(rows, 0), state
        n_mels = self.config.n_mels
        log_mel, ln_f0, voicing = frames[..., :n_mels], frames[..., n_mels], frames[..., -1]
        blocks, excitation = self.excitation(ln_f0, voicing, state.excitation)
        parameters, net = self.net((frames - self.offset) * self.scale, state.net)
        late_mel = torch.cat([state.mel, log_mel], dim=1)
        spectra = self._filter(
            torch.cat([state.block[:, None], blocks], dim=1), parameters, late_mel[:, :count]
        )
        samples, tail = self._overlap_add(spectra, state.tail)
        return samples, VocoderState(net, excitation, blocks[:, -1], late_mel[:, count:], tail)

    def flush(self, state: VocoderState) -> tuple[Tensor, VocoderState]:
        """Give what is held back; behind the last frame comes silence.

        Args:
            state: of B rows.

        Returns:
            (B, delay_samples) samples and the new state.
        """
        rows = state.block.shape[0]
        count = -(-self.delay_samples // self.hop_length)
        frames = self.window.new_full((rows, count, self.config.n_mels + 2), LOG_MEL_FLOOR)
        frames[..., -2] = state.excitation.pitch[:, :1].clamp_min(1.0).log()
        frames[..., -1] = 0.0
        samples, state = self.step(frames, state)
        return samples[:, : self.delay_samples], state

    def offline(self, frames: Tensor, seeds: Tensor) -> Tensor:
        """Speak whole utterances.

        Args:
            frames: (B, T, n_mels + 2), as for `step`.
            seeds: (B,) int64.

        Returns:
            (B, T * hop_length) samples; the first lies at the centre of the first frame.
        """
        samples, state = self.step(frames, self.zeros(frames.shape[0], seeds))
        rest, _ = self.flush(state)
        return torch.cat([samples, rest], dim=1)[:, self.delay_samples :]

    def _filter(self, blocks: Tensor, parameters: Tensor, log_mel: Tensor) -> Tensor:
        """Shape excitation: blocks (B, T + 1, 2, hop), parameters and log_mel (B, T, ...).

        Returns:
            (B, T, 2 * hop) samples, windowed so that overlapping ones can be added up.
        """
        n_fft, bands = self.config.n_fft, self.config.bands
        windowed = torch.cat([blocks[:, :-1], blocks[:, 1:]], dim=-1) * self.window
        spectra = torch.fft.rfft(windowed, n=n_fft)
        real = parameters[..., : self.bins]
        imaginary = parameters[..., self.bins : 2 * self.bins]
        coarse = parameters[..., 2 * self.bins :].reshape(*parameters.shape[:2], 2, bands)
        gains = coarse.exp() @ self.spread_bands * (log_mel.exp() @ self.spread_mel)[:, :, None]
        mixed = spectra[:, :, 0] * torch.complex(real, imaginary) * gains[:, :, 0]
        mixed = mixed + spectra[:, :, 1] * gains[:, :, 1]
        shaped: Tensor = torch.fft.irfft(mixed, n=n_fft)
        return shaped[..., : 2 * self.hop_length] * self.window

    def _overlap_add(self, frames: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Add up frames (B, T, 2 * hop) every hop; gives (B, T * hop) and what is left over."""
        begins, ends = frames[..., : self.hop_length], frames[..., self.hop_length :]
        total = begins + torch.cat([tail[:, None], ends[:, :-1]], dim=1)
        return total.flatten(1), ends[:, -1]
