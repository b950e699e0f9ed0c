"""What was counted in a run, as its report; and whether the report counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from load_spec import ClientUse, LoadReport, LoadSpec, Spread
from load_tally import Tally, spread

if TYPE_CHECKING:
    from load_server import Watch
    from load_stream import Stream

_SHOWN_CHARS = 80  # of an error that many streams share
_OWN_WORK = 0.5  # below this share of the time late, waiting for a core was not the cause


@dataclass
class Ended:
    """What a run knows of itself when it has ended.

    Attributes:
        spec: of the run.
        pace: seconds of speech a character.
        priority: of the client.
        rate: streams a second, by design.
        at_s: when it ended.
        lags: ticks of the client's timer: (when it fired, by how many seconds it was late).
        cpu_s: CPU time of the client.
        waited_s: how long the client waited for a core.
        unanswered: streams of the window with neither a sound nor a refusal.
        partial: why it ended early.
    """

    spec: LoadSpec
    pace: float
    priority: str
    rate: float
    at_s: float = 0.0
    lags: list[tuple[float, float]] = field(default_factory=list)
    cpu_s: float = 0.0
    waited_s: float = 0.0
    unanswered: int = 0
    partial: str = ""


def summarise(ended: Ended, tally: Tally, streams: Sequence[Stream], watch: Watch) -> LoadReport:
    """Makes the report of a run that has ended."""
    measured = [x for x in streams if tally.inside(x.due_s)]
    served = [x for x in measured if not x.refused and (x.chunks or not x.error)]
    waits = [ms for x in served if (ms := x.waited_ms(ended.at_s)) is not None]
    seconds = tally.end_s - tally.begin_s
    alive_mean, alive_max = tally.presence(tally.end_s)
    lag = spread([late_s * 1000 for _, late_s in ended.lags])
    void_reason = why_void(lag, ended)
    return LoadReport(
        spec=msgspec.structs.replace(ended.spec, key="", sentences=(), s_per_char=ended.pace),
        measured_s=round(seconds, 3),
        rate_per_s=round(ended.rate, 4),
        started=len(measured),
        alive_mean=round(alive_mean, 2),
        alive_max=alive_max,
        ttfa_ms=spread(waits),
        unanswered=ended.unanswered,
        connect_ms=spread([x.connect_ms for x in measured if x.connect_ms]),
        gap_ms=spread(tally.gaps_ms),
        underruns=len(tally.underruns),
        underrun_streams=len({late.stream for late in tally.underruns}),
        doubtful=tally.doubtful(ended.lags),
        ramp_underruns=tally.ramp_underruns,
        starved_ms=round(tally.starved_ms, 1),
        refused=dict(Counter(x.refused for x in measured if x.refused)),
        ramp_refused=sum(1 for x in streams if x.refused and x.due_s < tally.begin_s),
        refusal_ms=spread([x.refusal_ms for x in measured if x.refusal_ms is not None]),
        errors=dict(Counter(_short(x.error) for x in streams if x.error)),
        audio_s=round(tally.audio_s, 3),
        goodput=round(tally.in_time_s / seconds, 3) if seconds > 0 else 0.0,
        server=watch.use(tally.audio_s),
        client=ClientUse(
            lag_ms=lag,
            cpu_s=round(ended.cpu_s, 3),
            cpu_us_per_chunk=round(ended.cpu_s * 1e6 / tally.chunks, 1) if tally.chunks else 0.0,
            waited_s=round(ended.waited_s, 3),
            priority=ended.priority,
            loop=_loop_name(),
        ),
        timeline=tally.timeline(tally.end_s),
        streams=tuple(x.report() for x in streams),
        void=bool(void_reason),
        void_reason=void_reason,
        partial=ended.partial,
    )


def why_void(lag: Spread, ended: Ended) -> str:
    """Why a run does not count, or empty.

    The statistic is the 99th percentile of how late a timer fires that is due every 50 ms,
    whatever kept it: own work, or a core that the server had. Ticks are as good as random moments,
    so this says: had a chunk come at any time, in 99 of 100 cases its arrival would have been seen
    within the limit. A larger one means that the client's clock, and not the server, made the
    numbers. The largest lag is reported and does not void: one hiccup of a shared machine in a
    minute moves no percentile, and an underrun that it may have caused counts, marked as doubtful.
    """
    limit_ms = ended.spec.lag_limit_ms
    if lag.p99 <= limit_ms:
        return ""
    late_s = sum(late_s for _, late_s in ended.lags)
    if ended.waited_s < _OWN_WORK * late_s:
        hint = "by its own work: fewer streams a client, or larger chunks (--frame-ms)"
    elif ended.priority == "real-time":
        hint = "waiting for a core though it has real-time priority: use another machine"
    else:
        hint = f"waiting for a core at {ended.priority} priority: run it as root, or elsewhere"
    return f"the client lagged by {lag.p99:.1f} ms (p99; at most {limit_ms:g} ms), {hint}"


def _short(error: str) -> str:
    return error if len(error) <= _SHOWN_CHARS else error[: _SHOWN_CHARS - 3] + "..."


def _loop_name() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]
