"""Wyoming's events to native actions and back, without a socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from support.wyoming_wire import ev, unwire
from wyoming.audio import AudioChunk, AudioStart
from wyoming.event import Event
from wyoming.info import Info

from streamtts import events
from streamtts.errors import BadField, Overloaded, TextTooLong
from streamtts.protocol import messages
from streamtts.protocol.actions import Admit, Feed, Pass, Record, Release, Send
from streamtts.protocol.parts import VoiceInfo
from streamtts.protocol.wyoming import SILENCE_MS, WyomingSession
from streamtts.protocol.wyoming_requests import Close, Fault

RATE = 16000
VOICES = (
    VoiceInfo(id="rms", name="RMS", language="en-US", sample_rate=RATE),
    VoiceInfo(id="otto", name="Otto", language="de-DE", sample_rate=RATE),
)
OPENED = events.Opened(events.AudioInfo("pcm_s16le", RATE, 1, 40), None)

Settings = dict[str, Any]


def make_settings(given: Mapping[str, Any]) -> Settings:
    if given.get("text_format") == "ssml":
        raise BadField("text_format 'ssml': not yet")
    return dict(given)


class Rig:
    """A session, and what it has asked its transport to do."""

    def __init__(self, max_requests: int = 3) -> None:
        self.session: WyomingSession[Settings] = WyomingSession(
            voices=VOICES, settings=make_settings, max_requests=max_requests, version="9"
        )
        self.records: list[Record[Settings]] = []
        self.log: list[str] = []
        self.sent: list[Event] = []

    def _note(self, actions: list[Any]) -> list[str]:
        noted = []
        for action in actions:
            match action:
                case Send(frame=frame, urgent=urgent):
                    assert isinstance(frame, bytes)
                    (event,) = unwire(frame)
                    self.sent.append(event)
                    noted.append(event.type + ("!" if urgent else ""))
                case Fault():
                    (event,) = unwire(action.frame)
                    assert event.data == {"text": action.message, "code": action.code}
                    noted.append(f"error {action.code}")
                case Admit(record=record):
                    self.records.append(record)
                    noted.append("admit held" if record.held else "admit")
                    noted += self._note(self.session.event(record, OPENED))
                case Feed(record=record, text=text):
                    noted.append(f"feed {record.context_id} {text}")
                case Pass(record=record, message=messages.End()):
                    noted.append(f"end {record.context_id}")
                case Pass(record=record, message=messages.Cancel()):
                    noted.append(f"cancel {record.context_id}")
                case Release(record=record):
                    noted.append(f"release {record.context_id}")
                case Close():
                    noted.append("close")
        return noted

    def receive(self, type_: str, /, **data: Any) -> list[str]:
        return self._note(self.session.receive(ev(type_, **data)))

    def tell(self, event: events.Event, index: int = -1) -> list[str]:
        return self._note(self.session.event(self.records[index], event))

    def refuse(self, error: Exception, index: int = -1) -> list[str]:
        return self._note(self.session.refused(self.records[index], error))  # type: ignore[arg-type]

    def report(self, error: Exception, index: int = -1) -> list[str]:
        return self._note(self.session.report(self.records[index], error))  # type: ignore[arg-type]


def chunk(data: bytes = b"\1\2" * 640) -> events.AudioChunk:
    return events.AudioChunk(0, 0, 0, data, len(data) // 2)


def done(chars: int, reason: str = "end") -> events.Done:
    return events.Done(reason, 640, chars, 1.0, 0.1, 0.0, 1, 0, 0.0)


def test_describe() -> None:
    rig = Rig()
    assert rig.receive("describe") == ["info"]
    (program,) = Info.from_event(rig.sent[0]).tts
    assert (program.name, program.version, program.installed) == ("streamtts", "9", True)
    assert program.supports_synthesize_streaming
    assert [(v.name, v.description, v.languages) for v in program.voices] == [
        ("rms", "RMS", ["en-US"]),
        ("otto", "Otto", ["de-DE"]),
    ]
    assert all(v.installed and not v.speakers for v in program.voices)
    assert not rig.session.busy


def test_ping_overtakes() -> None:
    rig = Rig()
    assert rig.receive("ping", text="x") == ["pong!"]
    assert rig.sent[0].data == {"text": "x"}
    assert rig.receive("ping") == ["pong!"]


def test_synthesize() -> None:
    rig = Rig()
    assert rig.receive("synthesize", text="Hello.") == ["admit", "feed 1 Hello.", "end 1"]
    assert rig.records[0].settings == {"audio": {"encoding": "pcm_s16le"}, "voice": "rms"}
    assert rig.session.busy
    assert not rig.session.expectant
    assert rig.tell(events.Started(1.0, 0.0)) == []
    assert rig.tell(chunk()) == ["audio-start", "audio-chunk"]
    assert rig.tell(chunk()) == ["audio-chunk"]
    assert rig.tell(chunk(b"")) == []  # a last chunk without sound
    assert rig.tell(events.Words(())) == []
    assert rig.tell(events.Warning_("nothing_to_speak", "")) == []
    assert rig.tell(done(6)) == ["audio-stop"]
    start = AudioStart.from_event(rig.sent[0])
    assert (start.rate, start.width, start.channels, start.timestamp) == (RATE, 2, 1, 0)
    second = AudioChunk.from_event(rig.sent[2])
    assert (second.rate, second.width, second.channels) == (RATE, 2, 1)
    assert (second.timestamp, second.audio) == (40, b"\1\2" * 640)
    assert rig.sent[-1].data == {"timestamp": 80}
    assert not rig.session.busy
    assert rig.tell(done(6)) == []  # nothing follows


def test_stream() -> None:
    rig = Rig()
    assert rig.receive("synthesize-start") == []
    assert rig.session.busy
    assert rig.session.expectant
    assert rig.receive("synthesize-chunk", text="") == []
    assert rig.receive("synthesize-chunk", text="Hel") == ["admit", "feed 1 Hel"]
    assert rig.receive("synthesize-chunk", text="lo ") == ["feed 1 lo "]
    assert rig.tell(chunk()) == ["audio-start", "audio-chunk"]  # while text still comes
    assert rig.receive("synthesize", text="Hello you") == []  # the copy for old servers
    assert rig.receive("synthesize-chunk", text="you") == ["feed 1 you"]
    assert rig.receive("synthesize-stop") == ["end 1"]
    assert rig.tell(chunk()) == ["audio-chunk"]
    assert rig.tell(done(9)) == ["audio-stop", "synthesize-stopped"]
    assert rig.receive("synthesize", text="more") == ["admit", "feed 2 more", "end 2"]


def test_surrogate_halves_are_joined_across_chunks() -> None:
    rig = Rig()
    rig.receive("synthesize-start")
    assert rig.receive("synthesize-chunk", text="\ud83c") == ["admit"]
    assert rig.receive("synthesize-chunk", text="\udfba") == ["feed 1 🎺"]


@pytest.mark.parametrize("stream", [False, True])
def test_no_text_is_a_short_silence(stream: bool) -> None:
    rig = Rig()
    if stream:
        rig.receive("synthesize-start")
        assert rig.receive("synthesize-stop") == ["admit", "end 1"]
    else:
        assert rig.receive("synthesize", text="") == ["admit", "end 1"]
    stopped = ["synthesize-stopped"] if stream else []
    assert rig.tell(done(0)) == ["audio-start", "audio-chunk", "audio-stop", *stopped]
    assert rig.sent[1].payload == bytes(2 * RATE * SILENCE_MS // 1000)


def test_requests_of_one_connection_are_spoken_one_after_the_other() -> None:
    rig = Rig()
    rig.receive("synthesize", text="one")
    assert rig.receive("synthesize", text="two") == ["admit held", "feed 2 two", "end 2"]
    assert rig.receive("synthesize-start") == []
    assert rig.tell(chunk(), 0) == ["audio-start", "audio-chunk"]
    assert rig.tell(done(3), 0) == ["audio-stop", "release 2"]
    assert rig.tell(chunk(), 1) == ["audio-start", "audio-chunk"]
    assert rig.receive("synthesize-chunk", text="x") == ["admit held", "feed 3 x"]
    assert rig.tell(done(3), 1) == ["audio-stop", "release 3"]


def test_too_many_requests_on_one_connection() -> None:
    rig = Rig(max_requests=2)
    rig.receive("synthesize", text="one")
    rig.receive("synthesize", text="two")
    assert rig.receive("synthesize", text="three") == ["error context_limit", "close"]
    assert rig.receive("synthesize", text="four") == []


def test_a_stream_that_begins_ends_the_one_before() -> None:
    rig = Rig()
    rig.receive("synthesize-start")
    rig.receive("synthesize-chunk", text="one")
    assert rig.receive("synthesize-start", voice={"name": "otto"}) == ["end 1"]
    assert rig.receive("synthesize-chunk", text="two") == ["admit held", "feed 2 two"]
    assert rig.records[1].settings["voice"] == "otto"
    assert rig.tell(chunk(), 0) == ["audio-start", "audio-chunk"]
    assert rig.tell(done(3), 0) == ["audio-stop", "synthesize-stopped", "release 2"]


@pytest.mark.parametrize(
    ("voice", "chosen"),
    [
        (None, "rms"),
        ({}, "rms"),
        ({"name": None, "speaker": None}, "rms"),
        ({"name": "otto"}, "otto"),
        ({"name": "Otto"}, "otto"),
        ({"name": "otto", "language": "en"}, "otto"),
        ({"language": "de_DE"}, "otto"),
        ({"language": "de"}, "otto"),
        ({"language": "EN-gb"}, "rms"),
        ({"name": ""}, "rms"),
    ],
)
@pytest.mark.parametrize("type_", ["synthesize", "synthesize-start"])
def test_the_voice_that_is_meant(type_: str, voice: dict[str, Any] | None, chosen: str) -> None:
    rig = Rig()
    told = rig.receive(type_, text="x", voice=voice)
    told += rig.receive("synthesize-chunk", text="x") if type_ == "synthesize-start" else []
    assert not [line for line in told if line.startswith("error")]
    assert rig.records[0].settings["voice"] == chosen


@pytest.mark.parametrize(
    ("voice", "chosen", "message"),
    [
        ({"name": "nobody"}, "rms", 'no voice "nobody"; there is rms (en-US), otto (de-DE); rms'),
        ({"language": "fr"}, "rms", 'no voice speaks "fr"; there is rms (en-US)'),
        ({"name": "otto", "speaker": "7"}, "otto", 'otto has one speaker, who speaks; not "7"'),
    ],
)
def test_an_unknown_voice_is_told_and_spoken_by_another(
    voice: dict[str, Any], chosen: str, message: str
) -> None:
    rig = Rig()
    actions = rig.session.receive(ev("synthesize", text="x", voice=voice))
    assert isinstance(actions[0], Fault)
    assert actions[0].code == "unknown_voice"
    assert message in actions[0].message
    assert rig._note(actions[1:]) == ["admit", "feed 1 x", "end 1"]
    assert rig.records[0].settings["voice"] == chosen


def test_an_unknown_voice_is_told_when_its_turn_has_come() -> None:
    rig = Rig()
    rig.receive("synthesize", text="one")
    assert rig.receive("synthesize", text="x", voice={"name": "nobody"})[0] == "admit held"
    assert rig.tell(done(3), 0)[-3:] == ["audio-stop", "error unknown_voice", "release 2"]


@pytest.mark.parametrize(
    ("type_", "data", "code", "message"),
    [
        ("synthesize", {}, "bad_field", "text: is missing"),
        ("synthesize", {"text": 5}, "bad_field", "text: must be a string, is 5"),
        ("synthesize", {"text": "x", "voice": 5}, "bad_field", "voice: must be an object"),
        ("synthesize", {"text": "x", "voice": {"name": []}}, "bad_field", "voice.name: must be a"),
        ("synthesize", {"text": "x", "text_format": 1}, "bad_field", "text_format: must be"),
        ("synthesize", {"text": "x", "text_format": "ssml"}, "bad_field", "'ssml': not yet"),
        ("synthesize-start", {"voice": "x"}, "bad_field", "voice: must be an object, is"),
        ("synthesize-chunk", {"text": "x"}, "unknown_context", "synthesize-chunk: no synthesize-"),
        ("synthesize-stop", {}, "unknown_context", "synthesize-stop: no synthesize-start"),
    ],
)
def test_what_is_no_request(type_: str, data: dict[str, Any], code: str, message: str) -> None:
    rig = Rig()
    fault, close = rig.session.receive(ev(type_, **data))
    assert isinstance(fault, Fault)
    assert fault.code == code
    assert message in fault.message
    assert isinstance(close, Close)
    assert rig.receive("describe") == []


@pytest.mark.parametrize(
    "type_", ["transcribe", "audio-chunk", "info", "select-program", "pong", "", "SYNTHESIZE"]
)
def test_events_of_other_trades_are_ignored(type_: str) -> None:
    rig = Rig()
    assert rig.receive(type_, text=5) == []
    assert rig.receive("synthesize", text="x") == ["admit", "feed 1 x", "end 1"]


def test_no_room_in_the_service() -> None:
    rig = Rig()
    rig.receive("synthesize", text="one")
    rig.receive("synthesize", text="two")
    assert rig.refuse(Overloaded("full")) == []  # in its turn
    assert rig.tell(chunk(), 0) == ["audio-start", "audio-chunk"]
    assert rig.tell(done(3), 0) == ["audio-stop", "error capacity", "close"]
    rig = Rig()
    rig.receive("synthesize-start")
    rig.receive("synthesize-chunk", text="x")
    assert rig.refuse(Overloaded("full")) == ["error capacity", "close"]


def test_an_engine_that_gives_up() -> None:
    rig = Rig()
    rig.receive("synthesize", text="one")
    rig.tell(chunk())
    assert rig.tell(events.Failed("internal", "odd", None, False)) == ["error internal"]
    assert rig.tell(events.Failed("stuck", "no progress", None, True)) == ["error stuck", "close"]
    rig = Rig()
    rig.receive("synthesize", text="one")
    assert rig.tell(events.Cancelled(0, 0, 0, 0, "")) == ["error loading", "close"]


def test_one_text_that_is_too_long() -> None:
    rig = Rig()
    rig.receive("synthesize", text="x")
    assert rig.report(TextTooLong("too long")) == ["error text_too_long", "close", "cancel 1"]


def test_a_piece_that_is_too_much_ends_the_text_but_not_the_sound() -> None:
    rig = Rig()
    rig.receive("synthesize-start")
    rig.receive("synthesize-chunk", text="one ")
    rig.receive("synthesize-chunk", text="two ")
    assert rig.report(TextTooLong("too long")) == ["error text_too_long"]
    assert rig.report(TextTooLong("too long")) == []
    assert rig.receive("synthesize-chunk", text="three") == []  # no text with a hole
    assert rig.tell(chunk()) == ["audio-start", "audio-chunk"]
    assert rig.receive("synthesize-stop") == ["end 1"]
    assert rig.tell(done(4)) == ["audio-stop", "synthesize-stopped"]


def test_a_stream_may_pause_for_longer_than_a_context_lives() -> None:
    rig = Rig()
    rig.receive("synthesize-start", voice={"name": "otto"})
    rig.receive("synthesize-chunk", text="one ")
    rig.tell(chunk())
    assert rig.tell(done(4, "idle")) == []
    assert rig.session.busy
    assert rig.session.expectant
    assert rig.receive("synthesize-chunk", text="two") == ["admit", "feed 2 two"]
    assert rig.records[1].settings["voice"] == "otto"
    assert rig.tell(chunk()) == ["audio-chunk"]  # the same sound goes on
    assert rig.tell(done(3, "idle")) == []
    assert rig.receive("synthesize-stop") == ["audio-stop", "synthesize-stopped"]
    assert rig.sent[-2].data == {"timestamp": 80}


def test_text_that_crosses_the_end_of_an_idle_context_is_spoken_by_the_next() -> None:
    rig = Rig()
    rig.receive("synthesize-start")
    rig.receive("synthesize-chunk", text="one ")
    rig.receive("synthesize-chunk", text="two ")
    rig.receive("synthesize-chunk", text="three ")
    assert rig.tell(done(4, "idle")) == ["admit", "feed 2 two three "]
    rig.receive("synthesize-chunk", text="four")
    rig.receive("synthesize-stop")
    assert rig.tell(done(10, "idle")) == ["admit", "feed 3 four", "end 3"]
    assert rig.tell(done(4))[-2:] == ["audio-stop", "synthesize-stopped"]
