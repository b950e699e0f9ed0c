"""Hermes, the dialect of Rhasspy and Snips on a broker: topics and payloads. No IO.

Reference: the Hermes protocol as Rhasspy 2.5 documents it (hermes/tts, hermes/audioServer).
"""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

from streamtts.errors import BadField, BadJSON
from streamtts.protocol.codec import explain
from streamtts.protocol.parts import VoiceInfo

SAY = "hermes/tts/say"
SAY_FINISHED = "hermes/tts/sayFinished"
ERROR = "hermes/error/tts"
GET_VOICES = "rhasspy/tts/getVoices"
VOICES = "rhasspy/tts/voices"
PLAY_FINISHED = "hermes/audioServer/+/playFinished"
STREAM_FINISHED = "hermes/audioServer/+/streamFinished"
SAMPLE_BYTES = 2

_AUDIO_SERVER = "hermes/audioServer/"
_FINISHED = ("playFinished", "streamFinished")
_T = TypeVar("_T", bound=msgspec.Struct)


class Say(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`hermes/tts/say`; what is not listed here is ignored."""

    text: str
    lang: str | None = None
    id: str | None = None
    site_id: str = "default"
    session_id: str | None = None
    volume: Annotated[float, Meta(ge=0, le=1)] | None = None


class GetVoices(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`rhasspy/tts/getVoices`."""

    id: str | None = None
    site_id: str = "default"


class _Finished(msgspec.Struct, frozen=True, kw_only=True):
    id: str = ""


class Finished(NamedTuple):
    """A site's audio server has played all of a request."""

    site_id: str
    id: str


def read_say(payload: bytes) -> Say:
    """Reads `hermes/tts/say`.

    Raises:
        BadJSON: not a JSON object.
        BadField: a field is missing, of a wrong type or out of range.
    """
    return _read(payload, Say)


def read_get_voices(payload: bytes) -> GetVoices:
    """Reads `rhasspy/tts/getVoices`.

    Raises:
        BadJSON: not a JSON object.
        BadField: a field of a wrong type.
    """
    return _read(payload, GetVoices)


def read_finished(topic: str, payload: bytes) -> Finished | None:
    """Reads `playFinished` and `streamFinished`; None for any other topic.

    Raises:
        BadJSON: not a JSON object.
        BadField: an id that is no string.
    """
    site_id, _, what = topic.removeprefix(_AUDIO_SERVER).partition("/")
    if not topic.startswith(_AUDIO_SERVER) or what not in _FINISHED:
        return None
    return Finished(site_id, _read(payload, _Finished).id)


def play_bytes(site_id: str, id_: str) -> str:
    """Where one whole WAV goes."""
    return f"{_AUDIO_SERVER}{site_id}/playBytes/{id_}"


def play_bytes_streaming(site_id: str, id_: str, number: int, *, last: bool) -> str:
    """Where a chunk goes that is a WAV of its own."""
    return f"{_AUDIO_SERVER}{site_id}/playBytesStreaming/{id_}/{number}/{int(last)}"


def say_finished(say: Say) -> bytes:
    """The payload of `hermes/tts/sayFinished`."""
    return _encode(id=say.id, siteId=say.site_id, sessionId=say.session_id)


def error(message: str, context: str, say: Say | None) -> bytes:
    """The payload of `hermes/error/tts`.

    Args:
        message: what went wrong.
        context: the id of the request, or what it was about.
        say: the request, as far as it could be read.
    """
    site_id = "default" if say is None else say.site_id
    session_id = None if say is None else say.session_id
    return _encode(error=message, context=context, siteId=site_id, sessionId=session_id)


def voices(asked: GetVoices, known: Sequence[VoiceInfo]) -> bytes:
    """The payload of `rhasspy/tts/voices`."""
    told = [
        {"voiceId": voice.id, "description": voice.description or voice.name} for voice in known
    ]
    return _encode(voices=told, id=asked.id, siteId=asked.site_id)


def choose_voice(lang: str | None, known: Sequence[VoiceInfo]) -> str | None:
    """The voice for a language: an id, the same language, or None for the default one."""
    if not lang:
        return None
    wanted = lang.replace("_", "-").lower()
    for voice in known:
        if lang == voice.id or voice.language.lower() == wanted:
            return voice.id
    short = wanted.partition("-")[0]
    same = (voice.id for voice in known if voice.language.lower().partition("-")[0] == short)
    return next(same, None)


def scaled(data: bytes, volume: float | None) -> bytes:
    """16-bit samples made quieter.

    Args:
        data: little-endian, whole samples.
        volume: 0 to 1; None leaves them alone.
    """
    if volume is None or volume == 1:
        return data
    samples = np.frombuffer(data, "<i2").astype(np.float32)
    quiet: bytes = np.rint(samples * np.float32(volume)).astype("<i2").tobytes()
    return quiet


def wav(data: bytes, sample_rate: int) -> bytes:
    """A WAV file of 16-bit mono samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(SAMPLE_BYTES)
        writer.setframerate(sample_rate)
        writer.writeframes(data)
    return file.getvalue()


def _read(payload: bytes, kind: type[_T]) -> _T:
    try:
        fields = msgspec.json.decode(payload or b"{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise BadJSON(f"not JSON: {str(problem)[:80]}") from None
    if not isinstance(fields, dict):
        raise BadJSON("must be a JSON object")
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as problem:
        raise BadField(explain(str(problem), given)) from None


def _encode(**fields: Any) -> bytes:
    return msgspec.json.encode(fields)
