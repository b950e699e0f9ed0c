"""Hostile text and every encoding, through real sockets and the real engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import numpy as np
import pytest
from support.live_server import LiveServer, client, live_server
from support.real_service import english, load

TEXT = "The quick brown fox jumped over dogs. Nobody saw it happen."


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server(lambda: load(english)) as running:
        yield running


HOSTILE = {
    "a long word": "a" * 10_000,
    "control characters": "one\0two\x07\x1b[31m three",
    "combining marks": "\u0301\u0302\u0303 e" + "\u0301" * 500,
    "right to left": "שלום עולם, hello",
    "chinese": "你好，世界。",
    "emoji": "😀👩\u200d👩\u200d👧\u200d👦🏳️\u200d🌈",
    "digits": "1" * 2000,
    "dots": "." * 5000,
    "at signs": "@" * 5000,
    "blank": " \u00a0\u2003\n" * 500,
    "markup": "**_`#[](http://" * 300,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_spoken_or_silence(server: LiveServer, name: str) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("hello", lead_ms=0)
            await c.send("text", context_id="a", text=HOSTILE[name])
            await c.send("end", context_id="a")
            await c.until("started", context_id="a")
            await c.send("cancel", context_id="a")
            while not c.ends():
                await c.receive()
            assert c.ends() == ["a"]
            assert c.of("error") == []

    asyncio.run(main())


def test_thousands_of_one_letter_deltas(server: LiveServer) -> None:
    text = "so it goes, " * 250

    async def main() -> None:
        async with client(server) as c:
            await c.send("hello", lead_ms=0)
            for letter in text:
                await c.send("text", context_id="a", text=letter)
            await c.barrier()
            await c.send("cancel", context_id="a")
            cancelled = await c.until("cancelled")
            assert cancelled["spoken"]["text"] == text[: cancelled["spoken"]["chars"]]

    asyncio.run(main())


def test_surrogate_halves_make_one_character(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("hello", lead_ms=0)
            for part in ("Hi \ud83d", "\ude00 you \udc00"):
                await c.socket.send(json.dumps({"type": "text", "context_id": "a", "text": part}))
            await c.send("end", context_id="a")
            assert (await c.until("done"))["chars"] == len("Hi 😀 you \ufffd")

    asyncio.run(main())


def test_queued_contexts_sound_one_after_the_other(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("hello", lead_ms=0)
            for name in "abc":
                await c.send("text", context_id=name, text=f"This is {name}. ")
                await c.send("end", context_id=name)
            await c.send("cancel", context_id="b")
            await c.until("done", context_id="c")
            assert sorted(c.ends()) == ["a", "b", "c"]
            handles = [header.handle for header, _ in c.chunks]
            assert set(handles) == {c.handle("a"), c.handle("c")}
            assert handles == sorted(handles)

    asyncio.run(main())


def test_mel_alone_and_alignment(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("hello", lead_ms=0, streams=["mel", "alignment"])
            await c.say("a", "Good day.")
            mel = b"".join(data for header, data in c.chunks)
            frames = np.frombuffer(mel, "<f2").reshape(-1, 80)
            assert len(frames) > 10
            assert np.isfinite(frames).all()
            steps = [step for m in c.of("alignment") for step in m["steps"]]
            positions = [step["position"] for step in steps]
            assert positions == sorted(positions)
            symbols = {s["position"] for m in c.of("alignment") for s in m["symbols"]}
            assert symbols == set(range(max(symbols) + 1))

    asyncio.run(main())


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le", "mulaw", "alaw"])
def test_raw_encodings(server: LiveServer, encoding: str, rate: int) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("hello", lead_ms=0)
            done = await c.say("a", "Good day.", audio={"encoding": encoding, "sample_rate": rate})
            (opened,) = c.of("opened")
            assert opened["audio"]["sample_rate"] == rate
            size = {"pcm_s16le": 2, "pcm_f32le": 4}.get(encoding, 1)
            assert len(c.audio(opened["handle"])) == done["samples"] * size
            await c.send("open", context_id="native")
            assert done["samples"] > rate // 10

    asyncio.run(main())


@pytest.mark.parametrize(
    ("encoding", "magic"), [("wav", b"RIFF"), ("flac", b"fLaC"), ("ogg_opus", b"OggS")]
)
def test_containers(server: LiveServer, encoding: str, magic: bytes) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("hello", lead_ms=0)
            done = await c.say("a", TEXT, audio={"encoding": encoding, "sample_rate": 16000})
            data = c.audio(c.handle("a"))
            assert data.startswith(magic)
            assert data.count(b"RIFF") + data.count(b"fLaC") <= 1
            assert done["samples"] > 0

    asyncio.run(main())
