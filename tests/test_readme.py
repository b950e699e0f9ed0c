"""README.md's Python runs, and what it names is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.live_server import live_server
from support.real_service import english, load

from streamtts.cli import make_parser
from streamtts.errors import VoiceError
from streamtts.voice.store import SHIPPED, list_voices

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def python_blocks():
    return re.findall(r"```python\n(.*?)```", README, re.S)


def test_the_shipped_voice_is_there():
    assert "rms" in [m.id for m in list_voices([SHIPPED])]


def test_the_speech_example_runs():
    block = next(b for b in python_blocks() if "Speech.load" in b)
    done = subprocess.run(
        [sys.executable, "-c", block], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) > 10
    assert all(line.endswith("samples at 16000 Hz") for line in lines)


def test_the_client_example_runs():
    block = next(b for b in python_blocks() if "connect(" in b)
    with live_server(lambda: load(english)) as server:
        code = block.replace("ws://127.0.0.1:8765", f"ws://127.0.0.1:{server.port}")
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0 ")


def test_commands_and_files_that_it_names_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
    parser = make_parser()
    for command in ("serve", "check", "say", "train", "evaluate"):
        with pytest.raises(SystemExit) as exited:
            parser.parse_args([command, "--help"])
        assert exited.value.code == 0


def test_no_number_is_missing():
    assert "@@" not in README


def test_a_damaged_voice_is_named(tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "voice.json").write_text("{")
    with pytest.raises(VoiceError, match="damaged"):
        list_voices([tmp_path])
