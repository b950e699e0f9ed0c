#!/usr/bin/env python3
"""M15 of the project's measures: start to ready, memory when ready, size on disk without torch.

python tests/bench/start.py [--repeats 5]
"""

import argparse
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from bench_report import Report, percentile
from bench_server import ServerProcess

ROOT = Path(__file__).resolve().parents[2]


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(requirements, extras=()):
    """Names of requirements that hold here, with the extras asked of each."""
    from packaging.requirements import Requirement

    for line in requirements:
        requirement = Requirement(line)
        environments = [{"extra": extra} for extra in ("", *extras)]
        if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
            yield normal(requirement.name), tuple(requirement.extras)


def closure():
    """Every distribution that `streamtts[serve]` needs, but torch and what only torch needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["serve"]
    waiting = list(needed(lines))
    seen = {}
    while waiting:
        name, extras = waiting.pop()
        if name == "torch" or name in seen:
            continue
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise SystemExit(f"{name} is not installed: pip install 'streamtts[serve]'") from None
        seen[name] = sum(
            file.locate().stat().st_size for file in found.files or () if file.locate().is_file()
        )
        waiting += needed(found.requires or (), extras)
    return seen


def package_bytes():
    """What streamtts itself puts on the disk: the files that travel in the wheel."""
    code = "import streamtts; print(streamtts.__file__)"
    where = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    folder = Path(where.stdout.strip()).parent
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return sum(path.stat().st_size for path in files)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--config", default="", metavar="FILE", help="TOML for the server")
    options = parser.parse_args()
    report = Report(
        "Start",
        f"{options.config or 'the default'} configuration, {options.repeats} starts, files cached",
    )
    with ServerProcess(options.config):
        report.note("one start before, so that the files are cached")
    starts, memory = [], []
    for _ in range(options.repeats):
        with ServerProcess(options.config) as server:
            starts.append(server.start_s)
            memory.append(server.rss_bytes / 2**20)
    report.row("M15 start to ready, median", percentile(starts, 50), 4.0, unit="s", digits=2)
    report.row("M15 start to ready, slowest", max(starts), unit="s", digits=2)
    report.row("M15 RSS when ready, largest", max(memory), 450.0, unit="MiB")
    sizes = closure()
    own = package_bytes()
    for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:5]:
        report.note(f"  {name}: {size / 1e6:.1f} MB")
    report.row("M15 installed without torch", (sum(sizes.values()) + own) / 1e6, 300.0, unit="MB")
    report.row("of that streamtts itself", own / 1e6, unit="MB")
    raise SystemExit(report.finish())


if __name__ == "__main__":
    main()
