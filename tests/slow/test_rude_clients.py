"""Rude clients against a real server with its real voice, good listeners beside them.

Each kind of rude client alone, for a while: nobody else's audio has a gap, and afterwards the
server holds what it held before, its memory included.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.bench_server import ServerProcess
from support.readings import Held, Served, held, read, returned

ROOT = Path(__file__).parents[2]
RUDE = ROOT / "tests" / "bench" / "rude.py"
LOAD = ROOT / "clients" / "load.py"
ACTS = ("silent", "mute", "stuck", "drip", "contexts", "strays", "typist", "burst", "killed")
SECONDS = 12
GOOD = 4
DOZEN = 12  # of the killed: a batch of so many costs memory once
MEMORY = 1.05
MINUTE_S = 60.0
SERVER = "[server]\nslow_reader_s = 5.0\nconnections = 2048\n"

pytestmark = pytest.mark.slow


class Bystanders:
    """A server, and good listeners on it."""

    def __init__(self, server: ServerProcess, folder: Path) -> None:
        self.server = server
        self.url = server.url.replace("ws", "http", 1)
        self.folder = folder
        self.before: Held | None = None
        self.rss_bytes = 0

    def listen(self, streams: int = GOOD) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(LOAD), "--url", self.server.url, "--streams", str(streams)]
        command += ["--seconds", str(SECONDS), "--audio-s", "6", "--ramp-s", "3"]
        command += ["--lag-limit", "1000", "--json", str(self.folder / "load.json")]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def heard(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.folder / "load.json").read_text())
        return report

    def served(self) -> Served:
        return read(self.url)


@pytest.fixture(scope="module")
def bystanders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bystanders]:
    with ServerProcess(more=SERVER) as server:
        made = Bystanders(server, tmp_path_factory.mktemp("load"))
        made.listen(DOZEN).wait()  # what good listeners cost is there before
        made.before = asyncio.run(returned(made.url, held(made.served())))
        made.rss_bytes = server.rss_bytes
        yield made


@pytest.mark.parametrize("act", ACTS)
def test_nobody_else_hears_a_gap(bystanders: Bystanders, act: str) -> None:
    port = bystanders.server.url.rpartition(":")[2]
    rude = [sys.executable, str(RUDE), "--port", port, "--seconds", str(SECONDS), "--only", act]
    listening = bystanders.listen()
    done = subprocess.run(rude, capture_output=True, text=True, timeout=120, check=True)
    assert listening.wait(120) == 0
    rounds = re.fullmatch(rf"{act} (\d+)", done.stdout.strip())
    assert rounds is not None
    assert int(rounds[1]) > 0
    report = bystanders.heard()
    assert report["underruns"] == report["ramp_underruns"] == 0
    assert report["errors"] == {}  # a refusal is none: the machine may be busy with others
    assert report["started"] > sum(report["refused"].values())
    assert bystanders.before is not None
    now = asyncio.run(returned(bystanders.url, bystanders.before))
    assert all(a <= b for a, b in zip(now, bystanders.before, strict=True)), now


def test_memory_comes_back(bystanders: Bystanders) -> None:
    """After all of them, within a minute."""
    until_s = time.monotonic() + MINUTE_S
    while bystanders.server.rss_bytes > MEMORY * bystanders.rss_bytes:
        assert time.monotonic() < until_s, bystanders.server.rss_bytes / bystanders.rss_bytes
        time.sleep(1.0)
