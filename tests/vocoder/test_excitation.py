import math

import pytest
import torch

from streamtts.vocoder.excitation import Excitation, mix, mix_seed, noise_table

RATE, HOP = 16_000, 200
WINDOW = torch.hann_window(4 * HOP) / math.sqrt(1.5)  # its square adds up to one every hop


@pytest.fixture(scope="module")
def excitation():
    return Excitation(RATE, HOP, WINDOW)


def run(excitation, hz, frames=80, seeds=(1,)):
    """Pulses (B, S), the samples (B, S - 3 * HOP) that the noise is made of, the new state."""
    seeds = torch.tensor(seeds)
    ln_f0 = torch.full((len(seeds), frames), math.log(hz))
    pulses, spectra, state = excitation(ln_f0, excitation.zeros(len(seeds), seeds))
    windows = (torch.fft.irfft(spectra, n=4 * HOP) * WINDOW).transpose(1, 2)
    size = (1, (frames + 3) * HOP)
    noise = torch.nn.functional.fold(windows, size, (1, 4 * HOP), stride=(1, HOP))[:, 0, 0]
    return pulses.flatten(1), noise[:, 3 * HOP : -3 * HOP], state


@pytest.mark.parametrize("hz", [60.0, 100.0, 237.5, 400.0])
def test_pulses_come_at_the_pitch(excitation, hz):
    pulses = run(excitation, hz)[0][0]
    assert float(pulses.square().mean()) == pytest.approx(1.0, rel=0.05)
    spectrum = torch.fft.rfft(pulses * torch.hann_window(len(pulses))).abs()
    bin_hz = RATE / len(pulses)
    for harmonic in (1, 2, 7):
        near = spectrum[round((harmonic - 0.4) * hz) : round((harmonic + 0.4) * hz)]
        peak = round((harmonic - 0.4) * hz) + int(near.argmax())
        assert peak * bin_hz == pytest.approx(harmonic * hz, abs=bin_hz)


def test_nothing_above_the_top_comes_back_as_an_alias(excitation):
    pulses = run(excitation, 333.0)[0][0]
    power = torch.fft.rfft(pulses * torch.hann_window(len(pulses))).abs().square()
    hz = torch.arange(len(power)) * (RATE / 2) / (len(power) - 1)
    distance = (hz / 333.0 - (hz / 333.0).round()).abs() * 333.0
    assert float(power[distance > 10].sum() / power.sum()) < 1e-5


def test_phase_is_continuous_where_pitch_glides(excitation):
    ln_f0 = torch.linspace(math.log(80), math.log(300), 60)[None]
    pulses, _, state = excitation(ln_f0, excitation.zeros(1, torch.tensor([1])))
    pulses = pulses.flatten()
    is_peak = (pulses[1:-1] > pulses[:-2]) & (pulses[1:-1] >= pulses[2:]) & (pulses[1:-1] > 3)
    gaps = is_peak.nonzero().flatten().diff().float()
    assert float(gaps[0]) == pytest.approx(RATE / 80, rel=0.03)
    assert float(gaps[-1]) == pytest.approx(RATE / 300, rel=0.05)
    assert bool((gaps.diff() <= 2).all())
    assert 0 <= int(state.phase) < 1 << 32


def test_phase_does_not_drift_in_an_hour(excitation):
    """The phase is exact: after any number of frames it is the sum of what each frame added."""
    ln_f0 = math.log(123.4) + 0.1 * torch.randn(1, 3000, generator=torch.Generator().manual_seed(1))
    pulses, noise, end = excitation(ln_f0, excitation.zeros(1, torch.tensor([1])))
    state = excitation.zeros(1, torch.tensor([1]))
    parts = []
    for begin in range(0, 3000, 7):
        *part, state = excitation(ln_f0[:, begin : begin + 7], state)
        parts.append(part)
    assert torch.equal(state.phase, end.phase)
    assert torch.equal(state.noise, end.noise)
    torch.testing.assert_close(torch.cat([p for p, _ in parts], 1), pulses, rtol=1e-5, atol=1e-5)
    assert torch.equal(torch.cat([n for _, n in parts], dim=1), noise)


def test_the_centre_of_a_pulse_is_its_height(excitation):
    """Where the sum of cosines is 0 / 0: at F0 = rate / hop, at the end of each block."""
    pulses, *_ = excitation(
        torch.full((1, 4), math.log(RATE / HOP)), excitation.zeros(1, torch.tensor([1]))
    )
    harmonics = 7800 // (RATE // HOP)
    assert pulses[0, :, -1].tolist() == pytest.approx([math.sqrt(2 * harmonics)] * 4, rel=1e-4)


def test_noise_is_white_and_of_unit_variance(excitation):
    noise = run(excitation, 100.0, frames=400)[1][0]
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.02)
    assert float(noise.std()) == pytest.approx(1.0, abs=0.03)
    for lag in (1, 2, 50, 199, 200, 201, 400):
        assert abs(float((noise[:-lag] * noise[lag:]).mean())) < 0.03


def test_seeds_that_differ_in_any_bit_give_other_noise(excitation):
    seeds = (5, 4, 5 + (1 << 40), -5)
    noise = run(excitation, 100.0, frames=50, seeds=seeds)[1]
    correlation = torch.corrcoef(noise) - torch.eye(len(seeds))
    assert float(correlation.abs().max()) < 0.1
    again = run(excitation, 100.0, frames=50, seeds=seeds[2:3])[1]
    assert torch.equal(again[0], noise[2])


def test_noise_comes_round_without_a_seam(excitation):
    """After the last of its frames the first follows, as white and as loud as anywhere."""
    frames = len(excitation.spectra) + 40
    noise = run(excitation, 100.0, frames=frames)[1][0]
    period = len(excitation.spectra) * HOP
    torch.testing.assert_close(noise[period:], noise[: len(noise) - period])
    power = noise.unflatten(0, (-1, HOP)).square().mean(dim=1)
    assert 0.5 < float(power.min())
    assert float(power.max()) < 1.7


def test_noise_table_is_the_same_on_every_machine():
    table = noise_table(4)
    torch.testing.assert_close(table, noise_table(100)[:4])
    assert int(mix_seed(torch.tensor([1]))) != int(mix_seed(torch.tensor([1 << 32])))


def test_mix_is_murmurs_finaliser():
    def finaliser(value):
        value = ((value ^ value >> 16) * 0x85EBCA6B) % 2**32
        value = ((value ^ value >> 13) * 0xC2B2AE35) % 2**32
        return value ^ value >> 16

    values = [0, 1, 2, 3, 12345, 2**31, 2**32 - 1]
    assert mix(torch.tensor(values)).tolist() == [finaliser(value) for value in values]
    assert finaliser(1) == 0x514E28B7


@pytest.mark.parametrize(("hz", "limit"), [(1.0, 40.0), (50_000.0, 1000.0)])
def test_absurd_pitch_is_bounded(excitation, hz, limit):
    pulses, noise, state = run(excitation, hz)
    assert bool(torch.isfinite(pulses).all())
    assert bool(torch.isfinite(noise).all())
    assert float(state.pitch[0]) == pytest.approx(limit)
