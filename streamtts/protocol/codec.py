"""Text frames to messages and back; what is no message becomes a `Malformed` that says why."""

from __future__ import annotations

import json
import re
import typing
from typing import Any

import msgspec

from streamtts.errors import BadField, BadJSON, UnknownType
from streamtts.protocol.messages import (
    CLIENT_TYPES,
    ClientMessage,
    Malformed,
    OnConflict,
    ServerMessage,
    Transport,
)

ENUMS: dict[str, tuple[str, ...]] = {
    "on_conflict": typing.get_args(OnConflict),
    "transport": typing.get_args(Transport),
}
SHOWN_CHARS = 40  # of a client's value in a message

_JSON_NAMES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_client: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_server: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)
_encoder = msgspec.json.Encoder()


def encode(message: ServerMessage | ClientMessage) -> str:
    """A message as the text of a WebSocket frame."""
    return _encoder.encode(message).decode()


def decode_server(frame: str | bytes) -> ServerMessage:
    """Reads a server's text frame.

    Raises:
        BadJSON: not JSON.
        BadField: JSON, but no message that this version knows.
    """
    try:
        return _server.decode(frame)
    except msgspec.ValidationError as error:
        raise BadField(str(error)) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadJSON(str(error)) from None


def decode_client(frame: str | bytes) -> ClientMessage | Malformed:
    """Reads a client's frame; binary frames and unknown types are `Malformed`, never an error."""
    if isinstance(frame, bytes):
        return Malformed(
            code=UnknownType.code,
            message="clients send text frames only; binary frames are for the server's sound",
        )
    try:
        return _client.decode(frame)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _second_look(frame)


def _second_look(frame: str) -> ClientMessage | Malformed:
    """Reads again what msgspec would not: half a surrogate pair, or an error to be explained."""
    try:
        raw = json.loads(frame, parse_constant=_refuse_constant)
    except RecursionError:
        return Malformed(code=BadJSON.code, message="the JSON is nested too deeply")
    except ValueError as error:
        return Malformed(code=BadJSON.code, message=f"not JSON: {error}")
    if not isinstance(raw, dict):
        return Malformed(code=BadJSON.code, message="a message is a JSON object with a `type`")
    fields = {k: v if k == "text" else _whole(v) for k, v in raw.items()}
    kind = fields.get("type")
    context_id = fields.get("context_id")
    known = context_id if isinstance(context_id, str) and 1 <= len(context_id) <= 128 else None
    if not isinstance(kind, str) or kind not in CLIENT_TYPES:
        what = "there is no `type`" if kind is None else f"unknown type {shown(kind)}"
        return Malformed(
            code=UnknownType.code,
            message=f"{what}; clients send {', '.join(CLIENT_TYPES)}",
            context_id=known,
        )
    try:
        message: ClientMessage = msgspec.convert(fields, ClientMessage)
    except msgspec.ValidationError as error:
        why = explain(str(error), fields)
        return Malformed(code=BadField.code, message=why, type=kind, context_id=known)
    return message


def shown(value: object) -> str:
    """A client's value, shortened and without anything that could garble a log."""
    text = json.dumps(value, default=str)
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 3] + "..."


def explain(error: str, fields: dict[str, Any]) -> str:
    """Turns a line of msgspec into `field: what it is and what it may be`."""
    missing = re.match(r"Object missing required field `(\w+)`", error)
    if missing:
        return f"{missing[1]}: is missing"
    what, _, path = error.partition(" - at `$")
    path = path.strip(".`")
    names = {name: _JSON_NAMES.get(name, name) for name in re.findall(r"`([^`]+)`", what)}
    for name, said in names.items():
        alternatives = [_JSON_NAMES.get(x, x) for x in name.split(" | ") if x != "null"]
        what = what.replace(f"`{name}`", " or ".join(alternatives) or said)
    if path in ENUMS:
        value = shown(fields.get(path))
        return f"{path}: is {value}; allowed are {', '.join(ENUMS[path])}"
    what = what.replace("Expected", "must be").replace("got", "is").replace(" <= ", " up to ")
    what = what.replace(" >= ", " from ").replace(" < ", " below ")
    if "length" in what:  # only ids have one
        what = "must be 1 to 128 characters long"
    return f"{path or 'message'}: {what}"


def _whole(value: object) -> object:
    """Replaces halves of surrogate pairs in a string: they cannot be sent back."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
