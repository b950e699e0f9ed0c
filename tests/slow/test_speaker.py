"""A loudspeaker with a buffer of 300 ms plays ten minutes of one stream, with the real voice.

`SPEAKER_MINUTES=1` makes it shorter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from bench.bench_server import ServerProcess
from support.mosquitto import MOSQUITTO, Mosquitto

ROOT = Path(__file__).parents[2]
SPEAKER = ROOT / "clients" / "speaker.py"
MINUTES = float(os.environ.get("SPEAKER_MINUTES", "10"))
CHARS_PER_S = 25  # more than anybody speaks
PROSE = (
    "The old harbour was quiet in the morning, and only the gulls were awake.",
    "When the rain had stopped, {} children went down to the river to look for stones.",
    "Why did the manager of the bank refuse to answer a single question?",
    "They had walked for {} hours through the forest before they saw the light of a house.",
    "In the summer the village is full of visitors who come to see the painted church.",
)


def prose(chars: int) -> str:
    lines: list[str] = []
    while sum(map(len, lines)) < chars:
        lines.append(PROSE[len(lines) % len(PROSE)].format(len(lines) + 2) + " ")
    return "".join(lines)


@pytest.mark.slow
@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
def test_ten_minutes_with_a_small_buffer(tmp_path: Path) -> None:
    seconds = 60 * MINUTES
    text = prose(round(seconds * CHARS_PER_S))
    broker = Mosquitto(tmp_path / "broker")
    broker.start()
    path = tmp_path / "heard.wav"
    command = [sys.executable, str(SPEAKER), "--port", str(broker.port), "--site", "kitchen"]
    command += ["--stream", "--json", "-o", str(path), "--cancel-after", str(seconds)]
    try:
        with ServerProcess(more=f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'):
            ran = subprocess.run(
                command, input=text, capture_output=True, text=True, timeout=seconds + 300
            )
    finally:
        broker.stop()
    assert ran.returncode == 0, ran.stderr
    heard, _, line = ran.stdout.rstrip("\n").rpartition("\n")
    report = json.loads(line)
    (tmp_path / "report.json").write_text(line)  # for who wants to know more
    assert report["seconds"] >= seconds, ran.stderr
    assert (report["underruns"], report["lost_ms"], report["dropped_ms"]) == (0, 0, 0), report
    assert report["peak_ms"] <= report["buffer_ms"] == 300, report
    assert abs(soundfile.info(path).duration - report["seconds"]) < 0.001
    assert len(heard) > 8 * seconds
    assert text.startswith(heard)
