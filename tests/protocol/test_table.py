"""Every (state, message) pair: what comes out, and where the context stands afterwards."""

from __future__ import annotations

import json

import msgspec
import pytest

from streamtts import events
from streamtts.protocol.actions import Action, Admit, Feed, Pass, Send
from streamtts.protocol.session import ServerSession
from streamtts.protocol.table import FREE, KINDS, LIVE, TABLE, State


class Settings(msgspec.Struct, frozen=True):
    speed: float = 1.0


MESSAGES = {
    "open": {"type": "open", "context_id": "a"},
    "text": {"type": "text", "context_id": "a", "text": "x"},
    "flush": {"type": "flush", "context_id": "a", "flush_id": "f"},
    "end": {"type": "end", "context_id": "a"},
    "cancel": {"type": "cancel", "context_id": "a"},
    "playback": {"type": "playback", "context_id": "a", "played_samples": 1},
}
CANCELLED = events.Cancelled(0, 0, 0, 0, "")
DONE = events.Done("end", 0, 0, 0, 0, 0, 0, 0, 0)

# What each state does with open, text, flush, end, cancel, playback: A admit, AF admit and feed,
# F feed, P pass on, - nothing, u unknown_context, b bad_field; and the state afterwards.
EXPECTED = {
    State.ABSENT: "A:open AF:open u:absent u:absent u:absent u:absent",
    State.OPEN: "-:open F:open P:open P:ending P:cancelling P:open",
    State.ENDING: "b:ending b:ending -:ending -:ending P:cancelling P:ending",
    State.CANCELLING: (
        "b:cancelling -:cancelling -:cancelling -:cancelling -:cancelling -:cancelling"
    ),
    State.DONE: "A:open AF:open -:done -:done -:done -:done",
    State.GONE: "A:open u:gone_told -:gone -:gone -:gone -:gone",
    State.GONE_TOLD: "A:open -:gone_told -:gone_told -:gone_told -:gone_told -:gone_told",
}


def make_session() -> ServerSession[Settings]:
    return ServerSession(
        max_contexts=8, settings=lambda given: Settings(**given), clock=lambda: 1234.5
    )


def receive(session: ServerSession[Settings], kind: str) -> list[Action]:
    return session.receive(json.dumps(MESSAGES[kind]))


def session_in(state: State) -> ServerSession[Settings]:
    """A session whose context "a" is in a state, brought there as a client would."""
    session = make_session()
    if state is State.ABSENT:
        return session
    receive(session, "open")
    record = session.live[0]
    if state is State.ENDING:
        receive(session, "end")
    elif state is State.CANCELLING:
        receive(session, "cancel")
    elif state is State.DONE:
        session.event(record, DONE)
    elif state in (State.GONE, State.GONE_TOLD):
        receive(session, "cancel")
        session.event(record, CANCELLED)
        if state is State.GONE_TOLD:
            receive(session, "text")
    assert session.state("a") is state
    return session


def letters(actions: list[Action]) -> str:
    found = ""
    for action in actions:
        match action:
            case Admit():
                found += "A"
            case Feed():
                found += "F"
            case Pass():
                found += "P"
            case Send(frame=str() as frame):
                error = json.loads(frame)
                assert error["type"] == "error"
                assert error["final"] is False
                found += {"unknown_context": "u", "bad_field": "b"}[error["code"]]
    return found or "-"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", State)
def test_every_pair(state: State, kind: str) -> None:
    session = session_in(state)
    actions = receive(session, kind)
    expected = EXPECTED[state].split()[KINDS.index(kind)]
    assert f"{letters(actions)}:{session.state('a').value}" == expected


def test_the_table_is_whole() -> None:
    assert set(TABLE) == {(state, kind) for state in State for kind in KINDS}
    assert LIVE | FREE == set(State)
    assert set(EXPECTED) == set(State)


@pytest.mark.parametrize("state", State)
def test_a_malformed_open_ends_only_what_is_not_alive(state: State) -> None:
    session = session_in(state)
    (action,) = session.receive('{"type":"open","context_id":"a","speed":"fast"}')
    assert isinstance(action, Send)
    error = json.loads(action.frame)
    assert (error["code"], error["final"]) == ("bad_field", state in FREE)
    assert session.state("a") is (State.GONE if state in FREE else state)


@pytest.mark.parametrize("state", State)
def test_a_malformed_text_changes_nothing(state: State) -> None:
    session = session_in(state)
    (action,) = session.receive('{"type":"text","context_id":"a","text":7}')
    assert isinstance(action, Send)
    assert json.loads(action.frame)["final"] is False
    assert session.state("a") is state
