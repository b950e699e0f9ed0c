"""clients/say.py and clients/llm.py against a server that plays a script."""

import asyncio
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile
from support.scripted_server import LAST, scripted

from streamtts.errors import StreamTTSError, UnknownVoice

CLIENTS = Path(__file__).resolve().parents[2] / "clients"
LIMIT_S = 20


def load(name):
    spec = importlib.util.spec_from_file_location(f"clients_{name}", CLIENTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


say = load("say")
llm = load("llm")


def run(main):
    async def guarded():
        async with asyncio.timeout(LIMIT_S):
            return await main()

    return asyncio.run(guarded())


def word(index, text, start, char_start):
    return {"index": index, "text": text, "start": start, "char_start": char_start,
            "char_end": char_start + len(text)}  # fmt: skip


async def speak_back(peer, expected, samples=1600):
    """Answers one utterance with a constant sound, 16 kHz float32."""
    opening, text = await peer.hear_text()
    assert text == expected
    name = opening["context_id"]
    audio = {"encoding": "pcm_f32le", "sample_rate": 16000, "channels": 1}
    await peer.say("opened", name, handle=1, audio=audio)
    await peer.frame(1, 0, 0, b"\x00\x00\x80\x3e" * samples, LAST)
    await peer.done(name, samples, len(text))
    return opening


def test_say_writes_a_file(tmp_path):
    path = tmp_path / "out.wav"

    async def script(peer):
        assert (await peer.hear("hello"))["lead_ms"] == 0
        opening = await speak_back(peer, "Hello world.")
        assert opening["audio"] == {"encoding": "pcm_f32le", "sample_rate": None, "frame_ms": None}
        assert opening["speed"] == 1.5
        await peer.gone()

    async def main():
        async with scripted(script) as url:
            words = ["Hello world.", "-o", str(path), "--url", url, "--speed", "1.5"]
            return await say.say(say.parser().parse_args(words))

    assert run(main).startswith(f"{path}: 0.10 s of sound at 16000 Hz")
    heard, rate = soundfile.read(path)
    assert (len(heard), rate) == (1600, 16000)
    assert heard.tolist() == [0.25] * 1600


def test_say_reads_standard_input_as_it_comes(tmp_path, monkeypatch):
    async def main():
        reading, writing = os.pipe()
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(fileno=lambda: reading))

        async def script(peer):
            await peer.hear("hello")
            os.write(writing, b"One ")
            opening = await peer.hear("open")
            assert (await peer.hear("text"))["text"] == "One "
            os.write(writing, b"two.")
            assert (await peer.hear("text"))["text"] == "two."
            os.close(writing)
            await peer.hear("end")
            await peer.open(opening["context_id"])
            await peer.done(opening["context_id"])
            await peer.gone()

        async with scripted(script) as url:
            words = ["-", "-o", str(tmp_path / "a.flac"), "--url", url]
            await say.say(say.parser().parse_args(words))
        os.close(reading)

    run(main)


def test_say_raises_what_the_server_refuses(tmp_path):
    async def script(peer):
        await peer.hear("hello")
        name = (await peer.hear("open"))["context_id"]
        await peer.say("error", name, code="unknown_voice", message="no voice x", final=True)
        await peer.gone()

    async def main():
        async with scripted(script) as url:
            words = ["a", "-o", str(tmp_path / "a.wav"), "--url", url, "--voice", "x"]
            with pytest.raises(UnknownVoice, match="no voice x"):
                await say.say(say.parser().parse_args(words))

    run(main)


def test_say_plays(monkeypatch):
    played = []

    class Card:
        queued_s = 0.0

        def __init__(self, rate):
            played.append(rate)

        def write(self, samples):
            played.append(len(samples))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            played.append("closed")

    monkeypatch.setattr(say, "Player", Card)

    async def script(peer):
        await speak_back(peer, "Hello.")  # no hello in front: it is played at the server's own lead
        await peer.gone()

    async def main():
        async with scripted(script) as url:
            await say.say(say.parser().parse_args(["Hello.", "--play", "--url", url]))

    run(main)
    assert played == [16000, 1600, "closed"]


@pytest.mark.parametrize(("arguments", "status", "says"), [
    (["hello"], 2, "-o FILE or --play"),
    (["hello", "-o", "out.txt"], 1, "'.txt' is not one of .wav"),
    (["hello", "-o", "out.wav", "--url", "ws://127.0.0.1:9"], 1, "cannot connect"),
])  # fmt: skip
def test_say_complains_in_one_line(arguments, status, says, capsys):
    try:
        result = say.main(arguments)
    except SystemExit as stopped:
        result = stopped.code
    assert result == status
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said


def test_llm_shows_the_words_as_they_are_heard(tmp_path, capsys):
    path = tmp_path / "text.txt"
    path.write_text("Hello big world.", encoding="utf-8")

    async def script(peer):
        opening, text = await peer.hear_text()
        name = opening["context_id"]
        assert text == "Hello big world."
        await peer.open(name)
        await peer.say("words", name, items=[word(0, "Hello", 0, 0), word(1, "big", 400, 6)])
        await peer.sound(1, 0, 0, [0] * 800)
        await peer.say("words", name, items=[word(2, "world", 800, 10)])
        await peer.sound(1, 1, 800, [0] * 800, LAST)
        await peer.done(name, 1600, len(text))
        await peer.gone()

    async def main():
        async with scripted(script) as url:
            await llm.converse(llm.parser().parse_args([str(path), "--rate", "1000", "--url", url]))

    run(main)
    assert capsys.readouterr().out.strip() == "Hello big world."


def test_llm_barges_in_and_tells_what_was_heard(tmp_path, capsys):
    path = tmp_path / "text.txt"
    path.write_text("Hello big world, there is more.", encoding="utf-8")

    async def script(peer):
        opening, _ = await peer.hear_text()
        name = opening["context_id"]
        await peer.open(name)
        await peer.say("words", name, items=[word(0, "Hello", 0, 0), word(1, "big", 800, 6)])
        await peer.sound(1, 0, 0, [0] * 1600)
        while (message := await peer.hear("playback", "cancel"))["type"] == "playback":
            assert message["played_samples"] <= 1600
        assert 0 < message["played_samples"] <= 1600
        await peer.cancelled(name, 9, 2, "Hello big")
        await peer.gone()

    async def main():
        async with scripted(script) as url:
            words = [str(path), "--rate", "1000", "--url", url, "--barge-in-after", "0.5"]
            await llm.converse(llm.parser().parse_args(words))

    run(main)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Hello big"
    assert lines[1].startswith("[heard, ")
    assert lines[1].endswith("] Hello big")
    assert lines[2] == "[not heard] world, there is more."


def test_llm_ends_with_the_servers_error(tmp_path):
    async def script(peer):
        name = (await peer.hear("open"))["context_id"]
        await peer.say("error", name, code="capacity", message="all slots are busy", final=True)
        await peer.gone()

    async def main():
        async with scripted(script) as url:
            with pytest.raises(StreamTTSError, match="all slots are busy"):
                await llm.converse(llm.parser().parse_args(["--url", url]))

    run(main)


@pytest.mark.parametrize("name", ["say", "llm"])
def test_clients_load_nothing_of_the_server(name):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['{name}.py', '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(CLIENTS / (name + '.py'))!r}, run_name='__main__')\n"
        "except SystemExit as stopped:\n"
        "    assert not stopped.code\n"
        "heavy = {'torch', 'soxr', 'gruut', 'starlette', 'uvicorn', 'scipy', 'aiomqtt'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout
