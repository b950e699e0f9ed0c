import math

import pytest
import torch

from streamtts.nn.spectral import (
    HOP_LENGTH,
    LOG_MEL_FLOOR,
    MEL_FLOOR,
    N_MELS,
    SAMPLE_RATE,
    _analysis_constants,
    frames_in,
    hz_to_mel,
    log_mel,
    mel_edges_hz,
    mel_filterbank,
    mel_to_hz,
    mel_to_linear,
)


@pytest.mark.parametrize("hz", [0.0, 10.0, 999.0, 1000.0, 1001.0, 8000.0])
def test_mel_scale_goes_there_and_back(hz):
    assert mel_to_hz(hz_to_mel(hz)) == pytest.approx(hz)


def test_filters_are_weighted_means():
    filters = mel_filterbank(800)
    assert filters.shape == (N_MELS, 401)
    assert bool((filters >= 0).all())
    torch.testing.assert_close(filters.sum(dim=1), torch.ones(N_MELS))


def test_filters_too_narrow_for_the_transform_are_refused():
    with pytest.raises(ValueError, match="too narrow"):
        mel_filterbank(64)


def test_mel_to_linear_keeps_a_flat_spectrum_flat_and_a_smooth_one_in_place():
    matrix = mel_to_linear(512)
    assert matrix.shape == (N_MELS, 257)
    assert bool((matrix >= 0).all())
    torch.testing.assert_close(torch.ones(N_MELS) @ matrix, torch.ones(257))
    centres = mel_edges_hz(N_MELS, SAMPLE_RATE / 2)[1:-1].float()
    bins = torch.arange(257) * (SAMPLE_RATE / 512)
    inside = (bins >= centres[0]) & (bins <= centres[-1])
    torch.testing.assert_close((centres @ matrix)[inside], bins[inside], rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("samples", [0, 1, 199, 200, 201, 4000])
def test_a_frame_is_centred_on_every_hop(samples):
    mel = log_mel(torch.zeros(2, samples))
    assert mel.shape == (2, frames_in(samples), N_MELS)
    torch.testing.assert_close(mel, torch.full_like(mel, LOG_MEL_FLOOR))


def test_noise_measures_its_own_deviation():
    noise = 0.1 * torch.randn(1, 160_000, generator=torch.Generator().manual_seed(1))
    # The mean magnitude of complex Gaussian noise of power 1 is sqrt(pi) / 2.
    mean = log_mel(noise).exp().mean(dim=(0, 1))
    torch.testing.assert_close(
        mean[2:], torch.full((N_MELS - 2,), 0.1 * math.sqrt(math.pi) / 2), rtol=0.1, atol=0
    )


def test_a_tone_is_loudest_in_its_own_filter():
    time_s = torch.arange(16_000) / SAMPLE_RATE
    for hz in (300.0, 1000.0, 5000.0):
        mel = log_mel(torch.sin(2 * math.pi * hz * time_s)[None])[0, 40]
        centre = float(mel_edges_hz(N_MELS, SAMPLE_RATE / 2)[1:-1][int(mel.argmax())])
        assert centre == pytest.approx(hz, rel=0.08)


def test_a_click_is_loudest_in_the_frame_centred_on_it():
    wave = torch.zeros(1, 4000)
    wave[0, 10 * HOP_LENGTH] = 1.0
    energies = log_mel(wave).exp().sum(dim=-1)[0]
    assert int(energies.argmax()) == 10
    assert float(energies[:8].max()) == pytest.approx(N_MELS * MEL_FLOOR, rel=1e-4)


def test_it_can_be_trained_through_after_inference():
    wave = torch.zeros(1, 400)
    with torch.inference_mode():
        log_mel(wave)
    _analysis_constants.cache_clear()
    with torch.inference_mode():
        log_mel(wave)
    wave.requires_grad_()
    log_mel(wave).sum().backward()
    assert wave.grad is not None


def test_wave_without_rows_is_refused():
    with pytest.raises(ValueError, match="must be"):
        log_mel(torch.zeros(100))
