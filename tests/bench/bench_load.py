"""The load client, as the benchmarks use it: runs that are void are repeated, and told of."""

import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "clients"))

import load
from bench_server import ServerProcess
from load_spec import LoadSpec

TRIES = 3
STOOD_STILL_MS = 25.0
RAMP_S = 5.0
EXTRA_S = RAMP_S + 4.0  # of every run, beside its window


class OutOfTime(Exception):
    """The section's minutes are over."""


class Bench:
    """What the sections of the table share.

    Args:
        report: takes their rows and notes.
        stack: closes the servers.
        config: TOML file for the real server; empty for the defaults.
        seed: of the load.

    Attributes:
        capacity: streams sustained; 0 until they have been measured or given.
        voids: runs that did not count, each with its reason.
        runs: of the load client.
    """

    def __init__(self, report, stack, *, config="", seed=0, capacity=0):
        self.report = report
        self.seed = seed
        self.capacity = capacity
        self.voids = []
        self.runs = 0
        self._stack = stack
        self._config = config
        self._server = None
        self._s_per_char = {}
        self._until_s = float("inf")

    @property
    def server(self):
        """The real one; started when it is first asked for."""
        if self._server is None:
            self._server = self._stack.enter_context(ServerProcess(self._config))
        return self._server

    def enter(self, process):
        """Starts another server, until the end."""
        return self._stack.enter_context(process)

    def give(self, minutes):
        """Sets how long the section that begins now may take."""
        self._until_s = time.monotonic() + 60 * minutes

    def left_s(self):
        return self._until_s - time.monotonic()

    def has_time(self, seconds):
        """Whether the section's minutes allow that much more; says so when they do not."""
        if self.left_s() >= seconds:
            return True
        self.note("the section's minutes are over: no further blocks")
        return False

    def note(self, line):
        self.report.note(f"{time.strftime('%H:%M:%S')} {line}")

    def spec(self, server, streams, seconds, **more):
        """A `LoadSpec` for a server of ours."""
        known = self._s_per_char.get(server.url, 0.0)
        given = {"seed": self.seed, "ramp_s": RAMP_S, "s_per_char": known, **more}
        return LoadSpec(url=server.url, pid=server.pid, streams=streams, seconds=seconds, **given)

    async def once(self, server, streams, seconds, **more):
        """One run, whatever became of it."""
        spec = self.spec(server, streams, seconds, **more)
        if seconds + spec.ramp_s > self.left_s():
            raise OutOfTime("the section's minutes are over")
        server.check()
        report = await load.run(spec)
        self.runs += 1
        self._s_per_char[server.url] = report.spec.s_per_char
        if report.void:
            self.voids.append(f"{streams} streams: {report.void_reason}")
        return report

    async def run(self, server, streams, seconds, **more):
        """A run that counts, or the last of `TRIES` that do not; see `LoadReport.void`."""
        for attempt in range(TRIES):
            report = await self.once(server, streams, seconds, **more)
            if not report.void:
                break
            self.note(f"void ({attempt + 1} of {TRIES}): {report.void_reason}")
        return report

    async def probe(self, server, streams, seconds, **more):
        """Whether a server sustains so many streams, and why not.

        A run without fault in which the client was late itself is repeated; one with faults has
        failed: the client shares the server's cores, as every client of this measure does. It comes
        first on them, though: one that was very late itself was on a machine that stood still.
        """
        report = await self.once(server, streams, seconds, **more)
        for _ in range(TRIES - 1):
            if not (report.void and (report.clean or report.client.lag_ms.p99 > STOOD_STILL_MS)):
                break
            report = await self.once(server, streams, seconds, **more)
        return report.clean and not report.void, why(report)


def why(report):
    """What was wrong with a run, in a few words."""
    parts = [
        f"{count} {name}"
        for name, count in (
            ("underruns", report.underruns),
            ("refused", sum(report.refused.values())),
            ("errors", sum(report.errors.values())),
            ("unanswered", report.unanswered),
        )
        if count
    ]
    if report.void:
        parts.append(f"void: {report.void_reason}")
    if report.partial:
        parts.append(f"partial: {report.partial}")
    return ", ".join(parts) or "clean"


async def beside(main, other):
    """Runs `main` to its end with `other` beside it; returns both results.

    `other` must end by itself; it is cancelled when `main` fails.
    """
    task = asyncio.create_task(other)
    try:
        result = await main
        return result, await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
