import pytest
import torch

from streamtts.train.spectral_loss import SpectralLoss


@pytest.fixture(scope="module")
def loss():
    return SpectralLoss()


def noise(seed, scale=0.1):
    return scale * torch.randn(2, 4000, generator=torch.Generator().manual_seed(seed))


def test_nothing_between_the_same(loss):
    assert float(loss(noise(1), noise(1))) == 0.0


def test_further_in_level_is_further_away(loss):
    distances = [float(loss(noise(1, 0.1 * gain), noise(1))) for gain in (1.1, 1.5, 3.0, 10.0)]
    assert distances == sorted(distances)
    assert distances[0] > 0.1


def test_the_ear_does_not_hear_a_sign(loss):
    torch.testing.assert_close(loss(-noise(1), noise(1)), torch.zeros(()))


def test_other_noise_is_nearer_than_another_colour(loss):
    coloured = noise(2).cumsum(dim=1)
    assert float(loss(noise(2), noise(1))) < float(loss(coloured, noise(1)))


def test_silence_has_a_gradient_that_is_finite(loss):
    silence = torch.zeros(2, 4000, requires_grad=True)
    loss(silence, noise(1)).backward()
    assert silence.grad is not None
    assert bool(torch.isfinite(silence.grad).all())
    quiet = loss(torch.zeros(2, 4000), torch.zeros(2, 4000))
    assert float(quiet) == 0.0
