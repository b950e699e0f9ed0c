"""One tree of errors. Each class carries its wire code and whether trying again can help."""

from __future__ import annotations


class StreamTTSError(Exception):
    """Base of every error that this package raises on purpose.

    Attributes:
        code: the `code` of an `error` message on the wire (protocol/PROTOCOL.md).
        retry_after_ms: how long a client should wait before it tries the same again; None when
            trying again cannot help.
    """

    code = "internal"

    def __init__(self, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class ConfigError(StreamTTSError):
    """The configuration cannot be used; the message names the key and what would be right."""

    code = "bad_field"


class VoiceError(StreamTTSError):
    """A voice folder is missing, damaged or of a format that this version cannot read."""

    code = "unknown_voice"


class TrainError(StreamTTSError):
    """Training cannot go on; the message says what is missing and how to get it."""


class RequestError(StreamTTSError):
    """The peer's fault: what it sent cannot be done as it stands."""


class BadJSON(RequestError):
    """A text frame that is not a JSON object."""

    code = "bad_json"


class UnknownType(RequestError):
    """A message whose `type` this server does not know, or a binary frame from a client."""

    code = "unknown_type"


class BadField(RequestError):
    """A field with a wrong type or a value out of range; the message names both."""

    code = "bad_field"


class UnknownVoice(RequestError):
    """A voice id that this server does not have."""

    code = "unknown_voice"


class UnknownContext(RequestError):
    """A `context_id` that was never opened on this connection."""

    code = "unknown_context"


class ContextLimit(RequestError):
    """More contexts on one connection than `limits.contexts`."""

    code = "context_limit"


class TextTooLong(RequestError):
    """More text waiting to be spoken than `limits.chars_per_context`."""

    code = "text_too_long"


class Unauthorized(RequestError):
    """No key, or a wrong one."""

    code = "auth"


class Overloaded(StreamTTSError):
    """Every slot and every place in the queue is taken."""

    code = "capacity"


class Loading(StreamTTSError):
    """The voice is still being loaded, or the server is draining."""

    code = "loading"


class StreamStuck(StreamTTSError):
    """A stream made no progress within its deadline and was ended."""

    code = "stuck"
