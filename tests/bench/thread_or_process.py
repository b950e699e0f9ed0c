#!/usr/bin/env python3
"""Should the engine be a thread of the server's process, or a process of its own? Both, measured.

python tests/bench/thread_or_process.py [--blocks 5] [--streams 64] [--json FILE]

split_server.py runs the same server both ways. In turn, block by block: so many streams play while
new ones come (first sound), /healthz is asked, and the loop's lag and the CPU time of all processes
are read. Then a search for the streams sustained, probe by probe in turn.
"""

import argparse
import asyncio
import contextlib
import signal
import sys

import numpy as np
import table_capacity
import table_crowd
from bench_load import RAMP_S, Bench, beside
from bench_report import Report, percentile
from bench_server import FOLDER, Process
from bench_stats import percentile_of_counts, ratio_of_medians
from table import stop

WAYS = ("thread", "process")
PLAY_S = 15.0
PROBE_S = 10.0
BUCKET = "streamtts_loop_lag_seconds_bucket"


class SplitServer(Process):
    """split_server.py, one way or the other."""

    def __init__(self, way):
        script = str(FOLDER / "split_server.py")
        super().__init__(lambda port, _: [sys.executable, script, way, "--port", str(port)])


def lag_counts(server):
    """The histogram of the loop's lag so far: upper edge in s to how many lay below it."""
    return {
        float(name.partition('le="')[2].partition('"')[0]): value
        for name, value in server.metrics().items()
        if name.startswith(BUCKET)
    }


async def play(bench, server, streams, block):
    """One block of one way."""
    server.resume()
    await asyncio.sleep(1.0)  # the loop has noticed that it was stopped
    before = await asyncio.to_thread(lag_counts, server)
    report, ((newcomers, _), healths) = await beside(
        bench.run(server, streams, PLAY_S, seed=bench.seed + block),
        _both(
            table_crowd.newcomers(server, block, PLAY_S),
            table_crowd.healths(server, PLAY_S),
        ),
    )
    after = await asyncio.to_thread(lag_counts, server)
    server.pause()
    lags = {edge: after[edge] - before.get(edge, 0.0) for edge in after}
    return report, [ms for _, ms in newcomers], healths, lags


async def _both(*waiting):
    return await asyncio.gather(*waiting)


async def measure(bench, options):
    servers = {way: bench.enter(SplitServer(way)) for way in WAYS}
    for server in servers.values():
        server.pause()
    found = {way: [] for way in WAYS}
    bench.give(options.blocks * 2 * (PLAY_S + RAMP_S + 10) / 60 * 2)
    for block in range(options.blocks):
        for way, server in servers.items():
            result = await play(bench, server, options.streams, block)
            found[way].append(result)
            report, newcomers, healths, lags = result
            bench.note(
                f"block {block + 1}, {way}: {report.underruns} underruns; first sound p50 "
                f"{percentile(newcomers, 50):.1f} ms; CPU {report.server.cpu_s_per_audio_s:.4f}; "
                f"lag p99 {1000 * percentile_of_counts(lags, 99):.2f} ms; /healthz p99 "
                f"{percentile(healths, 99):.1f} ms; void: {report.void_reason or 'no'}"
            )
    rows(bench.report, options, found)
    bench.give(options.minutes)
    starts = dict.fromkeys(WAYS, options.start)
    stairs = await table_capacity.search(bench, servers, starts, walk=options.blocks,
                                         seconds=PROBE_S, keep_s=0)  # fmt: skip
    ours, theirs = (stairs[way].estimates() for way in WAYS)
    for way in WAYS:
        estimates = stairs[way].estimates()
        if estimates:
            bench.report.row(f"streams sustained ({PROBE_S:g} s probes), {way}",
                             percentile(estimates, 50), digits=0)  # fmt: skip
    blocks = min(len(ours), len(theirs))
    if blocks and min(theirs[-blocks:]) > 0:
        _ratio(bench.report, "streams sustained", theirs[-blocks:], ours[-blocks:])
    else:
        bench.report.missing("streams sustained, process over thread", "no time, or none sustained")


def rows(report, options, found):
    """The table, from (report, newcomers, healths, lags) of every block of both ways."""
    name = f"{options.streams} streams"
    for what, unit, pick, percent in (
        ("first sound p50 of a new stream", "ms", lambda result: result[1], 50),
        ("first sound p95 of a new stream", "ms", lambda result: result[1], 95),
        ("/healthz p99", "ms", lambda result: result[2], 99),
        ("CPU s per s of audio", "", lambda result: [result[0].server.cpu_s_per_audio_s], 50),
    ):
        blocks = {way: [pick(result) for result in found[way]] for way in WAYS}
        for way in WAYS:
            value = percentile(np.concatenate(blocks[way]), percent)
            report.row(f"{name}: {what}, {way}", value, unit=unit, digits=4 if not unit else 1)
        _ratio(report, f"{name}: {what}", blocks["process"], blocks["thread"], percent=percent)
    for way in WAYS:
        total = {}
        for *_, lags in found[way]:
            for edge, count in lags.items():
                total[edge] = total.get(edge, 0.0) + count
        value = 1000 * percentile_of_counts(total, 99)
        report.row(f"{name}: loop lag p99, {way}", value, unit="ms", digits=2)
        underruns = sum(result[0].underruns for result in found[way])
        report.row(f"{name}: underruns, {way}", underruns, digits=0)


def _ratio(report, what, above, below, percent=50):
    ratio = ratio_of_medians(above, below, percent=percent)
    report.row(f"{what}, process over thread", ratio.value, digits=2,
               interval=(ratio.low, ratio.high))  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--streams", type=int, default=64, help="that play in every block")
    parser.add_argument("--start", type=int, default=96, help="streams that the search begins at")
    parser.add_argument("--minutes", type=float, default=10.0, help="for the search")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", default="", metavar="FILE")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    config = f"default configuration, {options.blocks} blocks, seed {options.seed}, one machine"
    report = Report("Engine as a thread or as a process", config, notes=sys.stderr)
    with contextlib.ExitStack() as stack:
        bench = Bench(report, stack, seed=options.seed)
        try:
            asyncio.run(measure(bench, options))
        finally:
            status = report.finish()
            if options.json:
                report.write_json(options.json, voids=bench.voids)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
