"""Hermes payloads, without a broker."""

from __future__ import annotations

import io
import json
import wave

import numpy as np
import pytest

from streamtts.errors import BadField, BadJSON
from streamtts.protocol import hermes
from streamtts.protocol.parts import VoiceInfo

VOICES = (
    VoiceInfo(id="rms", name="rms", language="en-US", description="a man"),
    VoiceInfo(id="anna", name="Anna", language="de-DE"),
)


def test_say_as_rhasspy_sends_it() -> None:
    payload = (
        b'{"text":"Hi","lang":null,"id":"7","siteId":"hall","sessionId":"s","volume":0.5,"x":1}'
    )
    assert hermes.read_say(payload) == hermes.Say(
        text="Hi", id="7", site_id="hall", session_id="s", volume=0.5
    )
    assert hermes.read_say(b'{"text":"Hi"}').site_id == "default"


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"no", BadJSON),
        (b"\xff", BadJSON),
        (b"[]", BadJSON),
        (b"[" * 10_000, BadJSON),
        (b"{}", BadField),
        (b"", BadField),
        (b'{"text":5}', BadField),
        (b'{"text":"x","volume":2}', BadField),
        (b'{"text":"x","siteId":[]}', BadField),
    ],
)
def test_bad_say(payload: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        hermes.read_say(payload)


def test_finished() -> None:
    read = hermes.read_finished
    assert read("hermes/audioServer/hall/playFinished", b'{"id":"7"}') == ("hall", "7")
    assert read("hermes/audioServer/hall/streamFinished", b'{"id":"7","siteId":"x"}') == (
        "hall",
        "7",
    )
    assert read("hermes/audioServer/hall/playBytes/7", b"RIFF") is None
    assert read("streamtts/hall/cancel", b"") is None
    with pytest.raises(BadField):
        read("hermes/audioServer/hall/playFinished", b'{"id":7}')


def test_answers() -> None:
    say = hermes.Say(text="Hi", id=None, site_id="hall", session_id="s")
    assert json.loads(hermes.say_finished(say)) == {"id": None, "siteId": "hall", "sessionId": "s"}
    assert json.loads(hermes.error("no", "7", say)) == {
        "error": "no",
        "context": "7",
        "siteId": "hall",
        "sessionId": "s",
    }
    assert json.loads(hermes.error("no", "say", None))["siteId"] == "default"
    asked = hermes.read_get_voices(b'{"id":"1","siteId":"hall"}')
    assert json.loads(hermes.voices(asked, VOICES)) == {
        "voices": [
            {"voiceId": "rms", "description": "a man"},
            {"voiceId": "anna", "description": "Anna"},
        ],
        "id": "1",
        "siteId": "hall",
    }
    assert hermes.play_bytes("hall", "7") == "hermes/audioServer/hall/playBytes/7"
    topic = hermes.play_bytes_streaming("hall", "7", 3, last=True)
    assert topic == "hermes/audioServer/hall/playBytesStreaming/7/3/1"


@pytest.mark.parametrize(
    ("lang", "voice"),
    [
        (None, None),
        ("", None),
        ("de", "anna"),
        ("de_DE", "anna"),
        ("de-AT", "anna"),
        ("EN-us", "rms"),
        ("anna", "anna"),
        ("fr", None),
    ],
)
def test_a_language_chooses_a_voice_or_is_ignored(lang: str | None, voice: str | None) -> None:
    assert hermes.choose_voice(lang, VOICES) == voice


def test_volume_scales_samples() -> None:
    samples = np.array([0, 100, -101, 32767, -32768], "<i2").tobytes()
    assert hermes.scaled(samples, None) is samples
    assert hermes.scaled(samples, 1.0) is samples
    assert np.frombuffer(hermes.scaled(samples, 0.5), "<i2").tolist() == [
        0,
        50,
        -50,
        16384,
        -16384,
    ]
    assert not any(hermes.scaled(samples, 0))


def test_wav() -> None:
    data = np.arange(100, dtype="<i2").tobytes()
    with wave.open(io.BytesIO(hermes.wav(data, 22050))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 22050)
        assert file.readframes(1000) == data
