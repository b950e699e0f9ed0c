"""What every benchmark prints: the machine, the table, the verdict."""

import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

PACKAGES = ("torch", "websockets", "uvicorn", "uvloop", "numpy")


def percentile(values, percent):
    return float(np.percentile(np.asarray(values, float), percent))


def machine():
    """One line that says where the numbers come from."""
    cpu = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines()
                 if line.startswith("model name")]  # fmt: skip
        cpu = names[0] if names else cpu
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = " ".join(f"{name} {version(name)}" for name in PACKAGES)
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return (
        f"{cpu}, {cores} cores, load {load_average()}; {system}; "
        f"streamtts {version('streamtts')} {versions}"
    )


def load_average():
    """Of the last 1, 5 and 15 minutes."""
    return "/".join(f"{value:.1f}" for value in os.getloadavg())


def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "(not installed)"


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        what: was measured; begins with the measure's number.
        value: of it.
        unit: of the value.
        shown: the value as it is printed.
        target: None for information.
        at_least: larger is better.
        met: None without a target.
    """

    what: str
    value: float
    unit: str
    shown: str
    target: float | None
    at_least: bool
    met: bool | None

    def cells(self):
        sign = ">=" if self.at_least else "<="
        limit = "" if self.target is None else f"{sign} {self.target:g} {self.unit}".strip()
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        return self.what, self.shown, limit, verdict


class Report:
    """Collects rows of (what, value, target) and says at the end whether all were met.

    Args:
        title: of the whole.
        config: what was measured, and under which load.
        notes: where everything but the table goes; None for standard output.
    """

    def __init__(self, title, config, notes=None):
        self.rows = []
        self._title, self._config, self._machine = title, config, machine()
        self._began = time.time()
        self._notes = notes or sys.stdout
        self.note(self.head())

    def head(self):
        return f"# {self._title}\nmachine: {self._machine}\nconfig:  {self._config}\n"

    def note(self, line):
        self._notes.write(line + "\n")
        self._notes.flush()

    def row(self, what, value, target=None, *, unit="", digits=1, at_least=False, interval=None):
        """Adds a row.

        Args:
            what: was measured.
            value: of it.
            target: the largest value that passes, None for information.
            unit: of both.
            digits: behind the point.
            at_least: `target` is the smallest value that passes instead.
            interval: (low, high) to be printed beside the value.
        """
        met = None if target is None else bool(value >= target if at_least else value <= target)
        shown = f"{value:.{digits}f} {unit}".strip()
        if interval is not None:
            shown += f" ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})"
        row = Row(what, float(value), unit, shown, target, at_least, met)
        self.rows.append(row)
        return row

    def missing(self, what, why):
        """Adds a row for what could not be measured: it is not met."""
        self.rows.append(Row(what, float("nan"), "", f"not measured: {why}", None, False, False))

    def finish(self):
        """Prints the table; returns the exit status."""
        head = ("what", "measured", "target", "verdict")
        rows = [row.cells() for row in self.rows]
        widths = [max(len(row[at]) for row in [head, *rows]) for at in range(4)]
        lines = []
        for row in (head, tuple("-" * width for width in widths), *rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            lines.append(f"| {' | '.join(cells)} |")
        missed = [row.what for row in self.rows if row.met is False]
        lines.append(f"\nverdict: {'missed: ' + '; '.join(missed) if missed else 'all met'}")
        if self._notes is not sys.stdout:
            sys.stdout.write(self.head() + "\n")
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        return 1 if missed else 0

    def write_json(self, path, **more):
        """Everything, for machines."""
        rows = [
            {**asdict(row), "value": None if np.isnan(row.value) else row.value}
            for row in self.rows
        ]
        whole = {
            "title": self._title,
            "machine": self._machine,
            "config": self._config,
            "began": self._began,
            "took_s": time.time() - self._began,
            "rows": rows,
            **more,
        }
        Path(path).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
