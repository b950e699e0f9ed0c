#!/usr/bin/env python3
"""M1, M2 and M9 of the project's measures: how soon the first sound is there.

python tests/bench/first_sound.py [--blocks 5] [--repeats 4] [--requests 20] [--idle 200]

M1  first delta sent -> first audible sample (|x| > 0.01) in a listener's ear, tokens arriving at 20
    and at 62 a second; beside it the same server given whole sentences (each when it is complete).
M2  all text given -> first chunk, one stream, texts of 50 and of 500 characters.
M9  the same over a WebSocket and straight from the engine; memory of an idle connection.

Both sides of every comparison alternate in blocks of one run; ratios are ratios of medians.
"""

import argparse
import asyncio
import contextlib
import time

import bench_texts
import numpy as np
from bench_report import Report, percentile
from bench_server import ServerProcess
from bench_stats import ratio_of_medians

from streamtts import config as schema
from streamtts.client import Audio, Done, Opened, connect
from streamtts.client.tokens import paced, tokens

AUDIBLE = 0.01
RATES = {20.0: (200.0, 0.2), 62.0: (106.0, 0.3)}  # tokens/s: (ms, ratio to sentences)
IDLE_WARM = 50


async def ear_ms(tts, text, per_second, *, sentences):
    """First delta -> first audible sample, in ms; the rest of the utterance is cancelled."""
    began = []

    async def source():
        waiting = ""
        async for token in paced(tokens(text), per_second):
            began.append(time.perf_counter())
            waiting += token
            if not sentences or waiting.rstrip().endswith((".", "?", "!")):
                yield waiting
                waiting = ""

    first_arrival = None
    async with tts.speak(source()) as utterance:
        async for event in utterance:
            if not isinstance(event, Audio) or not len(event.samples):
                continue
            now = time.perf_counter()
            first_arrival = first_arrival or now
            loud = np.flatnonzero(np.abs(event.samples) > AUDIBLE)
            if len(loud):
                played = first_arrival + (event.first_sample + loud[0]) / event.sample_rate
                at = max(played, now + loud[0] / event.sample_rate)
                await utterance.cancel()
                return (at - began[0]) * 1000
    raise SystemExit(f"no sound for {text!r}")


async def websocket_ms(tts, text):
    """All text given -> first chunk, in ms, over a WebSocket."""
    began = time.perf_counter()
    async with tts.speak(text) as utterance:
        async for event in utterance:
            if isinstance(event, Audio) and len(event.data):
                took = (time.perf_counter() - began) * 1000
                await utterance.cancel()
                return took
    raise SystemExit(f"no sound for {text!r}")


def engine_ms(speech, text):
    """All text given -> first chunk, in ms, without a server."""
    began = time.perf_counter()
    with contextlib.closing(speech.stream([text])) as stream:
        for _ in stream:
            return (time.perf_counter() - began) * 1000
    raise SystemExit(f"no sound for {text!r}")


async def first_sounds(ours, theirs, blocks, repeats):
    """Alternates two ways of speaking the same kind of text.

    Args:
        ours, theirs: coroutine functions from a text to ms.
        blocks: of each side.
        repeats: utterances a block.

    Returns:
        the blocks of both sides: lists of lists of ms.
    """
    taken = ([], [])
    number = 0
    for _ in range(blocks):
        for side, way in zip(taken, (ours, theirs), strict=True):
            texts = [bench_texts.text(number + at) for at in range(repeats)]
            number += repeats
            side.append([await way(text) for text in texts])
    return taken


def first_sound_rows(report, per_second, ours, theirs, whose):
    """M1, at one rate, from the blocks of both sides."""
    most_ms, most_ratio = RATES[per_second]
    values = np.concatenate(ours)
    name = f"M1 ftts p50 at {per_second:g} tokens/s"
    report.row(f"{name} (n={len(values)})", percentile(values, 50), most_ms, unit="ms")
    report.row(f"{name}, p95", percentile(values, 95), unit="ms")
    report.row(f"{name}, {whose}", percentile(np.concatenate(theirs), 50), unit="ms")
    ratio = ratio_of_medians(ours, theirs)
    report.row(f"{name}, over {whose}", ratio.value, most_ratio, digits=2,
               interval=(ratio.low, ratio.high))  # fmt: skip


async def first_sound(tts, report, options):
    """M1; the other side is the same server, whose client waits for whole sentences."""
    for per_second in RATES:
        ours, theirs = await first_sounds(
            lambda text, rate=per_second: ear_ms(tts, text, rate, sentences=False),
            lambda text, rate=per_second: ear_ms(tts, text, rate, sentences=True),
            options.blocks,
            options.repeats,
        )
        first_sound_rows(report, per_second, ours, theirs, "whole sentences")


async def all_text(tts, speech, report, options):
    """M2 and the first half of M9."""
    short, long, engine = [], [], []
    number = 0
    for _ in range(options.blocks):
        numbers = range(number, number + options.requests)
        number += options.requests
        brief = [bench_texts.of_length(at, 50) for at in numbers]
        short.append([await websocket_ms(tts, text) for text in brief])
        long.append([await websocket_ms(tts, bench_texts.of_length(at, 500)) for at in numbers])
        if speech is not None:
            engine.append([engine_ms(speech, text) for text in brief])
    ratio = ratio_of_medians(long, short, percent=95)
    middle = ratio_of_medians(long, short)
    short, long = np.concatenate(short), np.concatenate(long)
    n = len(short)
    report.row(f"M2 ttfa p95, 50 characters (n={n})", percentile(short, 95), 25.0, unit="ms")
    report.row("M2 ttfa p50, 50 characters", percentile(short, 50), unit="ms")
    report.row(f"M2 ttfa p95, 500 characters (n={n})", percentile(long, 95), unit="ms")
    report.row("M2 ttfa p95, 500 over 50 characters", ratio.value, 1.1, digits=2,
               interval=(ratio.low, ratio.high))  # fmt: skip
    report.row("M2 ttfa p50, 500 over 50 characters", middle.value, digits=2,
               interval=(middle.low, middle.high))  # fmt: skip
    if engine:
        engine = np.concatenate(engine)
        report.row(f"M9 ttfa p95, engine alone (n={n})", percentile(engine, 95), unit="ms")
        extra = percentile(short, 95) - percentile(engine, 95)
        report.row("M9 ttfa p95, WebSocket over engine", extra, 3.0, unit="ms")
        extra = percentile(short, 50) - percentile(engine, 50)
        report.row("M9 ttfa p50, WebSocket over engine", extra, unit="ms")


async def idle(server, report, options):
    """The second half of M9: what connections cost that do nothing."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(IDLE_WARM):
            await stack.enter_async_context(connect(server.url))
        before = server.rss_bytes
        for _ in range(options.idle):
            await stack.enter_async_context(connect(server.url))
        each = (server.rss_bytes - before) / options.idle / 1024
    report.row(f"M9 an idle connection (of {options.idle})", each, 25.0, unit="KiB")


async def spoken(tts):
    """A whole utterance, so that nothing is measured cold."""
    async for event in tts.speak(bench_texts.text(0)):
        if isinstance(event, Opened):
            rate = event.audio.sample_rate
        if isinstance(event, Done):
            return event.samples / rate
    raise SystemExit("the warm-up utterance did not end")


async def measure(server, speech, report, options):
    await idle(server, report, options)  # first: nothing else grows meanwhile
    async with connect(server.url, lead_ms=0) as tts:
        report.note(f"warm-up: {await spoken(tts):.2f} s of sound")
    async with connect(server.url) as tts:
        await first_sound(tts, report, options)
        await all_text(tts, speech, report, options)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=4, help="M1: utterances a block")
    parser.add_argument("--requests", type=int, default=20, help="M2, M9: requests a block")
    parser.add_argument("--idle", type=int, default=200, help="M9: idle connections")
    parser.add_argument("--no-engine", action="store_true", help="leave out the engine alone")
    parser.add_argument("--config", default="", metavar="FILE", help="TOML for the server")
    options = parser.parse_args()
    bench_texts.check()
    speech = None
    with contextlib.ExitStack() as stack:
        if not options.no_engine:
            from streamtts.speech import Speech

            config = schema.load(options.config or None)
            speech = stack.enter_context(contextlib.closing(Speech.load(config)))
            for _ in speech.stream([bench_texts.text(0)]):
                pass
        report = Report(
            "First sound",
            f"{options.config or 'the default'} configuration, one stream, loopback, client on the "
            f"same cores; {options.blocks} blocks a side",
        )
        server = stack.enter_context(ServerProcess(options.config))
        asyncio.run(measure(server, speech, report, options))
        status = report.finish()
    raise SystemExit(status)


if __name__ == "__main__":
    main()
