"""The command line: in this process where it can be, as real processes where it matters."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import soundfile
from support.live_server import Client
from support.tiny_voice import save_tiny_voice
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from streamtts import __version__, say
from streamtts import config as schema
from streamtts.cli import is_loopback, main
from streamtts.speech import Speech

GUARD_S = 180


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration whose voice is tiny."""
    voices = tmp_path_factory.mktemp("voices")
    save_tiny_voice(voices)
    path = voices / "streamtts.toml"
    path.write_text(f'[voice]\nid = "tiny"\ndir = "{voices}"\n')
    return path


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--version", "--help"):
        with pytest.raises(SystemExit) as ended:
            run(option)
        assert ended.value.code == 0
    out = capsys.readouterr().out
    assert f"streamtts {__version__}" in out
    for command in ("serve", "check", "say", "train", "evaluate", "voices"):
        assert command in out


@pytest.mark.parametrize("arguments", [[], ["sing"], ["serve", "--prot", "1"]])
def test_a_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_check_prints_what_a_file_comes_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[server]\nport = 9999\n")
    assert run("check", path) == 0
    out = capsys.readouterr().out
    assert "port = 9999\n" in out
    assert "chars_per_context = 20000\n" in out
    path.write_text("[server]\nprot = 9999\n")
    assert run("check", path) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"streamtts: {path}: unknown key `server.prot`; did you mean `port`?\n"
    path.write_text('[tls]\ncert = "/none"\nkey = "/none"\n')
    assert run("check", path) == 1
    assert "tls.cert: there is no file /none" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "tts.lan"])
def test_no_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_other_machines_need_a_key_or_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("serve", "--host", "0.0.0.0", "--port", "0") == 1
    said = capsys.readouterr().err
    assert "no key is configured" in said
    assert "--allow-unauthenticated" in said


def test_a_port_in_use(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run("serve", config, "--port", port) == 1
    said = capsys.readouterr().err
    assert f"127.0.0.1:{port} is in use" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("damage", ["hash", "missing", "cut", "manifest"])
def test_a_damaged_voice_stops_the_start(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_tiny_voice(tmp_path)
    weights = folder / "acoustic.safetensors"
    if damage == "hash":
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
    elif damage == "missing":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        (folder / "voice.json").write_text("{")
    path = tmp_path / "c.toml"
    path.write_text(f'[voice]\nid = "tiny"\ndir = "{tmp_path}"\n')
    assert run("serve", path, "--port", "0") == 1
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("streamtts: ")]
    assert len(lines) == 1
    assert str(folder) in lines[0] or "tiny" in lines[0]


def test_an_unknown_voice(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("say", "hello", "-o", "x.wav", "--config", config, "--voice", "nobody") == 1
    assert "tiny" in capsys.readouterr().err


def test_voices(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("voices", "--config", config) == 0
    assert "tiny\ten-US\t16000 Hz\t" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_say_to_a_file(config: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out.{ending}"
    assert run("say", "Hello world.", "-o", path, "--config", config) == 0
    sound, rate = soundfile.read(path)
    assert rate == 16000
    assert len(sound) > 1600
    assert list(tmp_path.iterdir()) == [path]


def test_say_listens_to_its_options(config: Path, tmp_path: Path) -> None:
    def spoken(name: str, *options: str) -> np.ndarray:
        path = tmp_path / name
        assert run("say", "**One** two.", "-o", path, "--config", config, *options) == 0
        sound: np.ndarray = soundfile.read(path)[0]
        return sound

    plain = spoken("a.wav")
    assert np.array_equal(plain, spoken("b.wav"))
    assert not np.array_equal(plain, spoken("c.wav", "--seed", "7")[: len(plain)])
    assert not np.array_equal(plain, spoken("d.wav", "--pitch", "1.5")[: len(plain)])
    assert len(spoken("e.wav", "--rate", "8000")) < len(plain)
    assert len(spoken("f.wav", "--markdown")) > 0


def test_say_leaves_no_partial_file(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "out.wav"
    assert run("say", "Hello.", "-o", path, "--config", config, "--speed", "9") == 1
    assert "speed must be between 0.5 and 2" in capsys.readouterr().err

    def broken(text: str, delay_s: float) -> Iterator[str]:
        yield "Hello world, "
        raise OSError("the pipe is broken")

    monkeypatch.setattr(say, "deltas", broken)
    with pytest.raises(OSError, match="the pipe is broken"):
        run("say", "-", "-o", path, "--config", config)
    assert list(tmp_path.iterdir()) == []
    assert run("say", "Hello.", "-o", tmp_path / "out.xyz", "--config", config) == 1
    assert ".wav" in capsys.readouterr().err
    assert run("say", "Hello.", "-o", tmp_path / "no" / "out.wav", "--config", config) == 1
    assert f"there is no folder {tmp_path / 'no'}" in capsys.readouterr().err
    assert run("say", "Hello.") == 1
    assert "-o FILE or --play" in capsys.readouterr().err


class Recorder:
    def __init__(self) -> None:
        self.options: argparse.Namespace | None = None

    def run(self, options: argparse.Namespace) -> int:
        self.options = options
        return 3


def test_train_and_evaluate_hand_their_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, evaluation = Recorder(), Recorder()
    monkeypatch.setitem(sys.modules, "streamtts.train.pipeline", pipeline)
    monkeypatch.setitem(sys.modules, "streamtts.train.evaluate", evaluation)
    import streamtts.train

    monkeypatch.setattr(streamtts.train, "pipeline", pipeline, raising=False)
    monkeypatch.setattr(streamtts.train, "evaluate", evaluation, raising=False)
    assert run("train", "--sentences", "s.txt", "--count", "5", "--steps", "7", "--out", "o") == 3
    options = pipeline.options
    assert options is not None
    assert (options.sentences, options.out) == (Path("s.txt"), Path("o"))
    assert (options.count, options.steps, options.speaker) == (5, 7, "rms")
    assert run("evaluate", "rms", "--sentences", "s.txt") == 3
    assert evaluation.options is not None
    assert (evaluation.options.voice, evaluation.options.count) == ("rms", 300)


@pytest.mark.parametrize(
    ("missing", "command", "extra"),
    [
        ("torch", "'serve', '--port', '0'", "serve"),
        ("uvicorn", "'serve', '--port', '0'", "serve"),
        ("torch", "'train', '--sentences', 'x'", "train"),
    ],
)
def test_a_missing_extra_is_named(missing: str, command: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"from streamtts.cli import main; sys.exit(main([{command}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=GUARD_S, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"streamtts: {missing} is not installed: pip install 'streamtts[{extra}]'\n"
    )


def test_say_reads_standard_input(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    command = [sys.executable, "-m", "streamtts", "say", "-", "-o", path, "--config", config]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    for piece in (b"Hello wor", "ld, na\u00efve".encode()[:-2], b"\xafve. \xff"):
        assert process.stdin is not None
        process.stdin.write(piece)
        process.stdin.flush()
    _, err = process.communicate(timeout=GUARD_S)
    assert process.returncode == 0, err
    assert len(soundfile.read(path)[0]) > 1600


@pytest.fixture
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Iterator[IO[bytes]]:
    """The end that somebody else writes to."""
    reading, writing = os.pipe()
    with open(reading) as stdin, open(writing, "wb", buffering=0) as pipe:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield pipe
        pipe.close()


def test_standard_input_that_stalls_is_a_flush(standard_input: IO[bytes]) -> None:
    standard_input.write(b"Hello wor")
    pieces = say.deltas("-", 0.01)
    assert next(pieces) == "Hello wor"
    assert next(pieces) is None  # once, and then it waits
    standard_input.write("ld, ü".encode()[:-1])
    assert next(pieces) == "ld, "
    assert next(pieces) is None
    standard_input.write(b"\xbc")
    assert next(pieces) == "ü"
    standard_input.close()
    assert list(pieces) in ([""], [None, ""])  # the end may take longer than that to be seen


def test_sound_comes_while_standard_input_stalls(config: Path, standard_input: IO[bytes]) -> None:
    standard_input.write(b"Hello wor")
    with Speech.load(schema.load(config)) as speech:
        assert len(next(speech.stream(say.deltas("-", 0.01))))


def test_standard_input_that_is_closed(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert run("say", "-", "-o", tmp_path / "out.wav", "--config", config) == 1
    assert capsys.readouterr().err == "streamtts: standard input is closed\n"
    assert list(tmp_path.iterdir()) == []


def read_until(stream: IO[str], pattern: str) -> re.Match[str]:
    for line in stream:
        found = re.search(pattern, line)
        if found:
            return found
    raise AssertionError(f"the process ended without {pattern}")


def test_serve_speaks_and_drains_on_sigterm(config: Path) -> None:
    command = [sys.executable, "-m", "streamtts", "serve", config, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None

    async def speak(port: int) -> None:
        url = f"ws://127.0.0.1:{port}/v1/stream"
        async with connect(url, proxy=None, subprotocols=["streamtts.v1"]) as raw:
            c = Client(raw)
            await c.send("text", context_id="a", text="This goes on for quite a while. " * 4)
            await c.until("started")
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(read_until, process.stderr, "draining")
            await c.send("open", context_id="b", on_conflict="parallel")
            assert (await c.until("error", context_id="b"))["code"] == "loading"
            await c.send("end", context_id="a")
            assert (await c.until("done", context_id="a"))["reason"] == "end"
            with pytest.raises(ConnectionClosed) as closed:
                await c.until("nothing")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001

    try:
        port = int(read_until(process.stderr, r"listening on http://127\.0\.0\.1:(\d+)")[1])
        read_until(process.stderr, "ready voices=tiny")
        asyncio.run(speak(port))
        assert process.wait(GUARD_S) == 0
    finally:
        process.kill()
        process.communicate()
