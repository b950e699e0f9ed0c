import copy
import math

import pytest
import torch

from streamtts.nn.spectral import LOG_MEL_FLOOR, N_MELS
from streamtts.nn.state import select, stack, update
from streamtts.vocoder.filters import has_fast_bfloat16
from streamtts.vocoder.vocoder import Vocoder, VocoderConfig

SMALL = VocoderConfig(channels=24, inner=32, blocks=2)


@pytest.fixture(scope="module")
def vocoder():
    """Small, and far from its first weights, so that every path is heard."""
    generator = torch.Generator().manual_seed(3)
    vocoder = Vocoder(SMALL).eval().requires_grad_(False)
    for weight in vocoder.parameters():
        weight += 0.05 * torch.randn(weight.shape, generator=generator)
    return vocoder


def speech(rows, frames, seed=0):
    """Frames with loud and quiet, voiced and unvoiced stretches."""
    generator = torch.Generator().manual_seed(seed)
    out = torch.randn(rows, frames, N_MELS + 2, generator=generator)
    out[..., :N_MELS] = (out[..., :N_MELS] - 3.5).clamp_min(LOG_MEL_FLOOR)
    out[..., N_MELS] = math.log(110.0) + 0.2 * out[..., N_MELS]
    out[..., N_MELS + 1] = torch.rand(rows, frames, generator=generator)
    return out


def seeds(rows):
    return torch.arange(rows) * 0x1234567891 + 7


def stream(vocoder, frames, seeds, cuts):
    state = vocoder.zeros(len(frames), seeds)
    parts, begin = [], 0
    for cut in cuts:
        part, state = vocoder.step(frames[:, begin : begin + cut], state)
        assert part.shape == (len(frames), cut * vocoder.hop_length)
        parts.append(part)
        begin += cut
    assert begin == frames.shape[1]
    part, state = vocoder.flush(state)
    assert part.shape == (len(frames), vocoder.delay_samples)
    return torch.cat([*parts, part], dim=1)[:, vocoder.delay_samples :]


CUTS = {
    "all at once": [41],
    "one by one": [1] * 41,
    "empty between": [0, 5, 0, 0, 1, 35, 0],
    "two at a time": [2] * 20 + [1],
    "uneven": [3, 1, 8, 8, 13, 1, 7],
}


@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
def test_streaming_equals_offline(vocoder, cuts):
    frames = speech(3, 41)
    whole = vocoder.offline(frames, seeds(3))
    assert whole.shape == (3, 41 * vocoder.hop_length)
    assert float(whole.std()) > 1e-3
    torch.testing.assert_close(stream(vocoder, frames, seeds(3), cuts), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_very_short_streams_have_their_length(vocoder, frames):
    x = speech(2, frames)
    assert stream(vocoder, x, seeds(2), [1] * frames).shape == (2, frames * vocoder.hop_length)
    assert vocoder.offline(x, seeds(2)).shape == (2, frames * vocoder.hop_length)


def test_rows_do_not_feel_their_neighbours(vocoder):
    frames = speech(5, 20)
    together = vocoder.offline(frames, seeds(5))
    for row in range(5):
        alone = vocoder.offline(frames[row : row + 1], seeds(5)[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=1e-5, atol=1e-5)


def test_a_row_may_move_while_others_join_and_leave(vocoder):
    frames = speech(3, 12)
    whole = vocoder.offline(frames, seeds(3))
    first, state = vocoder.step(frames[:2, :4], vocoder.zeros(2, seeds(2)))
    state = stack([vocoder.zeros(1, seeds(3)[2:]), select(state, torch.tensor([1]))])
    second, state = vocoder.step(torch.stack([frames[2, :4], frames[1, 4:8]]), state)
    table = update(vocoder.zeros(4, seeds(4)), torch.tensor([3]), select(state, torch.tensor([1])))
    third, state = vocoder.step(frames[1:2, 8:], select(table, torch.tensor([3])))
    rest, _ = vocoder.flush(state)
    moved = torch.cat([first[1], second[1], third[0], rest[0]])[vocoder.delay_samples :]
    torch.testing.assert_close(moved, whole[1], rtol=1e-5, atol=1e-5)


def test_nothing_is_heard_of_a_frame_earlier_than_declared(vocoder):
    frames, changed = 30, 17
    before = speech(1, frames)
    after = before.clone()
    after[:, changed] = speech(1, 1, seed=9)[:, 0]
    difference = (vocoder.offline(after, seeds(1)) - vocoder.offline(before, seeds(1))).abs()
    heard = difference[0].nonzero().flatten()
    # A sample depends on frames up to `lookahead_frames` after the last whose window reaches it.
    first = changed * vocoder.hop_length - vocoder.delay_samples
    assert first <= int(heard[0]) < first + vocoder.hop_length // 8
    assert vocoder.lookahead_frames == 2


def test_a_step_gives_all_that_the_declared_delay_allows(vocoder):
    frames = speech(1, 10)
    whole = vocoder.offline(frames, seeds(1))
    samples, _ = vocoder.step(frames, vocoder.zeros(1, seeds(1)))
    known = 10 * vocoder.hop_length - vocoder.delay_samples
    torch.testing.assert_close(samples[:, vocoder.delay_samples :], whole[:, :known])


def test_state_does_not_grow(vocoder):
    def shapes(state):
        if isinstance(state, torch.Tensor):
            return state.shape
        fields = (
            state
            if isinstance(state, tuple)
            else [getattr(state, name) for name in state.__dataclass_fields__]
        )
        return [shapes(field) for field in fields]

    fresh = vocoder.zeros(2, seeds(2))
    state = fresh
    for _ in range(3):
        _, state = vocoder.step(speech(2, 7), state)
        assert shapes(state) == shapes(fresh)


def test_silence_in_silence_out(vocoder):
    frames = torch.full((1, 20, N_MELS + 2), LOG_MEL_FLOOR)
    frames[..., N_MELS], frames[..., N_MELS + 1] = math.log(100.0), 0.0
    assert float(vocoder.offline(frames, seeds(1)).abs().max()) < 1e-3


def test_noise_depends_on_the_seed_alone(vocoder):
    frames = speech(1, 20)
    frames[..., N_MELS + 1] = 0.0
    one, again, two = (vocoder.offline(frames, torch.tensor([s]))[0] for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert float((one - two).norm() / one.norm()) > 0.1


def test_sound_stands_where_its_frame_does():
    """Untrained, a burst in frame t is loudest around sample t * hop_length."""
    vocoder = Vocoder(VocoderConfig()).eval().requires_grad_(False)
    frames = torch.full((1, 40, N_MELS + 2), LOG_MEL_FLOOR)
    frames[..., N_MELS], frames[..., N_MELS + 1] = math.log(100.0), 0.0
    frames[:, 20, :N_MELS] = -1.0
    power = vocoder.offline(frames, seeds(1))[0].square()
    centre = float((power * torch.arange(len(power))).sum() / power.sum())
    assert centre == pytest.approx(20 * vocoder.hop_length, abs=25)


def test_before_training_it_follows_the_envelope():
    """Untrained, a band that is loud in the mel is loud in the sound."""
    vocoder = Vocoder(VocoderConfig()).eval()
    frames = torch.full((1, 80, N_MELS + 2), -9.0)
    frames[..., 30:40] = -2.0
    frames[..., N_MELS], frames[..., N_MELS + 1] = math.log(120.0), 1.0
    with torch.inference_mode():
        sound = vocoder.offline(frames, seeds(1))
    power = torch.fft.rfft(sound[0, 2000:-2000]).abs().square()
    hz = torch.arange(len(power)) * 8000.0 / (len(power) - 1)
    inside = (hz > 1000) & (hz < 2200)
    assert float(power[inside].sum() / power.sum()) > 0.9


needs_tiles = pytest.mark.skipif(not has_fast_bfloat16(), reason="no fast bfloat16 here")


@pytest.fixture(scope="module")
def light(vocoder):
    light = copy.deepcopy(vocoder)
    assert light.use_bfloat16()
    return light


@needs_tiles
@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
@torch.inference_mode()
def test_bfloat16_streams_as_exactly(light, cuts):
    """Nothing is rounded otherwise because a call has more frames or rows: not one bit of it."""
    frames = speech(20, 41)
    whole = light.offline(frames, seeds(20))
    again = stream(light, frames[7:8], seeds(20)[7:8], cuts)
    torch.testing.assert_close(again, whole[7:8], rtol=0, atol=1e-6)


@needs_tiles
@torch.inference_mode()
def test_bfloat16_sounds_the_same(vocoder, light):
    frames = speech(3, 41)
    exact, rounded = vocoder.offline(frames, seeds(3)), light.offline(frames, seeds(3))
    assert 0.0 < float((rounded - exact).norm() / exact.norm()) < 0.02


def test_without_fast_bfloat16_nothing_changes(vocoder, monkeypatch):
    monkeypatch.setattr("streamtts.vocoder.vocoder.has_fast_bfloat16", lambda: False)
    same = copy.deepcopy(vocoder)
    assert not same.use_bfloat16()
    assert torch.equal(
        same.offline(speech(1, 9), seeds(1)), vocoder.offline(speech(1, 9), seeds(1))
    )
