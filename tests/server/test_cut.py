"""How sound ends that a cancel cuts while it waits for a slow client."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from support.live_server import client, live_server
from support.raw_client import frames, handshake, send_text, until
from support.readings import read
from support.real_service import letters, load

from streamtts.audio.encode import wav_header
from streamtts.audio.formats import AudioFormat, from_bytes, to_bytes
from streamtts.events import (
    FLAG_FADED,
    FLAG_FILLER,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_MEL,
    AudioChunk,
    MelChunk,
    Words,
)
from streamtts.protocol import outgoing
from streamtts.server.cut import endings
from streamtts.server.outbox import Entry

FADED = FLAG_LAST | FLAG_FADED
RATE = 16000
FADE_SAMPLES = 80
PLAYED = 20_000
LONG = "all work and no play makes a dull day, " * 100
SOUND = np.sin(np.arange(640, dtype=np.float32) / 7) * np.float32(0.8)
RAMP = np.linspace(1.0, 0.0, FADE_SAMPLES, dtype=np.float32)


def entries(*events_: AudioChunk | MelChunk | Words, base64: bool = False) -> list[Entry]:
    return [
        Entry(outgoing.frame(event, context_id="a", handle=7, base64=base64)) for event in events_
    ]


def chunk(seq: int, data: bytes, flags: int = 0) -> AudioChunk:
    return AudioChunk(seq, flags, 640 * seq, data, 640)


@pytest.mark.parametrize("base64", [False, True])
@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le", "mulaw", "alaw", "wav"])
def test_the_first_chunk_that_waits_fades(encoding: str, base64: bool) -> None:
    raw = "pcm_s16le" if encoding == "wav" else encoding
    data = to_bytes(SOUND, raw)
    waiting = entries(chunk(3, data), Words(()), chunk(4, data), base64=base64)
    (faded,) = endings(waiting, AudioFormat(encoding, RATE))
    assert isinstance(faded, AudioChunk)
    assert (faded.seq, faded.flags, faded.first_sample) == (3, FADED, 1920)
    assert faded.samples == FADE_SAMPLES
    heard = from_bytes(faded.data, raw)
    np.testing.assert_allclose(heard, SOUND[:FADE_SAMPLES] * RAMP, atol=0.03)
    assert abs(heard[-1]) < 0.001


def test_a_short_last_chunk_fades_over_what_there_is() -> None:
    short = AudioChunk(3, FLAG_LAST | FLAG_FILLER, 1920, to_bytes(SOUND[:10], "pcm_s16le"), 10)
    (faded,) = endings(entries(short), AudioFormat("pcm_s16le", RATE))
    assert isinstance(faded, AudioChunk)
    assert faded.samples == len(faded.data) // 2 == 10
    assert faded.flags == FADED | FLAG_FILLER
    assert faded.data[-2:] == b"\0\0"


def test_nothing_ends_of_which_nothing_was_sent() -> None:
    first = chunk(0, wav_header(RATE) + to_bytes(SOUND, "pcm_s16le"), FLAG_FIRST)
    assert endings(entries(first, chunk(1, b"")), AudioFormat("wav", RATE)) == []


@pytest.mark.parametrize("encoding", ["flac", "ogg_opus", "mp3"])
def test_containers_end_where_they_were_cut(encoding: str) -> None:
    (end,) = endings(entries(chunk(3, b"page"), chunk(4, b"page")), AudioFormat(encoding, RATE))
    assert end == AudioChunk(3, FADED, 1920, b"", 0)


def test_mel_ends_beside_the_sound() -> None:
    data = to_bytes(SOUND, "pcm_s16le")
    waiting = entries(chunk(3, data), MelChunk(5, FLAG_MEL, 2000, bytes(160)), chunk(4, data))
    audio, mel = endings(waiting, AudioFormat("pcm_s16le", RATE))
    assert isinstance(audio, AudioChunk)
    assert mel == MelChunk(5, FLAG_MEL | FADED, 2000, b"")


def test_a_cancel_behind_a_full_socket_is_exact() -> None:
    """What was sent is the undisturbed sound up to the very sample, and then its fade."""
    config = "[server]\noutbox_bytes = 8192"
    ask = {"type": "text", "context_id": "a", "text": LONG, "seed": 3}

    async def undisturbed(samples: int) -> np.ndarray:
        async with client(server, max_queue=None) as c:
            await c.send("hello", lead_ms=0)
            await c.socket.send(json.dumps(ask))
            while sum(len(data) for _, data in c.chunks) < 2 * samples:
                await c.receive()
            return np.frombuffer(b"".join(data for _, data in c.chunks), "<i2")

    with live_server(lambda: load(letters), config) as server:
        raw = handshake(server.port, 4096)
        send_text(raw, type="hello", lead_ms=0, timestamps=["word"])
        send_text(raw, **ask)
        while not read(server.http)["slow_readers"]:
            pass
        send_text(raw, type="playback", context_id="a", played_samples=PLAYED)
        send_text(raw, type="cancel", context_id="a")
        got = until(frames(raw), "cancelled")
        raw.close()
        chunks = [frame for frame in got if isinstance(frame, tuple)]
        (cancelled,) = [f for f in got if isinstance(f, dict) and f["type"] == "cancelled"]
        sent = np.frombuffer(b"".join(data for _, data in chunks), "<i2").astype(float)
        whole = asyncio.run(undisturbed(len(sent))).astype(float)
    header, fade = chunks[-1]
    cut = header.first_sample
    assert header.flags == FADED
    assert len(fade) == 2 * FADE_SAMPLES
    assert cancelled["sent_samples"] == len(sent) == cut + FADE_SAMPLES
    np.testing.assert_array_equal(sent[:cut], whole[:cut])
    np.testing.assert_allclose(sent[cut:], whole[cut : len(sent)] * RAMP, atol=1)
    words = {}
    for frame in got:
        if isinstance(frame, dict) and frame["type"] == "words":
            words |= {item["index"]: item for item in frame["items"]}
    whole_words = [word for word in words.values() if word.get("end", len(sent)) <= PLAYED]
    assert cancelled["spoken"]["words"] == len(whole_words) > 2
    assert LONG.startswith(cancelled["spoken"]["text"])
