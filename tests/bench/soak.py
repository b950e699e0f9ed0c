#!/usr/bin/env python3
"""M14 of the project's measures: good listeners for minutes, with slow, dying and rude ones beside.

python tests/bench/soak.py [--minutes 10] [--streams 8]

Memory is looked at from minute 3 on (in shorter runs from 30 % on): the median of half a minute
there against the median of the last half minute. When everybody has gone, the server must hold what
it held before: tasks, threads, handles, slots, contexts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from bench_report import Report
from bench_server import FOLDER, ServerProcess

ROOT = FOLDER.parents[1]
SETTLED_MINUTES = 3.0
EVERY_S = 2.0
WINDOW_S = 30.0
LEFT_S = 60.0
HELD = {
    "tasks": "streamtts_tasks",
    "threads": "streamtts_threads",
    "handles": "process_open_fds",
    "connections": "streamtts_connections",
    "contexts": "streamtts_contexts",
    "slots": "streamtts_slots_used",
    "streams that wait": "streamtts_waiting",
    "bytes that wait": "streamtts_outbox_bytes",
}
SERVER = """
[server]
slow_reader_s = 5.0
connections = 2048
"""


def held(server):
    values = server.metrics()
    return {what: values[name] for what, name in HELD.items()}


def leaked(server, before):
    """What the server holds more than before, at the latest a minute after everybody has gone."""
    until_s = time.monotonic() + LEFT_S
    while True:
        more = {what: value - before[what] for what, value in held(server).items()}
        if max(more.values()) <= 0 or time.monotonic() > until_s:
            return more
        time.sleep(0.5)


class Memory:
    """Resident memory over time.

    Attributes:
        at_s, mib: one entry a look.
    """

    def __init__(self, server):
        self._server = server
        self._began_s = time.monotonic()
        self.at_s, self.mib = [], []

    def look(self):
        self.at_s.append(time.monotonic() - self._began_s)
        self.mib.append(self._server.rss_bytes / 2**20)

    def around(self, at_s, width_s):
        return median(
            mib for s, mib in zip(self.at_s, self.mib, strict=True) if abs(s - at_s) <= width_s / 2
        )

    def growth(self, from_s, to_s):
        width_s = min(WINDOW_S, (to_s - from_s) / 3)
        return self.around(to_s - width_s / 2, width_s) - self.around(from_s, width_s)


def soak(server, minutes, streams, only, report):
    """Runs the clients; returns what load.py reported, the memory, and what was left behind."""
    seconds = 60 * minutes
    port = server.url.rpartition(":")[2]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "load.json"
        good = [sys.executable, str(ROOT / "clients" / "load.py"), "--url", server.url,
                "--streams", str(streams), "--seconds", f"{seconds:.0f}", "--json", str(out),
                "--audio-s", "8", "--lag-limit", "1000"]  # fmt: skip
        bad = [sys.executable, str(FOLDER / "rude.py"), "--port", port, "--seconds", str(seconds)]
        if only:
            bad += ["--only", only]
        before = held(server)
        memory = Memory(server)
        with (
            subprocess.Popen(good, stdout=subprocess.DEVNULL) as listening,
            subprocess.Popen(bad, stdout=subprocess.PIPE, text=True) as rude,
        ):
            while rude.poll() is None:
                memory.look()
                time.sleep(EVERY_S)
            report.note(f"rude clients, rounds: {rude.stdout.read().strip()}")
            listening.wait(300)
        more = leaked(server, before)
        return json.loads(out.read_text()), memory, more


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--streams", type=int, default=8, help="good ones at a time")
    parser.add_argument("--only", default="", help="kinds of rude clients, with commas between")
    parser.add_argument("--config", default="", metavar="FILE", help="TOML for the server")
    options = parser.parse_args()
    seconds = 60 * options.minutes
    from_s = min(60 * SETTLED_MINUTES, 0.3 * seconds)
    report = Report(
        "Soak",
        f"{options.minutes:g} minutes, {options.streams} good streams, rude clients: "
        f"{options.only or 'all kinds'}",
    )
    with ServerProcess(options.config, SERVER) as server:
        load, memory, more = soak(server, options.minutes, options.streams, options.only, report)
        values = server.metrics()
    marks = np.arange(WINDOW_S / 2, memory.at_s[-1], WINDOW_S)
    shown = " ".join(f"{memory.around(at_s, WINDOW_S):.2f}" for at_s in marks)
    report.note(f"RSS in MiB, every {WINDOW_S:.0f} s: {shown}\n")
    slope = np.polyfit(memory.at_s, memory.mib, 1)[0] * 60
    report.row(
        f"M14 RSS growth from minute {from_s / 60:.1f} to {options.minutes:g}",
        memory.growth(from_s, memory.at_s[-1]), 1.0, unit="MiB", digits=2,
    )  # fmt: skip
    report.row("RSS, least and ...", min(memory.mib), unit="MiB")
    report.row("... most", max(memory.mib), unit="MiB")
    report.row("RSS, slope of a line through all of it", slope, unit="MiB/min", digits=3)
    for what, value in more.items():
        report.row(f"M14 leaked {what}", value, 0.0, digits=0)
    report.row("good listeners: underruns", load["underruns"], 0.0, digits=0)
    report.row("good listeners: errors", sum(load["errors"].values()), 0.0, digits=0)
    report.row("good listeners: streams", load["started"], digits=0)
    report.row("good listeners: refused", sum(load["refused"].values()), digits=0)
    report.row("good listeners: lag of the client, p99", load["client"]["lag_ms"]["p99"], unit="ms")
    report.row("slow readers closed", values["streamtts_slow_reader_closes_total"], digits=0)
    report.row("loop lag p99, last minute", 1000 * values["streamtts_loop_lag_p99_seconds"],
               unit="ms")  # fmt: skip
    raise SystemExit(report.finish())


if __name__ == "__main__":
    main()
