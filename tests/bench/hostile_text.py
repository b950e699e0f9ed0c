#!/usr/bin/env python3
"""M13 of the project's measures: text that is meant to hurt costs linear time and blocks nobody.

python tests/bench/hostile_text.py [--chars 100000] [--repeats 3] [--no-server]

The front end reads `chars` and a quarter of it: time(4 n) / time(n), the best CPU times of all
repeats.
Then a server is fed all of it while another connection sends pings: the slowest answer.
"""

import argparse
import asyncio
import contextlib
import gc
import time

from bench_report import Report, percentile
from bench_server import ServerProcess

from streamtts.client import Audio, connect
from streamtts.text.frontend import FrontEnd
from streamtts.text.phonemes import Pronouncer, load_lexicon

UNITS = {
    "digits": "7",
    "digits and commas": "1,234,",
    "dots": ".",
    "dotted letters": "a.b.",
    "at signs": "@",
    "addresses": "a@b.",
    "combining marks": "e\u0301\u0301\u0301",
    "one long word": "abcdefghij",
    "emphasis": "*_",
    "brackets": "[(",
    "links": "[a](",
    "backticks": "`",
    "hashes": "# ",
    "table bars": "| a ",
    "markup": "<a b='",
    "ampersands": "&amp",
    "quotes and dashes": "\u201c\u2014",
    "spaces": " ",
    "lines": "a\n",
    "Roman": "XIV ",
    "times": "12:34:",
    "dollars": "$1.5",
    "slashes": "1/2/",
    "emoji": "\U0001f600",
    "words": "the quick brown fox ",
}
CONFIG = "[limits]\nchars_per_context = 10000000\n"
PING_EVERY_S = 0.005
DELTA = 1000


def cut(unit, chars):
    return (unit * (chars // len(unit) + 1))[:chars]


def seconds(pronouncer, text, text_format, delta):
    """CPU time for the front end to read a text in pieces of `delta` characters.

    Garbage is collected before and not meanwhile: what that costs depends on how much else is alive
    in a process.
    """
    front_end = FrontEnd(pronouncer, text_format=text_format)
    gc.collect()
    gc.disable()
    began = time.thread_time()
    for at in range(0, len(text), delta):
        front_end.feed(text[at : at + delta])
    front_end.end()
    took = time.thread_time() - began
    gc.enable()
    return took


def linear(report, options):
    """time(4 n) / time(n) of every pattern, whole and in small deltas."""
    pronouncer = Pronouncer(load_lexicon())
    worst = 0.0
    slowest = 0.0
    for text_format in ("plain", "markdown"):
        for name, unit in UNITS.items():
            small, large = cut(unit, options.chars // 4), cut(unit, options.chars)
            for delta in (16, options.chars):
                quarter, whole = [], []
                for _ in range(options.repeats):
                    quarter.append(seconds(pronouncer, small, text_format, delta))
                    whole.append(seconds(pronouncer, large, text_format, delta))
                ratio = min(whole) / max(min(quarter), 1e-4)  # below 0.1 ms is noise
                worst, slowest = max(worst, ratio), max(slowest, min(whole))
                report.note(
                    f"{text_format:9} {name:18} delta {delta:6}: {min(whole) * 1000:8.1f} ms, "
                    f"ratio {ratio:5.2f}"
                )
    report.row(f"M13 time(4 n) / time(n), n = {options.chars // 4}, worst", worst, 4.5, digits=2)
    report.row(f"M13 {options.chars} characters, slowest", slowest * 1000, unit="ms")


async def blocked(server, report, options):
    """The slowest pong of one connection while another one is fed every pattern."""
    times, lags = [], []
    async with connect(server.url) as tts, connect(server.url) as attacker:
        stop = asyncio.Event()

        async def watch():
            loop = asyncio.get_running_loop()
            while not stop.is_set():
                due = loop.time() + PING_EVERY_S
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PING_EVERY_S):
                        await stop.wait()
                lags.append(loop.time() - due)
                times.append(await tts.ping())

        watching = asyncio.create_task(watch(), name="watch")
        for unit in UNITS.values():
            text = cut(unit, options.chars)
            async with attacker.speak(timestamps=()) as utterance:
                for at in range(0, len(text), DELTA):
                    await utterance.send(text[at : at + DELTA])
                await utterance.end()
                async with asyncio.timeout(60):
                    async for event in utterance:
                        if isinstance(event, Audio):
                            break
        stop.set()
        await watching
    report.row(f"M13 slowest of {len(times)} pongs meanwhile", max(times) * 1000, 20.0, unit="ms")
    report.row("M13 pong p99", percentile(times, 99) * 1000, unit="ms")
    lag = percentile(lags, 99) * 1000
    report.row("the bench's own lag p99 (above, the pongs are void)", lag, 2.0, unit="ms")
    name = "streamtts_loop_lag_p99_seconds"
    lines = [line for line in server.get("/metrics").splitlines() if line.startswith(f"{name} ")]
    for line in lines:
        report.row("the server's loop lag p99", float(line.split()[1]) * 1000, 10.0, unit="ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chars", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-server", action="store_true", help="only the front end")
    parser.add_argument("--config", default="", metavar="FILE", help="TOML for the server")
    options = parser.parse_args()
    report = Report("Hostile text", f"{len(UNITS)} patterns of {options.chars} characters")
    linear(report, options)
    if not options.no_server:
        with ServerProcess(options.config, CONFIG) as server:
            asyncio.run(blocked(server, report, options))
    raise SystemExit(report.finish())


if __name__ == "__main__":
    main()
