"""Loudspeakers with 300 ms of buffer, the real voice and a real broker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "tests" / "bench" / "mqtt_house.py"
MINUTES = float(os.environ.get("SATELLITE_MINUTES", "10"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sites", "seconds"), [(1, 60 * MINUTES), (50, 20.0)], ids=["one satellite", "fifty at once"]
)
def test_no_device_runs_dry_or_is_overfilled(sites: int, seconds: float) -> None:
    command = [sys.executable, str(HOUSE), "--sites", str(sites), "--seconds", str(seconds)]
    ran = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=3 * seconds + 300
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "verdict: all met" in ran.stdout
