"""`streamtts train`: from a teacher and a list of sentences to a finished voice folder.

Every stage leaves what it made in the work folder, so the same command goes on where it was
stopped: corpus (item by item), acoustic model and vocoder (side by side, checkpoints), evaluation
(what the recogniser heard in the teacher is kept), card.
"""

from __future__ import annotations

import argparse
import multiprocessing
import queue
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from streamtts.errors import TrainError
from streamtts.model.acoustic import AcousticModel
from streamtts.train.acoustic import AcousticTraining, train_acoustic
from streamtts.train.card import write_card
from streamtts.train.clips import Clip
from streamtts.train.corpus import Item, make_corpus, read_sentences
from streamtts.train.evaluate import evaluate_voice
from streamtts.train.progress import Report
from streamtts.train.teacher import FliteTeacher
from streamtts.train.templates import generate
from streamtts.train.vocoder import VocoderTraining, train_vocoder
from streamtts.vocoder.vocoder import Vocoder, VocoderConfig
from streamtts.voice.manifest import CARD
from streamtts.voice.store import load_voice, save_voice

_VALID_CLIPS = 16


@dataclass(frozen=True, slots=True)
class Choice:
    """Which sentences are for what; no sentence is in both."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]


def choose(lines: Sequence[str], count: int, held_out: int, generated: int) -> Choice:
    """Draws sentences, the same ones every time.

    Args:
        lines: to draw from.
        count: how many to train on.
        held_out: how many to evaluate on.
        generated: how many to add to training from our own templates.

    Raises:
        TrainError: fewer lines than are asked for.
    """
    lines = list(dict.fromkeys(lines))
    if len(lines) < count + held_out:
        raise TrainError(
            f"{count} sentences to train on and {held_out} to evaluate on are asked for, the file "
            f"has {len(lines)}; lower --count or --held-out"
        )
    random.Random(0).shuffle(lines)
    test = lines[count : count + held_out]
    made = [t for t in generate(generated, seed=0) if t not in test]
    return Choice((*lines[:count], *made), tuple(test))


def run(args: argparse.Namespace) -> int:
    """Trains a voice; see `streamtts train --help` for the arguments."""
    work: Path = args.work
    report = Report(work / "train.log")
    teacher = FliteTeacher(args.speaker)
    choice = choose(read_sentences(args.sentences), args.count, args.held_out, args.generated)
    items = make_corpus(
        choice.train, args.speaker, work / "corpus", report, workers=args.workers, label="corpus"
    )
    hours = sum(int(i.durations.sum()) for i in items) * 0.025 / 3600
    report.say(f"corpus: {hours:.2f} h of speech")
    acoustic, vocoder = train_models(items, work, args.steps, args.vocoder_steps, report)
    command = f"streamtts train --speaker {args.speaker} --count {args.count} --steps {args.steps}"
    about: dict[str, Any] = {
        "voice_id": args.voice_id,
        "name": args.voice_id,
        "language": "en-US",
        "description": f"English, taught by {teacher.name}",
        "licence": "MIT",
        "origin": f"{teacher.name}: {len(items)} sentences, {hours:.2f} h; {command} "
        f"--vocoder-steps {args.vocoder_steps}; teacher: {teacher.licence}",
    }
    staged = work / "voice"
    save_voice(staged, acoustic, vocoder, "", **about)
    table = evaluate_voice(
        staged, choice.held_out, args.speaker, work, report, args.workers
    ) if choice.held_out else ""  # fmt: skip
    write_card(staged / CARD, load_voice(staged).manifest, table)
    out: Path = args.out / args.voice_id
    _publish(staged, work / "pictures", out)
    report.say(f"the voice is in {out}")
    return 0


def _publish(staged: Path, pictures: Path, out: Path) -> None:
    """Puts a finished voice where it is wanted; an older one there is replaced at the end."""
    fresh = out.with_name(out.name + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(staged, fresh)
    for name in ("alignment.png", "mel.png", "training.png"):
        if (pictures / name).exists():
            shutil.copy(pictures / name, fresh / name)
    shutil.rmtree(out, ignore_errors=True)
    fresh.rename(out)


def train_models(
    items: Sequence[Item], work: Path, steps: int, vocoder_steps: int, report: Report
) -> tuple[AcousticModel, Vocoder]:
    """Both models side by side, each in a process and on a thread of its own.

    Raises:
        TrainError: one of them failed; its checkpoint is kept.
    """
    context = multiprocessing.get_context("spawn")
    news: Any = context.Queue(maxsize=64)
    clips = [(i.wav, i.frames) for i in items]
    jobs: dict[str, BaseProcess] = {
        "acoustic": context.Process(target=_acoustic, args=(items, work, steps, news)),
        "vocoder": context.Process(target=_vocoder, args=(clips, work, vocoder_steps, news)),
    }
    for job in jobs.values():
        job.start()
    try:
        with report.bars({"acoustic": steps, "vocoder": vocoder_steps}) as bars:
            while any(job.is_alive() for job in jobs.values()):
                try:
                    name, done, loss = news.get(timeout=1.0)
                except queue.Empty:
                    continue
                bars[name].update(done, f"loss {loss:.4f}")
    finally:
        for job in jobs.values():
            if job.is_alive() and any(j.exitcode for j in jobs.values()):
                job.terminate()
            job.join()
    failed = [name for name, job in jobs.items() if job.exitcode != 0]
    if failed:
        raise TrainError(f"training of {' and '.join(failed)} failed; see the lines above")
    # Both processes are through, so this only reads their last checkpoints.
    acoustic = train_acoustic(items, work, AcousticTraining(steps=steps), lambda *_: None)
    vocoder = Vocoder(VocoderConfig())
    vocoder.load_state_dict(load_file(work / "vocoder.safetensors"))
    return acoustic, vocoder.eval()


def _acoustic(items: Sequence[Item], work: Path, steps: int, news: Any) -> None:
    def progress(done: int, loss: float) -> None:
        _tell(news, "acoustic", done, loss)

    torch.set_num_threads(1)
    train_acoustic(items, work, AcousticTraining(steps=steps), progress)


def _vocoder(clips: Sequence[Clip], work: Path, steps: int, news: Any) -> None:
    def progress(done: int, total: int, loss: float, rate: float) -> None:
        if done % 25 == 0 or done == total:
            _tell(news, "vocoder", done, loss)

    torch.set_num_threads(1)
    valid = min(_VALID_CLIPS, 1 + len(clips) // 10)
    train_vocoder(
        clips[valid:], clips[:valid], work, VocoderConfig(),
        VocoderTraining(steps=steps), progress,
    )  # fmt: skip


def _tell(news: Any, name: str, done: int, loss: float) -> None:
    """News are dropped, not waited for, when nobody reads them."""
    try:
        news.put_nowait((name, done, loss))
    except queue.Full:
        return
