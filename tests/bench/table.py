#!/usr/bin/env python3
"""The whole table, M1 to M10: what is promised, what is measured, whether it is met.

python tests/bench/table.py [--only M4,M6] [--json FILE] [--capacity N] [--minutes M]

Everything runs on this machine: the real server, the serving strategies S1 to S5
(bench_strategies.py) and the load client (clients/load.py). The two sides of a ratio alternate in
one run; intervals are bootstrapped, 95 %. It takes less than an hour on two cores; leave the
machine alone meanwhile. Progress goes to standard error, the table to standard output.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import bench_texts
import table_capacity
import table_crowd
import table_fair
import table_first
from bench_load import Bench, OutOfTime
from bench_report import Report, load_average


class Section(NamedTuple):
    """Measures that are taken together, and the minutes that they may take."""

    measures: tuple[str, ...]
    minutes: float
    measure: Callable


SECTIONS = (
    Section(("M1", "M2", "M9"), 4, table_first.measure),
    Section(("M10",), 1, table_fair.cancel),
    Section(("M3",), 3.5, table_capacity.cost),
    Section(("M4",), 27, table_capacity.sustained),
    Section(("M5",), 4.5, table_crowd.newcomer),
    Section(("M6",), 6, table_crowd.overload),
    Section(("M8",), 2.5, table_crowd.saturation),
    Section(("M7",), 6.5, table_fair.slow_reader),
)
MEASURES = tuple(sorted((m for s in SECTIONS for m in s.measures), key=lambda m: int(m[1:])))


async def measure(bench, wanted, minutes):
    """Runs the sections asked for; one that fails does not take the others with it."""
    scale = min(1.0, minutes / sum(section.minutes for section in SECTIONS))
    waiting = [
        (section, asked)
        for section in SECTIONS
        if (asked := [m for m in section.measures if m in wanted])
    ]
    try:
        while waiting:
            section, asked = waiting[0]
            await _take(bench, section, asked, section.minutes * scale)
            waiting.pop(0)
    finally:
        for _, asked in waiting:
            bench.report.missing(" ".join(asked), "stopped before its end")
    bench.note(f"{bench.runs} runs of the load client, {len(bench.voids)} void")


async def _take(bench, section, asked, minutes):
    names = " ".join(asked)
    bench.note(f"== {names}: at most {minutes:.1f} minutes; load {load_average()}")
    bench.give(minutes)
    began_s = time.monotonic()
    try:
        await section.measure(bench, asked)
    except OutOfTime as error:
        bench.report.missing(names, str(error))
    except (Exception, SystemExit) as error:
        bench.report.missing(names, f"{type(error).__name__}: {error}")
    bench.server.check()
    bench.note(f"== {names}: took {(time.monotonic() - began_s) / 60:.1f} minutes")


def stop(number, frame):
    """On SIGTERM: the servers are stopped, and what has been measured is printed."""
    raise KeyboardInterrupt(f"signal {number}")


def measures(text):
    chosen = text.replace(" ", "").upper().split(",")
    unknown = [name for name in chosen if name not in MEASURES]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: there are {', '.join(MEASURES)}")
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=measures, default=MEASURES, metavar="M4,M6")
    parser.add_argument("--json", default="", metavar="FILE", help="the table for machines")
    parser.add_argument("--capacity", type=int, default=0, metavar="N",
                        help="streams sustained, where M4 is not measured")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=55.0, help="for all of it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--config", default="", metavar="FILE", help="TOML for the server")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    bench_texts.check()
    report = Report(
        f"Measures {', '.join(options.only)}",
        f"{options.config or 'the default'} configuration, the shipped voice, loopback, clients on "
        f"the same cores; seed {options.seed}; at most {options.minutes:g} minutes\n"
        f"command: python {' '.join(sys.argv)}",
        notes=sys.stderr,
    )
    with contextlib.ExitStack() as stack:
        bench = Bench(report, stack, config=options.config, seed=options.seed,
                      capacity=options.capacity)  # fmt: skip
        try:
            asyncio.run(measure(bench, options.only, options.minutes))
        finally:
            status = report.finish()
            if options.json:
                report.write_json(options.json, voids=bench.voids, capacity=bench.capacity)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
