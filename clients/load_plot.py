"""Pictures of load runs: ttfa against streams, or gaps over the time of one run."""

from __future__ import annotations

from collections.abc import Sequence

from load_spec import LoadReport, Spread
from load_table import write_atomic

from streamtts.errors import BadField

_SIZE_INCHES = (8.0, 4.5)
_DPI = 120


def draw(path: str, reports: Sequence[LoadReport]) -> None:
    """Draws one run as gaps over time, several as ttfa against streams.

    Args:
        path: ends in what matplotlib can write: .png, .svg, .pdf.
        reports: with their timelines when there is only one.

    Raises:
        BadField: matplotlib is missing, or the file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise BadField("no picture without matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    if len(reports) == 1:
        _gaps(figure, reports[0])
    else:
        _ttfa(figure, reports)
    try:
        write_atomic(path, figure.savefig)
    except ValueError as error:  # a suffix that matplotlib does not know
        raise BadField(f"cannot draw {path}: {error}") from None


def _gaps(figure, report: LoadReport) -> None:  # type: ignore[no-untyped-def]
    axes = figure.subplots()
    seconds = [second.at_s for second in report.timeline]
    for name, values in (
        ("longest", [second.gap_max_ms for second in report.timeline]),
        ("p99", [second.gap_p99_ms for second in report.timeline]),
        ("p50", [second.gap_p50_ms for second in report.timeline]),
    ):
        axes.plot(seconds, values, label=f"gap, {name}", drawstyle="steps-post")
    late = [second.at_s for second in report.timeline if second.underruns]
    axes.vlines(late, 0, 1, transform=axes.get_xaxis_transform(), color="red", alpha=0.3)
    axes.set(xlabel="s", ylabel="ms between chunks of a stream", ylim=(0, None))
    axes.set_title(_title(report, f"{report.spec.streams} streams, {report.underruns} underruns"))
    beside = axes.twinx()
    beside.plot(seconds, [second.alive for second in report.timeline], color="grey", alpha=0.5)
    beside.set(ylabel="streams playing (grey)", ylim=(0, None))
    axes.legend(loc="upper left")


def _ttfa(figure, reports: Sequence[LoadReport]) -> None:  # type: ignore[no-untyped-def]
    axes = figure.subplots()
    ordered = sorted(reports, key=lambda report: report.spec.streams)
    streams = [report.spec.streams for report in ordered]
    spreads: list[Spread] = [report.ttfa_ms for report in ordered]
    for name in ("p50", "p95", "p99"):
        values = [getattr(spread, name) for spread in spreads]
        axes.plot(streams, values, marker="o", markersize=3, label=f"ttfa {name}")
    for marker, label, chosen in (
        ("x", "with underruns or refusals", [x for x in ordered if not x.clean and not x.void]),
        ("s", "void: the client lagged", [x for x in ordered if x.void]),
    ):
        if chosen:
            at = [report.spec.streams for report in chosen]
            values = [report.ttfa_ms.p95 for report in chosen]
            axes.plot(at, values, marker, color="red", label=label, fillstyle="none", markersize=9)
    axes.set(xlabel="streams playing at a time", ylabel="ms to the first sound", ylim=(0, None))
    axes.set_title(_title(ordered[0], "first sound against load"))
    axes.grid(alpha=0.3)
    axes.legend()


def _title(report: LoadReport, what: str) -> str:
    marks = [mark for mark, on in (("PARTIAL", report.partial), ("VOID", report.void)) if on]
    return " ".join([what, *marks])
