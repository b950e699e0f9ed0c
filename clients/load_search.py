"""The streams sustained: the largest number of them without an underrun, by bisection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import load_run
import msgspec
from load_spec import LoadReport, LoadSpec, Probe, SustainedReport

from streamtts.errors import BadField

if TYPE_CHECKING:
    import asyncio

_VOID_TRIES = 3

Runner = Callable[[LoadSpec], Awaitable[LoadReport]]


class _Stopped(Exception):
    """Somebody wants the search to end."""


async def sustained(
    spec: LoadSpec,
    *,
    start: int = 32,
    least: int = 1,
    most: int = 1024,
    resolution: int = 0,
    probe_s: float = 15.0,
    confirm_s: float = 60.0,
    seeds: Sequence[int] = (1, 2, 3),
    runner: Runner | None = None,
    on_probe: Callable[[Probe], None] = lambda probe: None,
    stop: asyncio.Event | None = None,
) -> SustainedReport:
    """Searches for the largest number of streams that a server sustains.

    Short probes with the first seed double from `start` and then bisect. The number that they
    leave is confirmed with long runs and every seed; when one of those fails, the next smaller
    number is tried, one resolution below. A run sustains when every stream was served, none of its
    chunks was late, and nobody was refused. A run in which the client lagged tells nothing when it
    was clean otherwise: it is repeated, and after the third such the search ends without a number.

    Args:
        spec: of every run, but for streams, seed and seconds.
        start: the first number to be tried.
        least: the search goes no lower ...
        most: ... and no higher than this.
        resolution: how near the last bisection comes; 0 for a 32nd of the number.
        probe_s: length of a probe.
        confirm_s: length of the runs that decide.
        seeds: of the runs that decide.
        runner: what runs a spec; `load_run.run` by default.
        on_probe: called after each run.
        stop: ends the search; the report is void then.

    Raises:
        BadField: the bounds make no sense.
        StreamTTSError: of a run that could not be made.
    """
    if not 1 <= least <= start <= most:
        raise BadField(f"sustained: 1 <= least {least} <= start {start} <= most {most} must hold")
    if not seeds:
        raise BadField("sustained: needs a seed")
    if spec.arrival == "burst":
        raise BadField("sustained: streams come by an open process, not as a burst")
    if runner is None:
        if not spec.s_per_char:
            pace = await load_run.speaking_pace(spec)
            spec = msgspec.structs.replace(spec, s_per_char=pace)

        async def runner(one: LoadSpec) -> LoadReport:
            return await load_run.run(one, stop=stop)

    search = _Search(spec, runner, on_probe, stop, resolution)
    try:
        good, bad = await search.bracket(start, least, most, seeds[0], probe_s)
        good = await search.bisect(good, bad, seeds[0], probe_s)
        found = await search.confirm(good, least, seeds, confirm_s)
    except _Stopped as why:
        return SustainedReport(
            streams=0, bounded=False, probes=tuple(search.probes), void=True, void_reason=str(why)
        )
    return SustainedReport(
        streams=found,
        bounded=found == most,
        probes=tuple(search.probes),
        void=False,
        void_reason="",
    )


class _Search:
    def __init__(
        self,
        spec: LoadSpec,
        runner: Runner,
        on_probe: Callable[[Probe], None],
        stop: asyncio.Event | None,
        resolution: int,
    ) -> None:
        self.probes: list[Probe] = []
        self._spec = spec
        self._runner = runner
        self._on_probe = on_probe
        self._stop = stop
        self._resolution = resolution

    async def bracket(
        self, start: int, least: int, most: int, seed: int, seconds: float
    ) -> tuple[int, int]:
        """A number that holds (or one below `least`) and one that does not (or above `most`)."""
        good, bad = least - 1, most + 1
        streams = start
        while good < streams < bad:
            if await self._holds(streams, seed, seconds, "probe"):
                good = streams
                streams = min(2 * streams, most)
            else:
                bad = streams
                streams = max(streams // 2, least)
        return good, bad

    async def bisect(self, good: int, bad: int, seed: int, seconds: float) -> int:
        """The largest number that a probe found to hold."""
        while bad - good > self._step(good):
            middle = (good + bad) // 2
            if await self._holds(middle, seed, seconds, "probe"):
                good = middle
            else:
                bad = middle
        return good

    async def confirm(self, streams: int, least: int, seeds: Sequence[int], seconds: float) -> int:
        """The largest number from `streams` downwards that holds with every seed; else 0."""
        while streams >= least:
            for seed in seeds:
                if not await self._holds(streams, seed, seconds, "confirm"):
                    break
            else:
                return streams
            streams = max(streams - self._step(streams), least if streams > least else 0)
        return 0

    def _step(self, streams: int) -> int:
        return self._resolution or max(1, streams // 32)

    async def _holds(self, streams: int, seed: int, seconds: float, kind: str) -> bool:
        spec = msgspec.structs.replace(self._spec, streams=streams, seed=seed, seconds=seconds)
        for _ in range(_VOID_TRIES):
            if self._stop is not None and self._stop.is_set():
                raise _Stopped("interrupted")
            probe = _judged(await self._runner(spec), kind)
            self.probes.append(probe)
            self._on_probe(probe)
            if probe.report.partial:
                raise _Stopped(probe.report.partial)
            if probe.sustained or not probe.report.clean:
                return probe.sustained
        raise _Stopped(f"{_VOID_TRIES} runs of {streams} streams were void: {probe.why}")


def _judged(report: LoadReport, kind: str) -> Probe:
    troubles = [
        f"{number} {name}"
        for number, name in (
            (report.underruns, "underruns"),
            (sum(report.refused.values()), "refused"),
            (report.ramp_refused, "refused in the ramp"),
            (sum(report.errors.values()), "failed"),
            (report.unanswered, "without a sound"),
        )
        if number
    ]
    if report.partial:
        troubles.insert(0, report.partial)
    if report.void:
        troubles.append(f"void: {report.void_reason}")
    return Probe(
        streams=report.spec.streams,
        seed=report.spec.seed,
        seconds=report.measured_s,
        sustained=not troubles,
        why=", ".join(troubles),
        kind="confirm" if kind == "confirm" else "probe",
        report=msgspec.structs.replace(report, streams=(), timeline=()),
    )
