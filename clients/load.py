#!/usr/bin/env python3
"""Loads a streamtts server with listeners, and tells how long they wait and what they hear late.

python clients/load.py --streams 64 --seconds 60            one run
python clients/load.py --streams 64 --pid 1234 --plot gaps.png --json run.json
python clients/load.py --steps 1,8,32,64,128 --plot ttfa.png   one run each
python clients/load.py --sustained                          how many streams does it keep in time?
python clients/load.py --streams 100 --overload 2           at capacity, then at twice that
python clients/load.py --streams 200 --arrival burst        200 texts at once

Streams come by an open Poisson process, whether those before them were served or not; each plays in
real time from its first sound on. A chunk that comes later than that is an underrun. A run in which
this program itself lagged (p99 of its timers above --lag-limit) is void.

Exit status: 0 measured, 1 it could not be measured, 2 wrong options, 3 measured but void,
4 partial (the server went away), 130 interrupted (the report is partial).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import load_plot
import load_table
import load_texts
import msgspec
from load_run import run, speaking_pace
from load_search import sustained
from load_spec import (
    LoadReport,
    LoadSpec,
    Probe,
    ServerUse,
    Spread,
    StreamReport,
    SustainedReport,
)

from streamtts.client import DEFAULT_URL
from streamtts.errors import BadField, StreamTTSError

__all__ = [
    "LoadReport",
    "LoadSpec",
    "Probe",
    "ServerUse",
    "Spread",
    "StreamReport",
    "SustainedReport",
    "main",
    "run",
    "speaking_pace",
    "sustained",
]

MEASURED, FAILED, VOID, PARTIAL, INTERRUPTED = 0, 1, 3, 4, 130


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    summary, _, rest = (__doc__ or "").partition("\n\n")
    made = argparse.ArgumentParser(
        prog="load.py",
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    plain = LoadSpec()
    add = made.add_argument
    add("--url", default=DEFAULT_URL, help="the server (default: %(default)s)")
    add(
        "--token",
        default=os.environ.get("STREAMTTS_TOKEN", ""),
        help="key of the server (default: the environment variable STREAMTTS_TOKEN)",
    )
    add("--pid", type=int, default=0, help="of the server, for CPU and memory from /proc")
    _add_load(made.add_argument_group("the load"), plain)
    _add_modes(made.add_argument_group("more than one run"))
    out = made.add_argument_group("results")
    out.add_argument("--json", metavar="FILE", help="the whole report")
    out.add_argument("--plot", metavar="FILE.png", help="gaps over time, or ttfa against streams")
    return made


def _add_load(group: Any, plain: LoadSpec) -> None:
    add = group.add_argument
    add("--streams", type=int, default=plain.streams, help="on average (default: %(default)s)")
    add("--seconds", type=float, default=plain.seconds, help="measured (default: %(default)s)")
    add("--seed", type=int, default=plain.seed, help="the same seed is the same load")
    add("--arrival", choices=("poisson", "burst"), default=plain.arrival)
    add("--tokens", type=float, metavar="RATE", help="text at RATE tokens a second, not whole")
    add("--audio-s", type=float, default=plain.audio_s, help="speech a stream (%(default)s)")
    add("--sentences", metavar="FILE", help="what is said, one a line (default: built in)")
    add("--voice", default="", help="id of a voice (default: the server's)")
    add("--lead-ms", type=int, help="sound ahead of its playback (default: the server's)")
    add("--frame-ms", type=int, help="length of a chunk (default: the server's)")
    add("--per-connection", type=int, default=1, metavar="K", help="streams on a connection")
    add("--ramp-s", type=float, default=plain.ramp_s, help="before measuring (%(default)s)")
    add(
        "--priority",
        choices=("highest", "normal"),
        default=plain.priority,
        help="of this program: listeners elsewhere need no core of this machine (%(default)s)",
    )
    add(
        "--lag-limit",
        type=float,
        default=plain.lag_limit_ms,
        metavar="MS",
        help="own lag p99 above which a run is void (default: %(default)s)",
    )


def _add_modes(group: Any) -> None:
    one = group.add_mutually_exclusive_group()
    one.add_argument("--sustained", action="store_true", help="bisect for the most without a fault")
    one.add_argument("--steps", type=_numbers, metavar="N,N,...", help="a run for each of these")
    one.add_argument("--overload", type=float, metavar="F", help="at --streams, then F times that")
    add = group.add_argument
    add("--start", type=int, default=32, help="sustained: first number tried (%(default)s)")
    add("--least", type=int, default=1, help="sustained: lower bound (%(default)s)")
    add("--most", type=int, default=1024, help="sustained: upper bound (%(default)s)")
    add("--resolution", type=int, default=0, help="sustained: last step (default: a 32nd)")
    add("--probe-s", type=float, default=15.0, help="sustained: length of a probe (%(default)s)")
    add("--confirm-s", type=float, default=60.0, help="sustained: of the last runs (%(default)s)")
    add("--seeds", type=_numbers, default=(1, 2, 3), help="sustained: of the last runs (1,2,3)")


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(","))
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("numbers from 1, with commas between them")
    return numbers


def spec_of(options: argparse.Namespace) -> LoadSpec:
    """What the options ask for.

    Raises:
        BadField: a file that cannot be read, or a number that makes no sense.
    """
    spec = LoadSpec(
        url=options.url,
        key=options.token,
        pid=options.pid,
        streams=options.streams,
        seconds=options.seconds,
        seed=options.seed,
        arrival=options.arrival,
        text="whole" if options.tokens is None else "tokens",
        tokens_per_s=LoadSpec().tokens_per_s if options.tokens is None else options.tokens,
        audio_s=options.audio_s,
        sentences=load_texts.load(options.sentences) if options.sentences else (),
        voice=options.voice,
        lead_ms=options.lead_ms,
        frame_ms=options.frame_ms,
        per_connection=options.per_connection,
        ramp_s=options.ramp_s,
        priority=options.priority,
        lag_limit_ms=options.lag_limit,
    )
    spec.check()
    return spec


async def measure(options: argparse.Namespace, stop: asyncio.Event) -> int:
    """Does what the options ask for and prints it; returns the exit status.

    Raises:
        StreamTTSError: it cannot be done.
    """
    spec = spec_of(options)
    for path in filter(None, (options.json, options.plot)):
        load_table.check_folder(path)
    if options.sustained:
        return await _search(options, spec, stop)
    if options.steps or options.overload:
        spec = msgspec.structs.replace(spec, s_per_char=await speaking_pace(spec))
    specs = [spec]
    if options.steps:
        specs = [msgspec.structs.replace(spec, streams=streams) for streams in options.steps]
    elif options.overload:
        specs.append(msgspec.structs.replace(spec, overload=options.overload))
        specs[-1].check()
    reports: list[LoadReport] = []
    for one in specs:
        if len(specs) > 1:
            print(f"{one.streams} x {one.overload:g} streams ...", file=sys.stderr, flush=True)
        reports.append(await run(one, stop=stop))
        if reports[-1].partial:
            break
    print(load_table.table(reports))
    if options.overload and len(reports) == 2:
        print(load_table.overload(*reports))
    _keep(options, reports[0] if len(specs) == 1 else reports, reports)
    return _status(reports, stop)


async def _search(options: argparse.Namespace, spec: LoadSpec, stop: asyncio.Event) -> int:
    print(load_table.probe_head())
    found = await sustained(
        spec,
        start=options.start,
        least=options.least,
        most=options.most,
        resolution=options.resolution,
        probe_s=options.probe_s,
        confirm_s=options.confirm_s,
        seeds=options.seeds,
        on_probe=lambda probe: print(load_table.probe_line(probe), flush=True),
        stop=stop,
    )
    print(load_table.verdict(found))
    _keep(options, found, [probe.report for probe in found.probes])
    if stop.is_set():
        return INTERRUPTED
    if found.probes and found.probes[-1].report.partial:
        return PARTIAL
    return VOID if found.void else MEASURED


def _keep(
    options: argparse.Namespace, report: SustainedReport | LoadReport | list[LoadReport], drawn: Any
) -> None:
    if options.json:
        load_table.write_json(options.json, report)
    if options.plot and drawn:
        try:
            load_plot.draw(options.plot, drawn)
        except BadField as error:  # the numbers are there all the same
            print(f"load.py: {error}", file=sys.stderr)


def _status(reports: list[LoadReport], stop: asyncio.Event) -> int:
    if stop.is_set():
        return INTERRUPTED
    if any(report.partial for report in reports):
        return PARTIAL
    return VOID if any(report.void for report in reports) else MEASURED


async def until_stopped(work: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> int:
    """Runs `work` with an event that Ctrl-C and SIGTERM set; the second one ends it at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    task = asyncio.ensure_future(work(stop))

    def stopped() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped)
    except NotImplementedError:  # Windows: Ctrl-C raises KeyboardInterrupt
        pass
    try:
        return await task
    except asyncio.CancelledError:
        return INTERRUPTED


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop of uvloop where that is installed: it takes less CPU a chunk."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = parser().parse_args(arguments)
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(until_stopped(lambda stop: measure(options, stop)))
    except StreamTTSError as error:
        print(f"load.py: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(main())
