"""The vocoder: frames in, sound out, a few milliseconds later; streams row by row.

Harmonics plus noise, each multiplied in short spectra with what a small net says, and added up
where they overlap (after FreeV and the DDSP vocoders: the net starts from the mel's own envelope,
so it is intelligible before it has learnt anything).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamtts.nn.spectral import (
    HOP_LENGTH,
    LOG_MEL_FLOOR,
    N_MELS,
    SAMPLE_RATE,
    mel_filterbank,
)
from streamtts.vocoder.excitation import Excitation, ExcitationState
from streamtts.vocoder.filters import FilterNet, FilterState, has_fast_bfloat16

_WINDOW_HOPS = 4
"""Hops in a filtered frame: long enough to tell the harmonics of a low voice apart."""
_ENVELOPE_FLOOR = 1e-5


@dataclass(frozen=True, slots=True)
class VocoderConfig:
    """Sizes of a vocoder; they travel in the voice's manifest.

    Attributes:
        sample_rate: in Hz.
        hop_length: samples in a frame; excitation is cut into windows of four of them.
        n_mels: log-mel bins in a frame.
        channels: of the net.
        inner: width inside the net's blocks.
        blocks: of the net.
        kernel_size: of the net's convolutions, in frames.
    """

    sample_rate: int = SAMPLE_RATE
    hop_length: int = HOP_LENGTH
    n_mels: int = N_MELS
    channels: int = 128
    inner: int = 384
    blocks: int = 4
    kernel_size: int = 7


@dataclass(frozen=True, slots=True)
class VocoderState:
    """What each row's stream carries from one step to the next.

    Attributes:
        net: the filter net's.
        excitation: the excitation's.
        pulses: (B, 3, hop_length), the last blocks of the pulse train.
        mel: (B, lookahead, n_mels), frames that the net has not come to yet.
        tail: (B, 3, hop_length), what filtered frames have left for the next three hops.
    """

    net: FilterState
    excitation: ExcitationState
    pulses: Tensor
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
        lookahead_frames: how far ahead the filters look; their windows reach as far.
        delay_samples: how late the samples come out of `step`.
    """

    offset: Tensor
    scale: Tensor
    window: Tensor
    spread_mel: Tensor

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        hop, n_fft = config.hop_length, _WINDOW_HOPS * config.hop_length
        self.config = config
        self.hop_length = hop
        self.sample_rate = config.sample_rate
        self.bins = n_fft // 2 + 1
        self.net = FilterNet(
            config.n_mels + 2,
            3 * self.bins,
            config.channels,
            config.inner,
            config.blocks,
            config.kernel_size,
        )
        with torch.no_grad():
            self.net.head.bias[2 * self.bins :] = -2.0  # starts mostly voiced
        self.lookahead_frames = self.net.lookahead
        self.delay_samples = _WINDOW_HOPS * hop
        # Silence, unvoiced at about 110 Hz, is zero to the net: what lies before a stream's start.
        scale = torch.tensor([0.25] * config.n_mels + [4.0, 1.0])
        self.register_buffer("scale", scale, persistent=False)
        offset = -scale * torch.tensor([LOG_MEL_FLOOR] * config.n_mels + [4.7, 0.0])
        self.register_buffer("offset", offset, persistent=False)
        # Before and behind the filters; its square adds up to one over four hops.
        window = torch.hann_window(n_fft, dtype=torch.float64) / math.sqrt(1.5)
        self.register_buffer("window", window.float(), persistent=False)
        self.excitation = Excitation(config.sample_rate, hop, self.window)
        filters = mel_filterbank(n_fft, config.sample_rate, config.n_mels)
        spread_mel = torch.linalg.pinv(filters.double()).T.float().contiguous()
        self.register_buffer("spread_mel", spread_mel, persistent=False)

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
            pulses=new(rows, _WINDOW_HOPS - 1, self.hop_length),
            mel=mel + LOG_MEL_FLOOR,
            tail=new(rows, _WINDOW_HOPS - 1, self.hop_length),
        )

    def use_bfloat16(self) -> bool:
        """Let the net multiply in bfloat16 from now on, where the processor is fast at it.

        States made before are of no use after. Cuts and rows stay equal to the bit, but frames
        that differ in their last bits may now give samples that differ by 1e-3. No gradients.

        Returns:
            Whether it does: False where float32 is as fast, and nothing has changed.
        """
        if not has_fast_bfloat16():
            return False
        self.net.use_bfloat16()
        return True

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
        pulses, noise, excitation = self.excitation(frames[..., n_mels], state.excitation)
        pulses = torch.cat([state.pulses, pulses], dim=1)
        parameters, net = self.net(torch.addcmul(self.offset, frames, self.scale), state.net)
        mel = torch.cat([state.mel, frames[..., :n_mels]], dim=1)
        shaped = self._filter(pulses, noise, parameters, mel[:, :count])
        samples, tail = self._overlap_add(shaped, state.tail)
        return samples, VocoderState(net, excitation, pulses[:, count:], mel[:, count:], tail)

    def flush(self, state: VocoderState) -> tuple[Tensor, VocoderState]:
        """Give what is held back; behind the last frame comes silence.

        Args:
            state: of B rows.

        Returns:
            (B, delay_samples) samples and the new state.
        """
        rows = state.pulses.shape[0]
        return self.finish(self.window.new_zeros(rows, 0, self.config.n_mels + 2), state)

    def finish(self, frames: Tensor, state: VocoderState) -> tuple[Tensor, VocoderState]:
        """Speak the last frames, and what is held back, in one call: `step` and then `flush`.

        Args:
            frames: (B, T, n_mels + 2), as for `step`; T may be 0.
            state: of B rows.

        Returns:
            (B, T * hop_length + delay_samples) samples and the new state.
        """
        rows, given, width = frames.shape
        count = -(-self.delay_samples // self.hop_length)
        silence = frames.new_full((rows, count, width), LOG_MEL_FLOOR)
        pitch = state.excitation.pitch
        if given:
            pitch = self.excitation.pitch_of(frames[:, -1, -2])
        silence[..., -2] = pitch[:, None].clamp_min(1.0).log()
        silence[..., -1] = 0.0
        samples, state = self.step(torch.cat([frames, silence], dim=1), state)
        return samples[:, : given * self.hop_length + self.delay_samples], state

    def offline(self, frames: Tensor, seeds: Tensor) -> Tensor:
        """Speak whole utterances.

        Args:
            frames: (B, T, n_mels + 2), as for `step`.
            seeds: (B,) int64.

        Returns:
            (B, T * hop_length) samples; the first lies at the centre of the first frame.
        """
        samples, _ = self.finish(frames, self.zeros(frames.shape[0], seeds))
        return samples[:, self.delay_samples :]

    def _filter(self, pulses: Tensor, noise: Tensor, parameters: Tensor, log_mel: Tensor) -> Tensor:
        """Shape pulses (B, T + 3, hop) and spectra of noise (B, T, bins).

        Args:
            pulses: in time, with the three blocks before the first frame's.
            noise: complex.
            parameters: (B, T, 3 * bins), from the net.
            log_mel: (B, T, n_mels), of the frames at the windows' centres.

        Returns:
            (B, T, 4 * hop) samples, still to be windowed and added up.
        """
        windows = pulses.flatten(1).unfold(1, self.window.shape[0], self.hop_length)
        spectra = torch.fft.rfft(windows * self.window)
        gain, turn, noise_gain = parameters.chunk(3, dim=-1)
        envelope = (log_mel.exp() @ self.spread_mel).clamp_min_(_ENVELOPE_FLOOR)
        level, angle = envelope * gain.exp(), math.pi * torch.tanh(turn)
        # torch.polar says the same and takes ten times as long: it is not vectorised.
        filters = torch.complex(angle.cos().mul_(level), angle.sin().mul_(level))
        mixed = filters.mul_(spectra).add_(noise * (envelope * noise_gain.exp()))
        shaped: Tensor = torch.fft.irfft(mixed, n=self.window.shape[0])
        return shaped

    def _overlap_add(self, frames: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Window frames (B, T, 4 * hop) and add them up every hop.

        Returns:
            (B, T * hop) samples, and what is left over, (B, 3, hop).
        """
        rows, count = frames.shape[:2]
        parts = frames.unflatten(2, (_WINDOW_HOPS, self.hop_length))
        windows = self.window.unflatten(0, (_WINDOW_HOPS, self.hop_length))
        total = tail.new_empty(rows, count + _WINDOW_HOPS - 1, self.hop_length)
        total[:, : _WINDOW_HOPS - 1] = tail
        total[:, _WINDOW_HOPS - 1 :] = 0.0
        for part in range(_WINDOW_HOPS):
            total[:, part : part + count].addcmul_(parts[:, :, part], windows[part])
        return total[:, :count].flatten(1), total[:, count:]
