from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streamtts.train.templates import generate
from streamtts.voice.store import list_voices

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "tests" / "bench" / "long_text.py"
PROSE = (
    "The old harbour was quiet in the morning, and only the gulls were awake.",
    "Nobody knew who had left the letter under the door of the small hotel.",
    "When the rain had stopped, the children went down to the river to look for stones.",
    "He told the captain that the weather would not change before the end of the week.",
    "It is a long way to the station, but the road is good and the night is warm.",
    "Why did the manager of the bank refuse to answer a single question?",
    "She opened the window, listened for a moment, and closed it again without a word.",
    "They had walked for hours through the forest before they saw the light of a house.",
    "The doctor looked at the picture for a long time and then shook his head.",
    "In the summer the village is full of visitors who come to see the painted church.",
)


@pytest.mark.slow
def test_two_minutes_in_one_context_stay_as_good_as_they_began(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="needs the extra `train`")
    if not list_voices():
        pytest.skip("no voice ships with this tree")
    sentences = tmp_path / "sentences.txt"
    # single words say little to a recogniser of open vocabulary: they stay out
    made = [text for text in generate(60, seed=11) if len(text.split()) > 5]
    sentences.write_text("\n".join([*PROSE, *made]) + "\n", encoding="utf-8")
    command = [sys.executable, str(BENCH), "--sentences", str(sentences), "--minutes", "2"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "verdict: all targets met" in ran.stdout
