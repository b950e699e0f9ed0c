"""M14 of the project's measures: ten minutes with slow, dying and rude clients."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOAK = ROOT / "tests" / "bench" / "soak.py"
MINUTES = os.environ.get("SOAK_MINUTES", "10")


@pytest.mark.slow
def test_nothing_grows_and_nothing_is_left() -> None:
    command = [sys.executable, str(SOAK), "--minutes", MINUTES]
    limit_s = 60 * float(MINUTES) + 600
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit_s)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "verdict: all met" in ran.stdout
