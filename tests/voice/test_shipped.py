"""The voice that ships: verified, intelligible, and the same however its text is cut."""

import random

import numpy as np
import pytest

from streamtts.speech import Speech
from streamtts.train.recognise import Recogniser, word_errors
from streamtts.voice.store import SHIPPED, find_voice, load_voice

TEXTS = [
    "The officers walked along the river until it was dark.",
    "Nobody had seen the letter before, and the three men said so.",
    "Would you like a cup of coffee in the morning?",
]


@pytest.fixture(scope="module")
def speech():
    with Speech.load() as made:
        yield made


def test_it_is_whole_and_small():
    folder = find_voice("rms")
    load_voice(folder)  # verifies the hashes
    assert folder.parent == SHIPPED
    weights = sum(p.stat().st_size for p in folder.glob("*.safetensors"))
    assert weights <= 20_000_000
    assert "word errors" in (folder / "card.md").read_text(encoding="utf-8")


def test_it_is_understood(speech):
    recogniser = Recogniser()
    words = errors = 0
    for text in TEXTS:
        expected = text.lower().strip(".?").replace(",", "").split()
        words += len(expected)
        heard = recogniser.hear(speech.say(text), expected)
        errors += word_errors(expected, heard.words).errors
    assert errors <= 0.25 * words


def test_levels(speech):
    samples = speech.say(" ".join(TEXTS))
    assert 0.1 < np.abs(samples).max() < 0.99
    assert 0.02 < np.sqrt(np.mean(samples**2)) < 0.3
    assert abs(samples.mean()) < 0.005
    assert np.abs(samples[-200:]).max() < 0.02


@pytest.mark.parametrize("text", TEXTS)
def test_random_cuts_give_the_same_samples(speech, text):
    rng = random.Random(text)
    whole = speech.say(text)
    for _ in range(3):
        at, cuts = 0, []
        while at < len(text):
            size = rng.randrange(1, 9)
            cuts.append(text[at : at + size])
            at += size
        np.testing.assert_array_equal(np.concatenate(list(speech.stream(cuts))), whole)
