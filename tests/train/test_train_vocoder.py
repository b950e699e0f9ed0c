import logging

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from streamtts.errors import TrainError
from streamtts.train.clips import Clips
from streamtts.train.features import analyse
from streamtts.train.vocoder import VocoderTraining, learning_rate, train_vocoder
from streamtts.vocoder.vocoder import Vocoder, VocoderConfig

SIZES = VocoderConfig(channels=16, inner=16, blocks=1)
SHORT = VocoderTraining(
    steps=6, batch=2, crop_frames=12, lead_in_frames=2, warmup=2, checkpoint_s=0.0, valid_steps=3
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Three half-second buzzes in noise, as WAV and frames."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(1)
    out = []
    for number in range(3):
        time_s = np.arange(8000) / 16_000
        wave = sum(np.sin(2 * np.pi * (100 + 20 * number) * n * time_s) / n for n in range(1, 9))
        wave = (0.1 * wave + 0.01 * rng.standard_normal(8000)).astype(np.float32)
        wav, npy = folder / f"{number}.wav", folder / f"{number}.npy"
        soundfile.write(wav, wave, 16_000, subtype="PCM_16")
        np.save(npy, analyse(wave).astype(np.float16))
        out.append((wav, npy))
    return out


class KilledError(Exception):
    pass


def test_a_killed_run_goes_on_to_the_same_weights(clips, tmp_path):
    whole = train_vocoder(clips, clips[:1], tmp_path / "whole", SIZES, SHORT)

    def kill_at_3(done, total, loss, rate):
        if done == 3:
            raise KilledError

    with pytest.raises(KilledError):
        train_vocoder(clips, clips[:1], tmp_path / "cut", SIZES, SHORT, kill_at_3)
    assert not (tmp_path / "cut" / "vocoder.safetensors").exists()
    seen = []
    cut = train_vocoder(
        clips, clips[:1], tmp_path / "cut", SIZES, SHORT, lambda done, *_: seen.append(done)
    )
    assert seen == [4, 5, 6]
    one, other = load_file(whole), load_file(cut)
    assert one.keys() == other.keys()
    for name, weight in one.items():
        assert torch.equal(weight, other[name]), name


def test_training_brings_the_loss_down_and_the_weights_fit_a_vocoder(clips, tmp_path):
    reported = []
    weights = train_vocoder(
        clips,
        clips[:1],
        tmp_path,
        SIZES,
        VocoderTraining(
            steps=40, batch=2, crop_frames=12, lead_in_frames=2, warmup=5, valid_steps=10
        ),
        lambda done, total, loss, rate: reported.append((done, total, loss, rate)),
    )
    assert [done for done, *_ in reported] == list(range(1, 41))
    assert all(total == 40 and np.isfinite(loss) and rate > 0 for _, total, loss, rate in reported)
    text = (tmp_path / "vocoder.csv").read_text()
    valid = [float(line.split(",")[2]) for line in text.splitlines()]
    assert len(valid) == 4
    assert valid[-1] < 0.95 * valid[0]
    vocoder = Vocoder(SIZES)
    vocoder.load_state_dict(load_file(weights))


def test_a_checkpoint_of_other_sizes_is_refused(clips, tmp_path):
    train_vocoder(
        clips, clips[:1], tmp_path, SIZES, VocoderTraining(**{**_fields(SHORT), "steps": 1})
    )
    with pytest.raises(TrainError, match="other sizes"):
        train_vocoder(clips, clips[:1], tmp_path, VocoderConfig(channels=8), SHORT)


def _fields(training):
    return {name: getattr(training, name) for name in training.__dataclass_fields__}


def test_learning_rate_rises_and_falls():
    training = VocoderTraining(steps=1000, warmup=100, learning_rate=1.0)
    rates = [learning_rate(step, training) for step in (0, 49, 99, 100, 550, 1000, 2000)]
    assert rates == pytest.approx([0.01, 0.5, 1.0, 1.0, 0.51, 0.02, 0.02])


def load(clips, shortest=10, cache_bytes=1 << 20):
    return Clips(clips, 200, 16_000, shortest, cache_bytes)


def test_broken_clips_are_named_skipped_and_counted(clips, tmp_path, caplog):
    missing = (tmp_path / "missing.wav", clips[0][1])
    no_wav = (tmp_path / "text.wav", clips[0][1])
    no_wav[0].write_text("not a wav")
    other_frames = (clips[0][0], tmp_path / "short.npy")
    np.save(other_frames[1], np.zeros((3, 82), np.float16))
    stereo = (tmp_path / "stereo.wav", clips[0][1])
    soundfile.write(stereo[0], np.zeros((8000, 2)), 16_000)
    not_finite = (clips[0][0], tmp_path / "nan.npy")
    np.save(not_finite[1], np.full((41, 82), np.nan, np.float16))
    broken = [missing, no_wav, other_frames, stereo, not_finite]
    with caplog.at_level(logging.WARNING):
        loaded = load([*broken, *clips])
    assert loaded.broken == len(broken)
    assert len(loaded) == len(clips)
    for wav, _ in broken:
        assert str(wav) in caplog.text


def test_nothing_left_says_why(clips, tmp_path):
    with pytest.raises(TrainError, match=r"none of 4 clips .* 1 are broken"):
        load([*clips, (tmp_path / "no.wav", tmp_path / "no.npy")], shortest=500)


def test_the_cache_is_bounded(clips):
    one = 8000 * 2 + 41 * 82 * 2
    assert len(load(clips, cache_bytes=2 * one)) == 2
    assert len(load(clips, cache_bytes=1)) == 1


def test_crops_are_the_sound_of_their_frames(clips):
    loaded = load(clips)
    frames, waves = loaded.crops(np.random.default_rng(1), count=4, frames=30, skipped=5)
    assert frames.shape == (4, 30, 82)
    assert waves.shape == (4, 25 * 200)
    for row in range(4):
        again = analyse(waves[row].numpy())
        # Away from the crop's ends the analysis of the crop is that of the clip.
        np.testing.assert_allclose(again[4:20, :80], frames[row, 9:25, :80], atol=0.05)
    same, _ = loaded.crops(np.random.default_rng(1), count=4, frames=30, skipped=5)
    assert torch.equal(same, frames)
