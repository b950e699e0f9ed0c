"""Training descends, resumes to the same weights, and disturbs sentences as live streams are."""

import numpy as np
import pytest
import torch
from support.tiny import random_features, tiny_acoustic

from streamtts.text.symbols import MARKS, PAUSE_ID
from streamtts.train import checkpoint
from streamtts.train.acoustic import AcousticTraining, train_acoustic
from streamtts.train.batches import Disturbance, disturb, order
from streamtts.train.corpus import Item


@pytest.fixture
def items(tmp_path):
    made = []
    rng = np.random.default_rng(0)
    for i in range(6):
        durations = rng.integers(1, 5, 8 + i)
        features = random_features(len(durations), i).numpy()
        features[0, 0] = features[-1, 0] = PAUSE_ID
        features[:, 2] = 3
        frames = rng.normal(-5, 1, (2 * durations.sum(), 82)).astype(np.float16)
        frames[:, 80], frames[:, 81] = 4.6, 1
        path = tmp_path / f"{i}.npy"
        np.save(path, frames)
        made.append(Item(str(i), "", (), features, durations, tmp_path / "no.wav", path))
    return made


def losses_of(folder):
    return [float(r.split(",")[1]) for r in (folder / "acoustic.csv").read_text().splitlines()]


def test_training_descends(items, tmp_path):
    training = AcousticTraining(steps=50, batch=3, warmup=5, learning_rate=3e-3)
    train_acoustic(items, tmp_path, training, lambda *_: None, tiny_acoustic().config)
    first, last = losses_of(tmp_path)
    assert last < 0.8 * first


def test_a_killed_run_comes_to_the_same_weights(items, tmp_path):
    class KilledError(Exception):
        pass

    training = AcousticTraining(steps=50, batch=3, warmup=5, checkpoint_s=0.0)
    config = tiny_acoustic().config
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = train_acoustic(items, tmp_path / "a", training, lambda *_: None, config)

    def kill(done, loss):
        raise KilledError

    with pytest.raises(KilledError):
        train_acoustic(items, tmp_path / "b", training, kill, config)
    again = train_acoustic(items, tmp_path / "b", training, lambda *_: None, config)
    for name, weight in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, rtol=0, atol=0)
    assert checkpoint.load(tmp_path / "b" / "acoustic.pt")["step"] == 50


def test_half_a_checkpoint_is_no_checkpoint(tmp_path):
    path = tmp_path / "x.pt"
    checkpoint.save(path, {"step": 1})
    assert checkpoint.load(path) == {"step": 1}
    path.write_bytes(path.read_bytes()[:20])
    assert checkpoint.load(path) is None
    assert checkpoint.load(tmp_path / "none.pt") is None


def test_every_epoch_has_every_sentence_once(items):
    for epoch in range(3):
        assert sorted(i for b in order(items, 4, epoch, 0) for i in b) == list(range(len(items)))


def test_a_flush_is_read_where_a_comma_was():
    features = random_features(9).numpy()
    features[:, 2] = [3, 1, 0, 2, 3, 1, 0, 2, 3]
    features[[0, 4, 8], 0] = PAUSE_ID
    features[1:5, 3] = MARKS.index("comma")
    features[5:, 3] = MARKS.index("period")
    always = Disturbance(flush_chance=1.0)
    changed, cut = disturb(features, always, np.random.default_rng(0))
    assert cut == 4
    assert changed[4, 3] == MARKS.index("flush")
    assert changed[1:4, 3].tolist() == [0, 0, 0]
    assert changed[5:].tolist() == features[5:].tolist()
    never = Disturbance(flush_chance=0.0, cut_chance=0.0)
    same, cut = disturb(features, never, np.random.default_rng(0))
    assert cut == -1
    assert same is features
