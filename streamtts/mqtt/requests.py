"""What devices send, checked: payloads in, plain values or one clear error out."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from streamtts.audio.formats import BYTES_PER_SAMPLE, RAW_ENCODINGS
from streamtts.errors import BadField, BadJSON, RequestError, TextTooLong
from streamtts.events import AudioInfo
from streamtts.mqtt.topics import check_name
from streamtts.protocol.codec import explain, shown
from streamtts.protocol.frames import HEADER_BYTES
from streamtts.protocol.parts import AudioRequest

MAX_PAYLOAD_BYTES = 1_048_576
MAX_CHUNK_BYTES = 4096  # the header included: what small speakers can take at once
MIN_FRAME_MS, MAX_FRAME_MS = 20, 60
MAX_BUFFER_MS = 10_000
MAX_PRIORITY = 9

_WIDE_HZ = 24_000  # above it floats do not fit into 40 ms
_SETTINGS = (
    *("voice", "speaker", "speed", "pitch", "pitch_range", "seed", "text_format", "normalize"),
    "max_buffer_delay_ms",
)
_T = TypeVar("_T")


class Say(msgspec.Struct, frozen=True, kw_only=True):
    """A request to speak; with `stream` the text follows on its own topic."""

    id: str
    text: str = ""
    stream: bool = False
    priority: Annotated[int, Meta(ge=0, le=MAX_PRIORITY)] = 0
    audio: AudioRequest | None = None
    voice: str | None = None
    speaker: str | None = None
    speed: float | None = None
    pitch: float | None = None
    pitch_range: float | None = None
    seed: int | None = None
    text_format: str | None = None
    normalize: bool | None = None
    max_buffer_delay_ms: int | None = None


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """More text, in this order: a piece, a flush, the end."""

    delta: str | None = None
    flush: bool | Annotated[str, Meta(max_length=128)] | None = None
    end: bool | None = None


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """Stop one request of a site, or all ("*")."""

    id: str
    played_samples: Annotated[int, Meta(ge=0, le=2**53)] | None = None


class Playback(msgspec.Struct, frozen=True, kw_only=True):
    """How far a device is, and how much it can hold."""

    id: str | None = None
    played_samples: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    buffer_ms: Annotated[int, Meta(ge=MIN_FRAME_MS, le=MAX_BUFFER_MS)] | None = None


def read_object(payload: bytes) -> dict[str, Any]:
    """Reads a payload's JSON object; halves of surrogate pairs are kept.

    Raises:
        BadJSON: it is none.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise BadJSON(f"{len(payload)} bytes are more than {MAX_PAYLOAD_BYTES}")
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise BadJSON(f"not JSON: {str(error)[:80]}") from None
    if not isinstance(value, dict):
        raise BadJSON("must be a JSON object")
    return value


def convert(fields: dict[str, Any], kind: type[_T]) -> _T:
    """Checks the fields of a payload; unknown ones are ignored.

    Raises:
        BadField: the first that is missing, of a wrong type or out of range.
    """
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise BadField(explain(str(error), fields)) from None


def read_say(fields: dict[str, Any], max_chars: int) -> Say:
    """Checks a request.

    Args:
        fields: of the payload.
        max_chars: code points that the server takes at once.

    Raises:
        RequestError: what is wrong with it.
    """
    say = convert(fields, Say)
    check_name("id", say.id)
    if not say.stream and not say.text:
        raise BadField('text: is missing (or say "stream": true and send it afterwards)')
    if len(say.text) > max_chars:
        raise TextTooLong(f"text: {len(say.text)} characters are more than {max_chars}")
    return say


def settings(say: Say) -> dict[str, Any]:
    """The settings of its context, as the native protocol's `open` has them.

    Raises:
        BadField: sound that no device on a broker can have.
    """
    given = {name: getattr(say, name) for name in _SETTINGS if getattr(say, name) is not None}
    return {**given, "audio": _audio(say.audio or AudioRequest())}


def check_chunk(audio: AudioInfo | None) -> None:
    """Checks that one chunk of a context's sound fits into a message.

    Raises:
        BadField: it does not.
    """
    if audio is None:
        return
    samples = round(audio.sample_rate * audio.frame_ms / 1000)
    size = HEADER_BYTES + samples * BYTES_PER_SAMPLE.get(audio.encoding, 4)
    if size > MAX_CHUNK_BYTES:
        raise BadField(
            f"audio: {audio.frame_ms} ms of {audio.encoding} at {audio.sample_rate} Hz are {size} "
            f"bytes a chunk, more than {MAX_CHUNK_BYTES}: take a shorter frame_ms"
        )


def known_id(fields: dict[str, Any]) -> str | None:
    """The id of a request with which something else is wrong, if that much can be read."""
    try:
        return check_name("id", fields.get("id"))
    except RequestError:
        return None


def _audio(asked: AudioRequest) -> dict[str, Any]:
    encoding = asked.encoding or "pcm_s16le"
    if encoding not in RAW_ENCODINGS:
        able = ", ".join(RAW_ENCODINGS)
        raise BadField(f"audio.encoding: {shown(encoding)} is not one of {able}")
    wide = encoding == "pcm_f32le" and (asked.sample_rate or 0) > _WIDE_HZ
    frame_ms = asked.frame_ms or (MIN_FRAME_MS if wide else 40)
    if not MIN_FRAME_MS <= frame_ms <= MAX_FRAME_MS:
        raise BadField(f"audio.frame_ms: must be {MIN_FRAME_MS} to {MAX_FRAME_MS}, not {frame_ms}")
    audio: dict[str, Any] = {"encoding": encoding, "frame_ms": frame_ms}
    if asked.sample_rate is not None:
        audio["sample_rate"] = asked.sample_rate
    return audio
