"""What every benchmark prints: the machine, the table, the verdict."""

import os
import platform
import sys
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
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    versions = " ".join(f"{name} {version(name)}" for name in PACKAGES)
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return (
        f"{cpu}, {cores} cores, load {load}; {system}; streamtts {version('streamtts')} {versions}"
    )


def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "(not installed)"


class Report:
    """Collects rows of (what, value, target) and says at the end whether all were met."""

    def __init__(self, title, config):
        self.rows = []
        self.note(f"# {title}\nmachine: {machine()}\nconfig:  {config}\n")

    def note(self, line):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def row(self, what, value, target=None, *, unit="", digits=1):
        """Adds a row; `target` is the largest value that passes, None for information."""
        passed = None if target is None else value <= target
        limit = "" if target is None else f"<= {target:g} {unit}".strip()
        verdict = {None: "", True: "ok", False: "MISSED"}[passed]
        self.rows.append((what, f"{value:.{digits}f} {unit}".strip(), limit, verdict))

    def finish(self):
        """Prints the table; returns the exit status."""
        head = ("what", "measured", "target", "verdict")
        widths = [max(len(row[at]) for row in [head, *self.rows]) for at in range(4)]
        for row in (head, tuple("-" * width for width in widths), *self.rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.note(f"| {' | '.join(cells)} |")
        missed = [row[0] for row in self.rows if row[3] == "MISSED"]
        self.note(f"\nverdict: {'missed: ' + '; '.join(missed) if missed else 'all targets met'}")
        return 1 if missed else 0
