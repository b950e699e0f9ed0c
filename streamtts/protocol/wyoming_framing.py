"""Wyoming's framing: one JSON line, then JSON, then a payload; with bounds. No IO.

A length is judged when it is read: nothing is ever allocated for what a peer only announces.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import msgspec
from wyoming.event import Event
from wyoming.version import __version__

from streamtts.errors import BadField, BadJSON
from streamtts.protocol.codec import shown

MAX_PAYLOAD_BYTES = 1_048_576  # nothing that a client of ours sends has one: it is skipped
_ESCAPED_CHAR_BYTES = 12  # of one code point at worst: a pair of \uXXXX
_FRAME_BYTES = 16_384  # of everything else in a message
_encode = msgspec.json.Encoder().encode


def max_json_bytes(chars: int) -> int:
    """Bound of a line, and of the JSON behind it, that lets so many characters of text through."""
    return _ESCAPED_CHAR_BYTES * chars + _FRAME_BYTES


def encode(event: Event) -> bytes:
    """An event as it goes over the wire, as the package itself would write it."""
    data = _encode(event.data) if event.data else b""
    line: dict[str, object] = {"type": event.type, "version": __version__}
    if data:
        line["data_length"] = len(data)
    if event.payload:
        line["payload_length"] = len(event.payload)
    return b"".join((_encode(line), b"\n", data, event.payload or b""))


@dataclass(frozen=True, slots=True)
class _Header:
    """The line of a message; lengths in bytes."""

    type: str
    data: dict[str, Any]
    data_length: int
    payload_length: int


class Parser:
    """Bytes in, whole events out, however the bytes are cut. Payloads are skipped, not kept.

    Args:
        max_bytes: of a line, and of the JSON behind it.
        max_payload_bytes: of a payload.
    """

    def __init__(self, max_bytes: int, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self._max_bytes = max_bytes
        self._max_payload_bytes = max_payload_bytes
        self._buffer = bytearray()
        self._header: _Header | None = None
        self._skipped = 0

    @property
    def partial(self) -> bool:
        """Whether a message has begun and is not whole yet."""
        return self._header is not None or bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[Event]:
        """Takes what came; to be exhausted before the next call.

        Raises:
            BadJSON: what should be a JSON object is none.
            BadField: a field of the header is wrong, or something is longer than allowed. After
                an error nobody knows where the next message begins: the parser is of no more use.
        """
        at = 0
        while at < len(data):
            if self._header is None:
                at = self._take_line(data, at)
            elif len(self._buffer) < self._header.data_length:
                size = self._header.data_length - len(self._buffer)
                self._buffer += data[at : at + size]
                at = min(len(data), at + size)
            else:
                size = min(self._header.payload_length - self._skipped, len(data) - at)
                self._skipped += size
                at += size
            event = self._whole()
            if event is not None:
                yield event

    def _take_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at)
        stop = len(data) if end < 0 else end
        if len(self._buffer) + stop - at > self._max_bytes:
            raise BadField(f"a line of more than {self._max_bytes} bytes; Wyoming is JSON lines")
        self._buffer += data[at:stop]
        if end < 0:
            return stop
        line, self._buffer = self._buffer, bytearray()
        self._header = self._read_line(line)
        return end + 1

    def _read_line(self, line: bytearray) -> _Header:
        fields = _read_object(line, "the line")
        kind = fields.get("type")
        if not isinstance(kind, str):
            raise BadField("type: a message needs one, and it must be a string")
        return _Header(
            kind,
            _object(fields.get("data"), "data"),
            _length(fields, "data_length", self._max_bytes),
            _length(fields, "payload_length", self._max_payload_bytes),
        )

    def _whole(self) -> Event | None:
        header = self._header
        if header is None or len(self._buffer) < header.data_length:
            return None
        if self._skipped < header.payload_length:
            return None
        data = header.data
        if header.data_length:
            data = data | _read_object(self._buffer, "data")
        self._header, self._skipped, self._buffer = None, 0, bytearray()
        return Event(type=header.type, data=data)


def _read_object(raw: bytearray, what: str) -> dict[str, Any]:
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse_constant)
    except RecursionError:
        raise BadJSON(f"{what}: the JSON is nested too deeply") from None
    except ValueError as error:
        raise BadJSON(f"{what} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadJSON(f"{what} is no JSON object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _object(value: object, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadField(f"{name}: must be an object, is {shown(value)}")
    return value


def _length(fields: dict[str, Any], name: str, limit: int) -> int:
    value = fields.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadField(f"{name}: must be a number of bytes, is {shown(value)}")
    if value > limit:
        raise BadField(f"{name}: {shown(value)} is more than the {limit} bytes that are taken")
    return value
