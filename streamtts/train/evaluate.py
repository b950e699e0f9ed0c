"""Measures a voice against its teacher, sentence by sentence, and writes its card."""

from __future__ import annotations

import argparse
import json
import logging
import re
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from streamtts.config import Config
from streamtts.errors import TrainError
from streamtts.speech import Speech
from streamtts.text.phonemes import Pronouncer, load_lexicon
from streamtts.train import metrics
from streamtts.train.corpus import Item, make_corpus, read_sentences, speak_text, write_json
from streamtts.train.features import analyse
from streamtts.train.pictures import draw_alignment, draw_mels, draw_training
from streamtts.train.progress import Report
from streamtts.train.recognise import Heard, Recogniser, repeated, skipped, word_errors
from streamtts.train.synthesis import speak
from streamtts.train.table import Row, cost_of, print_table, summarise
from streamtts.voice.store import Voice, find_voice, load_voice

ROBUSTNESS = (
    "A.", "B, C, D.", "W X Y Z.", "I.", "No.", "Yes?", "Oh!", "7.", "1 2 3 4 5 6 7 8 9 0.",
    "9 9 9 9 9 9 9 9.", "Call 555-0137.", "The year 1984.", "3.14159.",
    "Never never never never never never never never never never never never never never never "
    "never never never never never.",
    "Yes yes yes yes yes yes yes yes yes yes.",
    "The the the the cat sat on on on the mat.",
    "Buffalo buffalo Buffalo buffalo buffalo buffalo Buffalo buffalo.",
    "She sells sea shells by the sea shore, the shells she sells are sea shells for sure.",
    "Peter Piper picked a peck of pickled peppers.",
    "Floccinaucinihilipilification and antidisestablishmentarianism.",
)  # fmt: skip

_worker: dict[str, Any] = {}


def _start_worker(voice: Path) -> None:
    torch.set_num_threads(1)
    logging.getLogger("streamtts").setLevel(logging.WARNING)  # a line a stream is for a server
    _worker.update(
        voice=load_voice(voice),
        speech=Speech.load(msgspec.convert({"voice": {"id": f"{voice}/"}}, Config)),
        recogniser=Recogniser(),
        pronouncer=Pronouncer(load_lexicon()),
    )


def _sentence(text: str) -> str:
    return text if text[-1:] in ".?!" else text + "."


def hear_teacher(item: Item) -> Heard:
    """What the recogniser hears in the teacher's recording; kept beside the corpus."""
    kept = item.wav.parent.parent / "heard" / f"{item.id}.json"
    if kept.exists():
        record = json.loads(kept.read_text(encoding="utf-8"))
        return Heard(tuple(record["words"]), tuple(record["durations_s"]))
    samples, _ = soundfile.read(item.wav, dtype="float32")
    recogniser = _worker.get("recogniser") or _worker.setdefault("recogniser", Recogniser())
    heard = recogniser.hear(samples, [w.lower() for w in item.words])
    kept.parent.mkdir(exist_ok=True)
    write_json(kept, asdict(heard))
    return heard


def measure(item: Item, out: Path | None) -> Row | None:
    """One sentence; None when its text, read alone, gives other words than the corpus has."""
    voice: Voice = _worker["voice"]
    text = _sentence(item.text)
    sentences = speak_text(text, _worker["pronouncer"])
    if [s.words for s in sentences] != [item.words]:
        return None
    start_s = time.process_time()
    samples: NDArray[np.float32] = _worker["speech"].say(text)
    cpu_s = time.process_time() - start_s
    reference = speak(voice, sentences[0].symbols)
    teacher, _ = soundfile.read(item.wav, dtype="float32")
    teacher_frames = np.load(item.frames).astype(np.float32)
    ours_frames = analyse(samples)
    expected = [w.lower() for w in item.words]
    ours, theirs = _worker["recogniser"].hear(samples, expected), hear_teacher(item)
    distance = metrics.compare(samples, teacher, ours_frames, teacher_frames)
    length = min(len(samples), len(reference.samples))
    if out is not None:
        symbols = sentences[0].symbols
        draw_alignment(out / "alignment.png", reference.positions, [s.phone for s in symbols], text)
        draw_mels(out / "mel.png", reference.frames, teacher_frames, text)
        soundfile.write(out / "voice.wav", samples, 16_000)
        soundfile.write(out / "teacher.wav", teacher, 16_000)
    return Row(
        words=len(expected),
        errors=word_errors(expected, ours.words).errors,
        teacher_errors=word_errors(expected, theirs.words).errors,
        skipped=len(skipped(expected, ours, theirs)),
        repeated=len(repeated(expected, ours, theirs)),
        mcd_db=distance.mcd_db,
        f0_rmse_hz=distance.f0_rmse_hz,
        voicing_error=distance.voicing_error,
        duration_ratio=distance.duration_ratio,
        streaming_difference=float(np.abs(samples[:length] - reference.samples[:length]).max()),
        samples_too_many=len(samples) - len(reference.samples),
        rtf=cpu_s * 16_000 / len(samples),
        **_copy_synthesis(voice, teacher, teacher_frames),
        f0_std_semitones=_f0_std(ours_frames),
        teacher_f0_std_semitones=_f0_std(teacher_frames),
    )


def _f0_std(frames: NDArray[np.float32]) -> float:
    """Standard deviation of F0 over the voiced frames, in semitones."""
    voiced = frames[frames[:, -1] > 0.5, -2]
    return float(voiced.std() * 12 / np.log(2)) if len(voiced) else float("nan")


@torch.inference_mode()
def _copy_synthesis(
    voice: Voice, teacher: NDArray[np.float32], frames: NDArray[np.float32]
) -> dict[str, float]:
    """The vocoder on the teacher's own frames, beside Griffin-Lim with 60 rounds."""
    from pesq import PesqError, pesq
    from pystoi import stoi

    made = voice.vocoder.offline(torch.from_numpy(frames)[None], torch.zeros(1, dtype=torch.int64))
    floor = metrics.griffin_lim(frames[:, :-2], 60).astype(np.float32)
    out = {}
    for name, sound in (("", made[0].numpy()), ("griffin_lim_", floor)):
        length = min(len(sound), len(teacher))
        a, b = teacher[:length], sound[:length]
        score = pesq(16_000, a, b, "wb", on_error=PesqError.RETURN_VALUES)
        out[f"{name}pesq"] = float(score) if score > 0 else float("nan")
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # so little speech that it says 1e-5
            try:
                out[f"{name}stoi"] = float(stoi(a, b, 16_000))
            except RuntimeWarning:
                out[f"{name}stoi"] = float("nan")
        out[f"{name}stft"] = metrics.stft_distance(a, b)
    return out


def evaluate(
    voice: Path, items: Sequence[Item], out: Path, report: Report, *, workers: int, label: str
) -> list[Row]:
    """Measures every sentence, in parallel; the first one is drawn."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    with (
        report.bar(label, len(items)) as bar,
        ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(voice,)) as pool,
    ):
        outs = [out if i == 0 else None for i in range(len(items))]
        for item, row in zip(items, pool.map(measure, items, outs), strict=True):
            if row is None:
                report.note(f"left out, read alone it gives other words: {item.text[:60]!r}")
            else:
                rows.append(row)
            bar.advance()
    report.say(f"{label}: {len(rows)} of {len(items)} sentences measured")
    return rows


def evaluate_voice(
    voice: Path, texts: Sequence[str], teacher: str, work: Path, report: Report, workers: int
) -> str:
    """The whole evaluation; returns its table as Markdown and leaves pictures in work/pictures."""
    pictures = work / "pictures"
    corpus = work / "corpus"
    held_out = make_corpus(
        texts, teacher, corpus, report, workers=workers, label="teacher, held out"
    )
    hard = make_corpus(
        ROBUSTNESS, teacher, corpus, report, workers=workers, label="teacher, robustness"
    )
    rows = evaluate(voice, held_out, pictures, report, workers=workers, label="held out")
    hard_rows = evaluate(
        voice, hard, pictures / "robustness", report, workers=workers, label="robustness"
    )
    draw_training(pictures / "training.png", work / "acoustic.csv", work / "vocoder.csv")
    write_json(work / "rows.json", [asdict(r) for r in (*rows, *hard_rows)])
    return summarise(rows, hard_rows, cost_of(load_voice(voice)))


def run(args: argparse.Namespace) -> int:
    """`streamtts evaluate`: prints the table and writes the pictures."""
    folder = find_voice(args.voice)
    report = Report(args.out / "evaluate.log")
    texts = read_sentences(args.sentences)[: args.count]
    origin = load_voice(folder).manifest.origin
    taught = re.match(r"flite-([a-z0-9]+):", origin)
    if taught is None:
        raise TrainError(f"the teacher of {args.voice} is not known from its origin: {origin!r}")
    table = evaluate_voice(folder, texts, taught[1], args.out, report, args.workers)
    (args.out / "table.md").write_text(table, encoding="utf-8")
    print_table(table)
    return 0
