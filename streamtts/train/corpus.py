"""Sentences to a corpus: the teacher's sound, its frames, and the steps of every symbol.

A corpus is a folder: `items/ID.json` (text, features, durations), `wavs/ID.wav`, `frames/ID.npy`.
ID is a hash of all that the sound depends on, and the JSON is written last, so making a corpus
again only makes what is missing or has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from streamtts.errors import TrainError
from streamtts.text.frontend import FrontEnd
from streamtts.text.normalize import Normalizer
from streamtts.text.phonemes import Pronouncer, load_lexicon
from streamtts.text.symbols import FEATURES, PAUSE, SYMBOLS_VERSION, Symbol, encode
from streamtts.train.align import MismatchError, match, to_steps
from streamtts.train.features import analyse
from streamtts.train.progress import Report
from streamtts.train.teacher import FliteTeacher, SpokenWord

SAMPLE_RATE = 16_000
HOP_LENGTH = 200
REDUCTION_FACTOR = 2
_MARKS = ("", ",", ".", "?", "!", ",")


@dataclass(frozen=True, slots=True)
class Item:
    """One sentence of a corpus.

    Attributes:
        id: names its files.
        text: as written.
        words: as spoken, lower case.
        features: (N, F) int64, see text/symbols.py.
        durations: (N,) int64 decoder steps.
        wav: 16 kHz mono.
        frames: (T, 82) float16, T = 2 * sum(durations).
    """

    id: str
    text: str
    words: tuple[str, ...]
    features: NDArray[np.int64]
    durations: NDArray[np.int64]
    wav: Path
    frames: Path


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence as the front end says it."""

    text: str
    words: tuple[str, ...]
    symbols: tuple[Symbol, ...]


def read_sentences(file: Path) -> list[str]:
    """The lines of a UTF-8 text file that are not empty.

    Raises:
        TrainError: no such file, not UTF-8, or nothing in it.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise TrainError(f"there is no file of sentences at {file}") from None
    except UnicodeDecodeError as error:
        raise TrainError(f"{file} is not UTF-8: {error}") from None
    sentences = [line.strip() for line in lines if line.strip()]
    if not sentences:
        raise TrainError(f"{file} has no sentences; put one on each line")
    return sentences


def speak_text(text: str, pronouncer: Pronouncer) -> list[Sentence]:
    """What the front end makes of a text, sentence by sentence.

    A text that does not end in a sentence mark gets a full stop.
    """
    text = text.strip().rstrip(",;:-")
    text = text if text[-1:] in ".?!\"')" else text + "."
    front_end = FrontEnd(pronouncer)
    fed, ended = front_end.feed(text), front_end.end()
    normalizer = Normalizer()
    spoken = [*normalizer.feed(text), *normalizer.flush(True)]
    words = list(chain.from_iterable(s.words for s in spoken))
    sentences: list[Sentence] = []
    symbols: list[Symbol] = []
    taken = 0
    for symbol in (*fed.symbols, *ended.symbols):
        symbols.append(symbol)
        if symbol.ends_sentence:
            count = sum(s.phone != PAUSE and s.edge in (1, 3) for s in symbols)
            span = text[symbols[0].char_start : symbols[-1].char_end]
            sentences.append(Sentence(span, tuple(words[taken : taken + count]), tuple(symbols)))
            taken += count
            symbols = []
    if symbols or taken != len(words):
        raise MismatchError(f"{len(words)} words, {taken} of them in sentences")
    return sentences


def teacher_words(sentence: Sentence) -> list[SpokenWord]:
    """A sentence as the teacher reads it: our words, our phones, our pauses as punctuation."""
    out: list[SpokenWord] = []
    names = iter(sentence.words)
    phones: list[tuple[str, int]] = []
    for symbol in sentence.symbols[1:]:
        if symbol.phone == PAUSE:
            last = out.pop()
            out.append(SpokenWord(last.word, last.phones, _MARKS[symbol.mark] or "."))
            continue
        phones.append((symbol.phone, symbol.stress))
        if symbol.edge in (2, 3):
            out.append(SpokenWord(next(names).lower(), tuple(phones), ""))
            phones = []
    return out


_worker: dict[str, Any] = {}


def _start_worker(voice: str, root: Path) -> None:
    torch.set_num_threads(1)
    _worker.update(teacher=FliteTeacher(voice), pronouncer=Pronouncer(load_lexicon()), root=root)


def _make_text(text: str) -> list[tuple[str | None, str]]:
    """One line of the list; returns (id, "") or (None, reason) for each sentence in it."""
    try:
        sentences = speak_text(text, _worker["pronouncer"])
    except MismatchError as error:
        return [(None, f"front end: {error}")]
    return [_make_sentence(s) for s in sentences]


def _make_sentence(sentence: Sentence) -> tuple[str | None, str]:
    teacher, root = _worker["teacher"], _worker["root"]
    words = teacher_words(sentence)
    features = encode(sentence.symbols)
    key = repr((teacher.name, SYMBOLS_VERSION, words, features.tolist()))
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    record = root / "items" / f"{name}.json"
    if record.exists():
        return name, ""
    wav = root / "wavs" / f"{name}.wav"
    try:
        durations, frames, samples = _analyse(sentence, words, teacher, wav)
    except (MismatchError, TrainError) as error:
        wav.unlink(missing_ok=True)
        return None, str(error)
    except soundfile.LibsndfileError as error:
        return None, f"{wav}: {error}"
    soundfile.write(wav, samples, SAMPLE_RATE, subtype="PCM_16")
    np.save(root / "frames" / f"{name}.npy", frames.astype(np.float16))
    write_json(
        record,
        {
            "text": sentence.text,
            "words": sentence.words,
            "features": features.tolist(),
            "durations": durations.tolist(),
        },
    )
    return name, ""


def _analyse(
    sentence: Sentence, words: Sequence[SpokenWord], teacher: FliteTeacher, wav: Path
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    timed = teacher.speak(words, wav)
    alignment = match([s.phone for s in sentence.symbols], timed)
    samples, rate = soundfile.read(wav, dtype="float32")
    if rate != SAMPLE_RATE or samples.ndim != 1:
        raise TrainError(f"{wav}: {rate} Hz, {samples.ndim} axes; {SAMPLE_RATE} Hz mono is needed")
    start, end = (int(s * SAMPLE_RATE) for s in (alignment.start_s, alignment.end_s))
    step = HOP_LENGTH * REDUCTION_FACTOR
    steps = (min(end, len(samples)) - start) // step
    samples = samples[start : start + steps * step]
    durations = to_steps(alignment.ends_s, step / SAMPLE_RATE, steps)
    return durations, analyse(samples)[: steps * REDUCTION_FACTOR], samples


def write_json(path: Path, value: object) -> None:
    """Writes a JSON file whole or not at all."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(value), encoding="utf-8")
    part.replace(path)


def make_corpus(
    texts: Iterable[str], voice: str, root: Path, report: Report, *, workers: int, label: str
) -> list[Item]:
    """Makes, or completes, a corpus.

    Args:
        texts: the lines to read.
        voice: the teacher's.
        root: folder of the corpus.
        report: told about progress and about what was skipped, and why.
        workers: processes.
        label: what the progress bar says.

    Returns:
        the items in the order of `texts`.

    Raises:
        TrainError: the teacher is missing, or no sentence at all could be used.
    """
    FliteTeacher(voice)  # a missing teacher is told at once, not by a worker
    for folder in ("items", "wavs", "frames"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    texts = list(texts)
    names: dict[str, None] = {}
    skipped: Counter[str] = Counter()
    with (
        report.bar(label, len(texts)) as bar,
        ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(voice, root)) as pool,
    ):
        for text, made in zip(texts, pool.map(_make_text, texts, chunksize=8), strict=True):
            for name, reason in made:
                if name is None:
                    skipped[reason.split(",")[0].split(" is ")[0]] += 1
                    report.note(f"skipped {text[:50]!r}: {reason}")
                else:
                    names[name] = None
            bar.advance()
    report.say(f"{label}: {len(names)} sentences, {skipped.total()} skipped")
    if not names:
        raise TrainError(f"no sentence could be used; see {report.log}")
    return list(load_items(root, names))


def load_items(root: Path, names: Iterable[str]) -> Iterator[Item]:
    """The items of these names, in order."""
    for name in names:
        record = json.loads((root / "items" / f"{name}.json").read_text(encoding="utf-8"))
        features = np.array(record["features"], dtype=np.int64)
        if features.shape[1] != len(FEATURES):
            raise TrainError(f"{root} was made by another version; remove it")
        yield Item(
            name,
            record["text"],
            tuple(record["words"]),
            features,
            np.array(record["durations"], dtype=np.int64),
            root / "wavs" / f"{name}.wav",
            root / "frames" / f"{name}.npy",
        )
