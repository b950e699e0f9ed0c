"""The figures of load runs as plain text, and as files."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from load_spec import LoadReport, Probe, Spread, SustainedReport

from streamtts.errors import BadField

_MIB = 1024 * 1024
_PROBE_HEAD = ("kind", "streams", "seed", "underruns", "refused", "failed", "ttfa p95", "verdict")
_PROBE_WIDTHS = (7, 7, 4, 9, 7, 6, 9, 0)

_ROWS: tuple[tuple[str, Callable[[LoadReport], str]], ...] = (
    ("streams asked for", lambda r: _asked(r)),
    ("seconds measured", lambda r: f"{r.measured_s:.1f}"),
    ("streams playing, mean / most", lambda r: f"{r.alive_mean:.1f} / {r.alive_max}"),
    ("streams started", lambda r: str(r.started)),
    ("ttfa p50 / p95 / p99, ms", lambda r: _three(r.ttfa_ms)),
    ("connect p50 / p95 / p99, ms", lambda r: _three(r.connect_ms)),
    ("gaps p50 / p99 / max, ms", lambda r: _gaps(r.gap_ms)),
    ("underruns", lambda r: _underruns(r)),
    ("starved, ms", lambda r: f"{r.starved_ms:.0f}"),
    ("refused", lambda r: _counts(r.refused, r.ramp_refused)),
    ("refusal p50 / p95 / max, ms", lambda r: _refusals(r.refusal_ms)),
    ("without an answer", lambda r: str(r.unanswered)),
    ("failed", lambda r: _counts(r.errors, 0)),
    ("goodput, s of audio / s", lambda r: f"{r.goodput:.2f}"),
    ("server CPU, s / s of audio", lambda r: _cpu(r)),
    ("server RSS begin / peak / end, MiB", lambda r: _rss(r)),
    ("client CPU, us / chunk", lambda r: f"{r.client.cpu_us_per_chunk:.0f}"),
    ("client lag p50 / p99 / max, ms", lambda r: _gaps(r.client.lag_ms, 2)),
    ("client ran at", lambda r: f"{r.client.priority}, {r.client.loop}"),
)


def table(reports: Sequence[LoadReport]) -> str:
    """A column a run, then what is to be said of each."""
    rows = [[name, *(cell(report) for report in reports)] for name, cell in _ROWS]
    lines = [aligned(rows)]
    for report in reports:
        lines += _remarks(report)
    return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells under each other: the first cell to the left, the others to the right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    )


def overload(at_capacity: LoadReport, beyond: LoadReport) -> str:
    """What became of the streams that a server had no room for, and of the others."""
    refused = sum(beyond.refused.values())
    ratio = beyond.goodput / at_capacity.goodput if at_capacity.goodput else 0.0
    return (
        f"at {beyond.spec.overload:g} times {beyond.spec.streams} streams: {refused} of "
        f"{beyond.started} refused, {beyond.underruns} underruns among the admitted, "
        f"refusal p95 {beyond.refusal_ms.p95:.1f} ms, goodput {ratio:.3f} of that at capacity"
    )


def probe_head() -> str:
    """Names of the columns of `probe_line`."""
    return _probe_cells(_PROBE_HEAD)


def probe_line(probe: Probe) -> str:
    """One run of a search."""
    report = probe.report
    refused = sum(report.refused.values()) + report.ramp_refused
    cells = (
        probe.kind,
        str(probe.streams),
        str(probe.seed),
        str(report.underruns),
        str(refused),
        str(sum(report.errors.values()) + report.unanswered),
        f"{report.ttfa_ms.p95:.1f} ms",
        "sustained" if probe.sustained else probe.why,
    )
    return _probe_cells(cells)


def verdict(report: SustainedReport) -> str:
    """What a search found, in one line."""
    if report.void:
        return f"VOID: no number of streams sustained: {report.void_reason}"
    last = next((x for x in reversed(report.probes) if x.kind == "confirm"), None)
    if last is None or not report.streams:
        return "streams sustained: 0 (not even the least number asked for)"
    seeds = sorted({x.seed for x in report.probes if x.kind == "confirm" and x.sustained})
    more = " or more: the search ended at its bound" if report.bounded else ""
    return (
        f"streams sustained: {report.streams}{more} (0 underruns, 0 refused in {last.seconds:.0f} "
        f"s with each of the seeds {', '.join(map(str, seeds))})"
    )


def check_folder(path: str) -> None:
    """Looks, before anything is measured, whether there is a folder for what comes of it.

    Raises:
        BadField: there is none, or nothing can be written to it.
    """
    folder = Path(path).parent
    if not folder.is_dir():
        raise BadField(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise BadField(f"cannot write {path}: nothing can be written to {folder}")


def write_json(path: str, report: msgspec.Struct | Sequence[msgspec.Struct]) -> None:
    """Writes a report so that the file is there whole or not at all.

    Raises:
        BadField: it cannot be written there.
    """
    data = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
    write_atomic(path, lambda file: Path(file).write_bytes(data))


def write_atomic(path: str, write: Callable[[str], object]) -> None:
    """Lets `write` fill a new file in the same folder, and gives it its name when it is whole.

    Raises:
        BadField: it cannot be written there.
    """
    goal = Path(path)
    made = ""
    try:
        fd, made = tempfile.mkstemp(prefix=f".{goal.stem}-", suffix=goal.suffix, dir=goal.parent)
        os.close(fd)
        write(made)
        Path(made).chmod(0o644)
        Path(made).replace(goal)
    except OSError as error:
        raise BadField(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        if made:
            with contextlib.suppress(FileNotFoundError):
                Path(made).unlink()


def _remarks(report: LoadReport) -> list[str]:
    name = f"{_asked(report)} streams"
    said = []
    if report.partial:
        said.append(f"PARTIAL ({name}): {report.partial}; numbers of {report.measured_s:.1f} s")
    if report.void:
        said.append(f"VOID ({name}): {report.void_reason}")
    said += [f"failed ({name}): {count} x {why}" for why, count in report.errors.items()]
    return said


def _asked(report: LoadReport) -> str:
    spec = report.spec
    how = f" x {spec.overload:g}" if spec.overload != 1.0 else ""
    return f"{spec.streams}{how}"


def _three(spread: Spread) -> str:
    return f"{spread.p50:.1f} / {spread.p95:.1f} / {spread.p99:.1f}" if spread.n else "-"


def _gaps(spread: Spread, digits: int = 1) -> str:
    values = (spread.p50, spread.p99, spread.max)
    return " / ".join(f"{value:.{digits}f}" for value in values) if spread.n else "-"


def _refusals(spread: Spread) -> str:
    return f"{spread.p50:.1f} / {spread.p95:.1f} / {spread.max:.1f}" if spread.n else "-"


def _underruns(report: LoadReport) -> str:
    notes = []
    if report.underruns:
        notes.append(f"in {report.underrun_streams} streams")
    if report.doubtful:
        notes.append(f"{report.doubtful} doubtful")
    if report.ramp_underruns:
        notes.append(f"{report.ramp_underruns} in the ramp")
    return f"{report.underruns} ({', '.join(notes)})" if notes else str(report.underruns)


def _counts(counts: dict[str, int], ramp: int) -> str:
    said = str(sum(counts.values()))
    return f"{said} ({ramp} in the ramp)" if ramp else said


def _cpu(report: LoadReport) -> str:
    server = report.server
    return "-" if server is None else f"{server.cpu_s_per_audio_s:.4f} {server.source}"


def _rss(report: LoadReport) -> str:
    server = report.server
    if server is None or not server.rss_end_bytes:
        return "-"
    values = (server.rss_start_bytes, server.rss_peak_bytes, server.rss_end_bytes)
    return " / ".join(f"{value / _MIB:.0f}" for value in values)


def _probe_cells(cells: Sequence[str]) -> str:
    return "  ".join(map(str.rjust, cells, _PROBE_WIDTHS))
