"""What a Wyoming connection is asked to speak, and what its transport is asked to do. No IO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias

from wyoming.error import Error
from wyoming.event import Event, Eventable

from streamtts.errors import BadField, StreamTTSError
from streamtts.protocol import actions
from streamtts.protocol.codec import shown
from streamtts.protocol.wyoming_framing import encode

ENCODING = "pcm_s16le"
WIDTH = 2  # bytes a sample
TAIL_CHARS = 4096  # kept of a request's text, in case its context ended just before


@dataclass(frozen=True, slots=True)
class Fault:
    """Tell the client, and the log, what is wrong."""

    code: str
    message: str

    @property
    def frame(self) -> bytes:
        """The `error` that says so."""
        return encode(Error(text=self.message, code=self.code).event())


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection as soon as everything before has gone out."""


Action: TypeAlias = actions.Action | Fault | Close


@dataclass(eq=False, slots=True)
class Request(Generic[actions.S]):
    """A text that is to be spoken, or a stream of pieces of one.

    Attributes:
        settings: of its context.
        stream: it came in pieces.
        open: more pieces may come.
        record: its context; None before its first words, and after an idle one has ended.
        faults: to be told when its turn comes.
        failure: ends it, and the connection, when its turn comes.
        deaf: its further text is ignored.
        rate: of its sound, in Hz.
        samples: sent.
        started: `audio-start` has been sent.
        fed: code points given to its present context.
        tail: the last of them.
    """

    settings: actions.S
    stream: bool
    open: bool
    record: actions.Record[actions.S] | None = None
    faults: list[Fault] = field(default_factory=list)
    failure: Fault | None = None
    deaf: bool = False
    rate: int = 0
    samples: int = 0
    started: bool = False
    fed: int = 0
    tail: str = ""

    @property
    def sent_ms(self) -> int:
        """Length of the sound that has been sent."""
        return self.samples * 1000 // self.rate if self.rate else 0

    def note(self, text: str) -> None:
        """A piece of text has been given to the present context."""
        self.fed += len(text)
        self.tail = (self.tail + text)[-max(TAIL_CHARS, len(text)) :]

    def lost(self, chars: int) -> str:
        """What its context, now over, has not taken; `chars` is what it has."""
        return self.tail[max(0, len(self.tail) - (self.fed - chars)) :]


def send(event: Eventable, *, urgent: bool = False) -> actions.Send:
    """An event of ours as the bytes that carry it."""
    return actions.Send(encode(event.event()), urgent=urgent)


def fault(error: StreamTTSError) -> Fault:
    """An error of ours as the client is told of it."""
    return Fault(error.code, str(error))


def text_of(event: Event) -> str:
    """The `text` of an event.

    Raises:
        BadField: there is none.
    """
    _check(event.data, "text", str)
    text: str = event.data["text"]
    return text


def settings_of(event: Event) -> dict[str, Any]:
    """What `synthesize` and `synthesize-start` ask for beside the text, in native words.

    Raises:
        BadField: a wrong type. What is None is taken out of the event, for the package's classes.
    """
    data = event.data
    voice = data["voice"] = {} if data.get("voice") is None else data["voice"]
    _check(data, "voice", dict)
    for name in ("name", "language", "speaker"):
        if voice.get(name) is None:
            voice.pop(name, None)
        else:
            _check(voice, name, str, "voice.")
    given: dict[str, Any] = {"audio": {"encoding": ENCODING}}
    if data.get("text_format") not in (None, "text"):
        _check(data, "text_format", str)
        given["text_format"] = data["text_format"]
    return given


def _check(data: Mapping[str, Any], name: str, kind: type, path: str = "") -> None:
    value = data.get(name)
    if not isinstance(value, kind):
        wanted = "a string" if kind is str else "an object"
        said = "is missing" if name not in data else f"must be {wanted}, is {shown(value)}"
        raise BadField(f"{path}{name}: {said}")
