"""The whole command on a handful of sentences, with the real teacher; and what it refuses."""

import json
import shutil

import pytest
from support.tiny import tiny_acoustic, tiny_vocoder

from streamtts.cli import make_parser
from streamtts.errors import TrainError
from streamtts.train import evaluate, pipeline
from streamtts.train.corpus import read_sentences
from streamtts.train.pipeline import choose
from streamtts.train.teacher import FliteTeacher
from streamtts.train.templates import generate
from streamtts.voice.store import load_voice, save_voice

SENTENCES = [
    "The kettle is on the stove, and the tea is ready.",
    "We walked along the river until it was dark.",
    "Nobody had seen the letter before.",
    "Is the garden gate still open?",
    "Two boats lay on the sand.",
    "He put the book back on the shelf.",
]
needs_flite = pytest.mark.skipif(
    shutil.which("flite") is None, reason="the teacher `flite` is not installed"
)


def arguments(tmp_path, *extra):
    file = tmp_path / "sentences.txt"
    file.write_text("\n".join(SENTENCES), encoding="utf-8")
    return make_parser().parse_args(
        [
            "train", "--sentences", str(file), "--work", str(tmp_path / "work"),
            "--out", str(tmp_path / "voices"), "--voice-id", "mini", "--count", "5",
            "--generated", "0", "--held-out", "1", "--steps", "2", "--vocoder-steps", "2",
            "--workers", "1", *extra,
        ]
    )  # fmt: skip


def measuring(tmp_path, folder):
    return make_parser().parse_args(
        [
            "evaluate", str(folder), "--sentences", str(tmp_path / "sentences.txt"),
            "--count", "1", "--out", str(tmp_path / "measured"), "--workers", "1",
        ]
    )  # fmt: skip


def test_a_voice_of_an_unknown_teacher_cannot_be_measured(tmp_path):
    arguments(tmp_path)
    save_voice(
        tmp_path / "own",
        tiny_acoustic(),
        tiny_vocoder(),
        "",
        voice_id="own",
        name="own",
        language="en-US",
        description="",
        licence="MIT",
        origin="somebody",
    )
    with pytest.raises(TrainError, match="'somebody'"):
        evaluate.run(measuring(tmp_path, tmp_path / "own"))


@needs_flite
def test_one_command_makes_a_voice(tmp_path, monkeypatch):
    # An untrained voice drags: two short texts say as much about the command as the whole list.
    monkeypatch.setattr(evaluate, "ROBUSTNESS", ("Yes?", "No."))
    options = arguments(tmp_path)
    assert pipeline.run(options) == 0
    folder = tmp_path / "voices" / "mini"
    voice = load_voice(folder)
    assert voice.id == "mini"
    assert "flite-rms: 5 sentences" in voice.manifest.origin
    card = (folder / "card.md").read_text()
    assert "word errors" in card
    assert "PESQ-WB" in card
    for picture in ("alignment.png", "mel.png", "training.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    items = sorted((tmp_path / "work" / "corpus" / "items").glob("*.json"))
    record = json.loads(items[0].read_text())
    assert len(record["features"]) == len(record["durations"])
    assert min(record["durations"]) >= 1
    assert evaluate.run(measuring(tmp_path, folder)) == 0
    assert "PESQ-WB" in (tmp_path / "measured" / "table.md").read_text()
    # The same again has nothing left to make, and without held-out sentences nothing to measure.
    before = {p: p.stat().st_mtime_ns for p in items}
    options.held_out = 0
    assert pipeline.run(options) == 0
    assert {p: p.stat().st_mtime_ns for p in items} == before


def test_a_missing_teacher_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TrainError, match="apt-get install flite"):
        pipeline.run(arguments(tmp_path))


@needs_flite
def test_an_unknown_speaker_is_named_with_the_known_ones(tmp_path):
    with pytest.raises(TrainError, match="no voice 'bob'; it has rms"):
        FliteTeacher("bob")


def test_files_of_sentences_that_cannot_be_used(tmp_path):
    with pytest.raises(TrainError, match="there is no file"):
        read_sentences(tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(TrainError, match="has no sentences"):
        read_sentences(tmp_path / "empty.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(TrainError, match="not UTF-8"):
        read_sentences(tmp_path / "latin.txt")


def test_held_out_sentences_are_never_trained_on():
    lines = [f"Sentence number {i}." for i in range(50)]
    choice = choose(lines + lines, 30, 20, 40)
    assert not set(choice.train) & set(choice.held_out)
    assert len(choice.held_out) == 20
    assert choose(lines, 30, 20, 40) == choice
    with pytest.raises(TrainError, match="lower --count or --held-out"):
        choose(lines, 45, 20, 0)


def test_templates_are_the_same_every_time():
    assert generate(90, 0) == generate(90, 0)
    assert generate(90, 0) != generate(90, 1)
    assert len(set(generate(300, 0))) > 200
