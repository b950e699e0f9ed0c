"""What the session does beyond its table: ids, handles, conflicts, settings, surrogates."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamtts import events
from streamtts.errors import BadField, Overloaded, TextTooLong
from streamtts.protocol import session as session_module
from streamtts.protocol.actions import Action, Admit, Feed, Pass, Record, Release, Send
from streamtts.protocol.session import ServerSession

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

DONE = events.Done("end", 0, 0, 0, 0, 0, 0, 0, 0)


AUDIO = {"encoding": "pcm_s16le", "sample_rate": 16000}


class Settings(msgspec.Struct, frozen=True):
    voice: str = "v"
    speed: float = 1.0
    lead_ms: int = 2000
    streams: tuple[str, ...] = ("audio",)
    timestamps: tuple[str, ...] = ()
    audio: dict[str, Any] = msgspec.field(default_factory=AUDIO.copy)


def make_settings(fields: Any) -> Settings:
    if fields.get("speed", 1.0) > 2.0:
        raise BadField("speed must be between 0.5 and 2")
    base = msgspec.to_builtins(Settings())
    return msgspec.convert(
        {**base, **fields, "audio": {**base["audio"], **fields.get("audio", {})}}, Settings
    )


def make_session(max_contexts: int = 4) -> ServerSession[Settings]:
    return ServerSession(max_contexts=max_contexts, settings=make_settings, clock=lambda: 12.5)


def send(session: ServerSession[Settings], type_: str, **fields: Any) -> list[Action]:
    return session.receive(json.dumps({"type": type_, **fields}))


def told(actions: list[Action]) -> list[dict[str, Any]]:
    return [json.loads(action.frame) for action in actions if isinstance(action, Send)]


def admitted(actions: list[Action]) -> Record[Settings]:
    (record,) = [action.record for action in actions if isinstance(action, Admit)]
    return record


def test_text_opens_with_the_fields_of_open() -> None:
    session = make_session()
    actions = send(session, "text", context_id="a", text="hi", speed=1.5, streams=["mel"])
    record = admitted(actions)
    assert record.settings.speed == 1.5
    assert record.settings.streams == ("mel",)
    assert actions[1] == Feed(record, "hi")


def test_hello_sets_defaults_and_open_overrides_them() -> None:
    session = make_session()
    audio = {"encoding": "mulaw", "sample_rate": 8000}
    assert send(session, "hello", audio=audio, lead_ms=0, transport="base64") == []
    record = admitted(send(session, "open", context_id="a", audio={"encoding": "alaw"}))
    assert record.settings.audio == {"encoding": "alaw", "sample_rate": 8000}
    assert record.settings.lead_ms == 0
    assert record.base64


def test_a_bad_hello_changes_nothing() -> None:
    session = make_session()
    send(session, "hello", lead_ms=5)
    (error,) = told(session.receive('{"type":"hello","lead_ms":"x","transport":"base64"}'))
    assert error["code"] == "bad_field"
    record = admitted(send(session, "open", context_id="a"))
    assert record.settings.lead_ms == 5
    assert not record.base64


def test_equal_settings_again_are_fine_and_changed_ones_are_told_once() -> None:
    session = make_session()
    send(session, "open", context_id="a", speed=1.5, streams=["audio", "mel"])
    same = send(
        session,
        "text",
        context_id="a",
        text="x",
        speed=1.5,
        streams=["mel", "audio"],
        audio={"encoding": "pcm_s16le"},
        voice="v",
    )
    assert told(same) == []
    (warning,) = told(send(session, "text", context_id="a", text="x", speed=2, voice="w"))
    assert warning["type"] == "warning"
    assert warning["code"] == "settings_ignored"
    assert warning["message"].startswith("speed, voice:")
    assert told(send(session, "text", context_id="a", text="x", speed=2)) == []
    (warning,) = told(send(session, "open", context_id="a", audio={"encoding": "wav"}))
    assert warning["message"].startswith("audio:")


def test_settings_out_of_range_end_the_context_before_it_began() -> None:
    session = make_session()
    (error,) = told(send(session, "text", context_id="a", text="x", speed=9))
    assert (error["code"], error["final"], error["context_id"]) == ("bad_field", True, "a")
    (error,) = told(send(session, "text", context_id="a", text="more"))
    assert (error["code"], error["final"]) == ("unknown_context", False)
    assert told(send(session, "text", context_id="a", text="and more")) == []
    assert admitted(send(session, "open", context_id="a")).context_id == "a"


def test_no_context_may_have_the_name_that_means_all() -> None:
    session = make_session()
    (error,) = told(send(session, "text", context_id="*", text="x"))
    assert (error["code"], error["final"]) == ("bad_field", True)
    assert session.live == ()


def test_contexts_are_limited() -> None:
    session = make_session(max_contexts=2)
    send(session, "open", context_id="a")
    send(session, "open", context_id="b")
    (error,) = told(send(session, "open", context_id="c"))
    assert (error["code"], error["final"]) == ("context_limit", True)
    session.event(session.live[0], DONE)
    assert admitted(send(session, "open", context_id="c")).context_id == "c"


def test_the_service_may_refuse() -> None:
    session = make_session()
    first = admitted(send(session, "open", context_id="a"))
    second = admitted(send(session, "open", context_id="b"))
    actions = session.refused(first, Overloaded("full", retry_after_ms=250))
    (error,) = told(actions)
    assert error == {
        "type": "error",
        "code": "capacity",
        "message": "full",
        "context_id": "a",
        "retry_after_ms": 250,
        "final": True,
    }
    assert actions[1:] == [Release(second)]


def test_queued_contexts_follow_each_other() -> None:
    session = make_session()
    records = [admitted(send(session, "open", context_id=name)) for name in "abc"]
    assert [(record.held, record.position) for record in records] == [
        (False, 0),
        (True, 1),
        (True, 2),
    ]
    parallel = admitted(send(session, "open", context_id="d", on_conflict="parallel"))
    assert not parallel.held
    assert session.event(records[0], DONE)[1:] == [Release(records[1])]
    assert session.event(parallel, DONE)[1:] == []
    assert session.event(records[1], DONE)[1:] == [Release(records[2])]
    assert session.event(records[2], DONE)[1:] == []


def test_a_queued_context_that_is_cancelled_lets_nobody_in_early() -> None:
    session = make_session()
    a, b, c = (admitted(send(session, "open", context_id=name)) for name in "abc")
    send(session, "cancel", context_id="b")
    cancelled = events.Cancelled(0, 0, 0, 0, "")
    assert session.event(b, cancelled)[1:] == []
    assert session.event(a, DONE)[1:] == [Release(c)]


def test_preempt_cancels_all_that_were_before() -> None:
    session = make_session(max_contexts=2)
    a = admitted(send(session, "open", context_id="a"))
    b = admitted(send(session, "open", context_id="b"))
    actions = send(session, "open", context_id="c", on_conflict="preempt")
    cancels = [action.record for action in actions if isinstance(action, Pass)]
    assert cancels == [a, b]
    assert not admitted(actions).held


def test_cancel_star_is_every_context_once() -> None:
    session = make_session()
    for name in "ab":
        send(session, "open", context_id=name)
    actions = send(session, "cancel", context_id="*", played_samples=7)
    assert [(action.record.context_id, action.message.played_samples) for action in actions] == [
        ("a", 7),
        ("b", 7),
    ]
    assert send(session, "cancel", context_id="*") == []


def test_nothing_follows_the_end_of_a_context() -> None:
    session = make_session()
    record = admitted(send(session, "open", context_id="a"))
    session.event(record, DONE)
    assert session.event(record, DONE) == []
    assert session.event(record, events.Flushed("f", 3)) == []
    assert session.report(record, TextTooLong("late")) == []


def test_an_old_context_of_the_same_name_is_another_one() -> None:
    session = make_session()
    old = admitted(send(session, "open", context_id="a"))
    session.event(old, DONE)
    new = admitted(send(session, "open", context_id="a"))
    assert session.event(old, events.Flushed("f", 3)) == []
    assert new.handle == old.handle + 1
    assert session.live == (new,)


def test_what_waits_at_a_cancel_is_dropped_and_not_counted() -> None:
    session = make_session()
    record = admitted(send(session, "open", context_id="a"))
    send(session, "cancel", context_id="a")
    record.cut = 640
    assert session.event(record, events.AudioChunk(3, 8, 1920, b"xx", 1)) == []
    assert session.event(record, events.Words(())) == []
    (cancelled,) = told(session.event(record, events.Cancelled(1920, 1920, 5, 1, "hello")))
    assert cancelled["sent_samples"] == 640
    assert cancelled["generated_samples"] == 1920


def test_handles_start_again_and_skip_those_in_use() -> None:
    session = make_session()
    keeper = admitted(send(session, "open", context_id="keep"))
    assert keeper.handle == 1
    session._handle = 65_534
    a = admitted(send(session, "open", context_id="a", on_conflict="parallel"))
    b = admitted(send(session, "open", context_id="b", on_conflict="parallel"))
    assert (a.handle, b.handle) == (65_535, 2)


def test_ids_that_have_ended_are_forgotten_one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "REMEMBERED", 2)
    session = make_session()
    for name in "abc":
        session.event(admitted(send(session, "open", context_id=name)), DONE)
    assert told(send(session, "cancel", context_id="c")) == []
    (error,) = told(send(session, "cancel", context_id="a"))
    assert error["code"] == "unknown_context"


@patient
@given(st.lists(st.sampled_from(["a", "\ud83d", "\ude00", "é", "\u200d", "😀"]), max_size=12))
def test_halves_of_surrogate_pairs_are_joined(pieces: list[str]) -> None:
    session = make_session()
    actions: list[Action] = []
    for piece in pieces:
        actions += session.receive(json.dumps({"type": "text", "context_id": "a", "text": piece}))
    if not pieces:
        return
    actions += send(session, "end", context_id="a")
    fed = "".join(action.text for action in actions if isinstance(action, Feed))
    whole = "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert fed == whole
    assert isinstance(actions[-1], Pass)


def test_ping_overtakes() -> None:
    (action,) = send(make_session(), "ping", t=17)
    assert isinstance(action, Send)
    assert action.urgent
    assert json.loads(action.frame) == {"type": "pong", "t": 17, "server_t": 12.5}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (events.Started(1.23456, 0.5), {"type": "started", "ttfa_ms": 1.235, "queue_ms": 0.5}),
        (events.Flushed("f", 9), {"type": "flushed", "flush_id": "f", "sample": 9}),
        (
            events.Words((events.TimedItem(0, "Hi", 5, None, 0, 2),)),
            {
                "type": "words",
                "items": [{"index": 0, "text": "Hi", "start": 5, "char_start": 0, "char_end": 2}],
            },
        ),
        (
            events.Phones((events.TimedItem(1, "ay", 5, 9, 1, 2),)),
            {
                "type": "phones",
                "items": [
                    {
                        "index": 1,
                        "text": "ay",
                        "start": 5,
                        "end": 9,
                        "char_start": 1,
                        "char_end": 2,
                    }
                ],
            },
        ),
        (
            events.Alignment(
                (events.AlignmentStep(1, 2, 0.5),), (events.AlignmentSymbol(2, "hh", 0, 1),)
            ),
            {
                "type": "alignment",
                "steps": [{"sample": 1, "position": 2, "hazard": 0.5}],
                "symbols": [{"position": 2, "phone": "hh", "char_start": 0, "char_end": 1}],
            },
        ),
        (
            events.Warning_("lexicon", "odd"),
            {"type": "warning", "code": "lexicon", "message": "odd"},
        ),
        (
            events.Failed("text_too_long", "wait", 20, False),
            {
                "type": "error",
                "code": "text_too_long",
                "message": "wait",
                "retry_after_ms": 20,
                "final": False,
            },
        ),
        (
            events.Opened(None, events.MelInfo(80, 200, 16000)),
            {
                "type": "opened",
                "handle": 1,
                "audio": None,
                "mel": {"n_mels": 80, "hop_length": 200, "sample_rate": 16000},
                "queue_position": 0,
            },
        ),
    ],
)
def test_events_become_messages(event: events.Event, expected: dict[str, Any]) -> None:
    session = make_session()
    record = admitted(send(session, "open", context_id="a"))
    (message,) = told(session.event(record, event))
    assert message == {**expected, "context_id": "a"}


def test_chunks_as_json_for_who_asked() -> None:
    session = make_session()
    send(session, "hello", transport="base64")
    record = admitted(send(session, "open", context_id="a"))
    (message,) = told(session.event(record, events.AudioChunk(0, 1, 0, b"\x00\xff", 1)))
    assert message == {
        "type": "audio",
        "context_id": "a",
        "seq": 0,
        "flags": 1,
        "first_sample": 0,
        "data": "AP8=",
    }
