#!/usr/bin/env python3
"""Minutes of text in one context: no drift, flat memory, no clicks, all words, even levels.

python tests/bench/long_text.py --sentences FILE [--minutes 10] [--voice ID_OR_FOLDER] [--wav FILE]

The text ends with the very sentences that it began with, so that the first and the last minute
differ in nothing but their place; the same sentences are also spoken alone, each in a context of
its own. The recogniser (pocketsphinx, open vocabulary) hears all three, sentence by sentence, cut
by the server's word times. Seams: the edges of the chunks that arrive, and every hop on which the
vocoder can have been called again. Text that is shorter than five minutes has shorter "minutes".
"""

import argparse
import asyncio
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from bench_report import Report
from bench_server import ServerProcess
from bench_sound import levels_db, longest_silence_s, seams
from bench_take import SAMPLE_RATE, cut, listen

from streamtts.client import connect
from streamtts.engine.stream import CHUNK_FRAMES
from streamtts.errors import StreamTTSError
from streamtts.nn.spectral import HOP_LENGTH
from streamtts.text.frontend import FrontEnd
from streamtts.text.phonemes import Pronouncer, load_lexicon
from streamtts.train.corpus import read_sentences, speak_text
from streamtts.train.recognise import Recogniser, repeated, skipped, word_errors

MIB = 1 << 20


@dataclass
class Line:
    """A sentence, and the words that are heard when it is spoken."""

    text: str
    words: list[str]


def lines_of(file, pronouncer):
    """The sentences of a file, over and over, without those that the front end cannot count."""
    usable = 0
    for number, text in enumerate(itertools.cycle(texts := read_sentences(file))):
        if number == len(texts) and not usable:
            raise SystemExit(f"{file} has no sentence that can be used")
        text = text.rstrip(",;:- ")
        text = text if text.rstrip("\"')")[-1:] in (".", "?", "!") else f"{text}."
        try:
            sentences = speak_text(text, pronouncer)
        except StreamTTSError:
            continue
        words = [word.lower() for sentence in sentences for word in sentence.words]
        if words:
            usable += 1
            yield Line(text, words)


def spans(lines):
    """Where each line lies in their text, joined with spaces."""
    ends = list(itertools.accumulate(len(line.text) + 1 for line in lines))
    return [(end - 1 - len(line.text), end - 1) for line, end in zip(lines, ends, strict=True)]


async def speak_all(server, lines, minutes, report):
    """Speaks sentences alone for a minute, then all of the text.

    Returns:
        the sentences of the first minute, what they are alone, the whole text's lines and take.
    """
    minute_s = min(60.0, minutes * 60 / 2.5)
    async with connect(server.url, lead_ms=0) as tts:
        first, alone, spoken_s = [], [], 0.0
        while spoken_s < minute_s:
            first.append(next(lines))
            alone.append(await listen(tts, first[-1].text))
            spoken_s += alone[-1].seconds
        chars = sum(len(line.text) + 1 for line in first)
        missing = chars / spoken_s * minutes * 60 - 2 * chars
        middle = []
        while missing > 0:
            middle.append(next(lines))
            missing -= len(middle[-1].text) + 1
        whole = [*first, *middle, *first]
        text = " ".join(line.text for line in whole)
        report.note(f"text: {len(whole)} sentences, {len(text)} characters; the first and the last")
        report.note(f"{len(first)} sentences are the same and are also spoken alone")
        take = await listen(tts, text, lambda: server.rss_bytes)
    report.note(f"{take.seconds:.1f} s of sound in {take.wall_s:.1f} s")
    return first, alone, whole, take


def drift(report, recogniser, first, alone, whole, take):
    """(1) word errors of the first and the last minute, and of the same sentences alone."""
    where = spans(whole)
    heard = {"first minute": [], "last minute": [], "alone": []}
    for at, line in enumerate(first):
        sounds = {
            "first minute": cut(take, where[at]),
            "last minute": cut(take, where[len(whole) - len(first) + at]),
            "alone": cut(alone[at], (0, len(line.text))),
        }
        names = list(sounds)  # the recogniser adapts as it goes: each is first in turn
        for name in names[at % 3 :] + names[: at % 3]:
            heard[name].append(recogniser.hear(sounds[name], line.words))
    total = sum(len(line.words) for line in first)
    errors = {
        name: np.array(
            [word_errors(a.words, b.words).errors for a, b in zip(first, hears, strict=True)]
        )
        for name, hears in heard.items()
    }
    for name, values in errors.items():
        report.row(f"word errors, {name} ({total} words)", values.sum() / total * 100, unit="%")
    difference = errors["last minute"] - errors["first minute"]
    points = float(difference.sum()) / total * 100
    report.row("word errors, last minute against first", abs(points), 3.0, unit="points")
    noise = float(np.sqrt(len(difference)) * difference.std()) / total * 100
    report.row("  standard error of that", noise, unit="points")
    pairs = list(zip(first, heard["last minute"], heard["first minute"], strict=True))
    lost = sum(len(skipped(line.words, last, early)) for line, last, early in pairs)
    twice = sum(len(repeated(line.words, last, early)) for line, last, early in pairs)
    report.row("words skipped in the last minute only", lost, digits=0)
    report.row("words repeated in the last minute only", twice, digits=0)


def memory(report, take):
    """(2) resident memory of the server."""
    minute_s = min(60.0, take.seconds / 4)
    second = [rss for at, rss in take.rss if minute_s < at <= 2 * minute_s]
    last = [rss for at, rss in take.rss if at > take.seconds - minute_s]
    later = [rss for at, rss in take.rss if at > 2 * minute_s]
    growth = float(np.median(last) - np.median(second)) / MIB
    report.row("RSS, second minute to last (medians)", growth, 2.0, unit="MiB", digits=2)
    peak = (max(later) - max(second)) / MIB
    report.row("RSS, highest after the second minute over it", peak, unit="MiB", digits=2)
    report.row("RSS, last", take.rss[-1][1] / MIB, unit="MiB")


def clicks(report, take):
    """(3) jumps at seams against jumps elsewhere."""
    grid = take.starts[1] if len(take.starts) > 1 else len(take.samples)
    odd = take.misplaced + sum(start % grid != 0 for start in take.starts)
    report.row("chunks that do not follow the one before", odd, 0, digits=0)
    called = CHUNK_FRAMES * HOP_LENGTH
    hops = range(0, called, HOP_LENGTH)
    for name, found in (
        ("chunk seams", seams(take.samples, grid)),
        ("vocoder seams", seams(take.samples, called, hops)),
    ):
        report.note(
            f"{name} ({found.count}): largest jump {found.largest:.4f}, elsewhere "
            f"{found.largest_within:.4f}; p99.9 {found.high:.4f}, elsewhere at most "
            f"{found.high_within:.4f}; mean {found.mean:.5f}, at most {found.mean_within:.5f}"
        )
        ratio = found.largest / max(found.largest_within, 1e-9)
        report.row(f"{name}: largest jump over that elsewhere", ratio, 1.0, digits=3)
        ratio = found.high / max(found.high_within, 1e-9)
        report.row(f"{name}: p99.9 over the worst elsewhere", ratio, 1.0, digits=3)
        ratio = found.mean / max(found.mean_within, 1e-9)
        report.row(f"{name}: mean over the worst elsewhere", ratio, digits=3)


def words_and_length(report, take, text, pronouncer, minutes):
    """(4) every word once, in order, inside the sound."""
    front_end = FrontEnd(pronouncer)
    written = [*front_end.feed(text).words, *front_end.end().words]
    told = [take.words[i][2:] for i in sorted(take.words)]
    wrong = len(set(told) ^ {(word.char_start, word.char_end) for word in written})
    report.row("words written", len(written), digits=0)
    count = abs(len(told) - len(written)) + wrong
    report.row(f"words told ({len(told)}) that are not the text's", count, 0, digits=0)
    report.row("words that go back, or move", take.backwards, 0, digits=0)
    outside = sum(not 0 <= s <= e <= len(take.samples) for s, e, *_ in take.words.values())
    report.row("words without an end, or outside the sound", outside, 0, digits=0)
    report.row("samples told by done, less those that came",
               abs(take.done.samples - len(take.samples)), 0, digits=0)  # fmt: skip
    report.row("sound", take.seconds / 60, unit="minutes", digits=2)
    short = max(0.0, 100 - take.seconds / minutes / 60 * 100)
    report.row("shorter than asked for by", short, 10.0, unit="%")
    report.row("waited for text", take.done.metrics.starved_ms, unit="ms")


def levels(report, take):
    """(5) silence and level."""
    ordered = [take.words[i] for i in sorted(take.words)]
    gaps = [after[0] - before[1] for before, after in itertools.pairwise(ordered)]
    longest = max(gaps, default=0) / SAMPLE_RATE
    report.row("longest gap between words, by their times", longest, 1.0, unit="s", digits=2)
    speech = take.samples[ordered[0][0] : ordered[-1][1]]
    silence = longest_silence_s(speech, SAMPLE_RATE)
    report.row("longest silence, by the sound", silence, 1.0, unit="s", digits=2)
    minute = min(60 * SAMPLE_RATE, len(take.samples) // 2)
    by_minute = levels_db(take.samples, minute)
    report.note("RMS by minute, dB: " + " ".join(f"{level:.1f}" for level in by_minute))
    spread = max(by_minute) - min(by_minute)
    report.row("RMS, loudest minute over faintest", spread, 1.0, unit="dB", digits=2)
    report.row("peak, full scale is 1", float(np.abs(take.samples).max()), 0.999, digits=3)


def configuration(voice):
    """TOML for the server; the path of a voice's folder is as good as an id."""
    if not voice:
        return ""
    name = f"{Path(voice).resolve()}/" if Path(voice).is_dir() else voice
    return f'[voice]\nid = "{name}"\n'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=Path, required=True, metavar="FILE")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--voice", default="", metavar="ID_OR_FOLDER")
    parser.add_argument("--wav", type=Path, metavar="FILE", help="keep the sound")
    options = parser.parse_args()
    try:
        recogniser, pronouncer = Recogniser(), Pronouncer(load_lexicon())
        read_sentences(options.sentences)
    except StreamTTSError as error:
        raise SystemExit(str(error)) from None
    lines = lines_of(options.sentences, pronouncer)
    report = Report("Long text", f"{options.voice or 'the shipped voice'}, one context, lead_ms 0")
    with ServerProcess("", configuration(options.voice)) as server:
        first, alone, whole, take = asyncio.run(speak_all(server, lines, options.minutes, report))
    if options.wav:
        soundfile.write(options.wav, take.samples, SAMPLE_RATE)
    drift(report, recogniser, first, alone, whole, take)
    memory(report, take)
    clicks(report, take)
    text = " ".join(line.text for line in whole)
    words_and_length(report, take, text, pronouncer, options.minutes)
    levels(report, take)
    raise SystemExit(report.finish())


if __name__ == "__main__":
    main()
