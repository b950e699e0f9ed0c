"""Wyoming's framing: however it is cut, and whatever a peer claims."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.wyoming_wire import ev, unwire, wire
from wyoming.event import Event
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeVoice

from streamtts.errors import BadField, BadJSON, RequestError
from streamtts.protocol.wyoming_framing import MAX_PAYLOAD_BYTES, Parser, encode, max_json_bytes

MESSAGES = [
    ev("describe"),
    Synthesize(text="Grüße 🎺\n", voice=SynthesizeVoice(name="a", speaker="b")).event(),
    SynthesizeChunk(text="").event(),
    Event("audio-chunk", {"rate": 16000}, b'\n{"type":"x"}\n' * 20),  # skipped
    ev("synthesize-stop"),
]
WIRE = b"".join(wire(message) for message in MESSAGES)


def parse(*pieces: bytes, max_bytes: int = 4096) -> list[Event]:
    parser = Parser(max_bytes)
    return [event for piece in pieces for event in parser.feed(piece)]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, len(WIRE)), max_size=30).map(sorted))
def test_any_cut(cuts: list[int]) -> None:
    pieces = [WIRE[a:b] for a, b in zip([0, *cuts], [*cuts, len(WIRE)], strict=True)]
    assert [(e.type, e.data) for e in parse(*pieces)] == [(m.type, m.data) for m in MESSAGES]


def test_byte_by_byte() -> None:
    parser = Parser(4096)
    found = []
    for i in range(len(WIRE)):
        for event in parser.feed(WIRE[i : i + 1]):
            found.append(event.type)
            assert not parser.partial
        assert parser.partial == (WIRE[: i + 1] not in whole_prefixes())
    assert found == [message.type for message in MESSAGES]


def whole_prefixes() -> set[bytes]:
    prefixes, at = set(), 0
    for message in MESSAGES:
        at += len(wire(message))
        prefixes.add(WIRE[:at])
    return prefixes


def test_data_in_the_line_and_behind_it() -> None:
    (event,) = parse(b'{"type":"t","data":{"a":1,"b":2},"data_length":7,"more":0}\n{"b":3}')
    assert event.data == {"a": 1, "b": 3}
    (event,) = parse(b'{"type":"t","data":null,"data_length":null,"payload_length":0}\r\n')
    assert (event.data, event.payload) == ({}, None)


def test_half_a_surrogate_pair_comes_through() -> None:
    (event,) = parse(b'{"type":"t","data":{"text":"\\ud83d"}}\n')
    assert event.data == {"text": "\ud83d"}


def test_a_payload_is_skipped_and_nothing_else() -> None:
    (chunk, last) = parse(b'{"type":"c","payload_length":3}\nabc{"type":"d"}\n')
    assert (chunk.type, chunk.payload, last.type) == ("c", None, "d")


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"GET / HTTP/1.1\r\n", BadJSON, "the line is not JSON"),
        (b"\n", BadJSON, "the line is not JSON"),
        (b"\xff\xfe\n", BadJSON, "the line is not JSON"),
        (b"[1]\n", BadJSON, "the line is no JSON object"),
        (b'{"type":NaN}\n', BadJSON, "NaN is no JSON number"),
        (b'{"a":' + b"[" * 4000 + b"\n", BadJSON, "nested too deeply"),
        (b"{}\n", BadField, "type: a message needs one"),
        (b'{"type":5}\n', BadField, "type: a message needs one"),
        (b'{"type":"t","data":[1]}\n', BadField, "data: must be an object, is [1]"),
        (b'{"type":"t","data_length":-1}\n', BadField, "data_length: must be a number of bytes"),
        (b'{"type":"t","data_length":"9"}\n', BadField, 'a number of bytes, is "9"'),
        (b'{"type":"t","data_length":true}\n', BadField, "a number of bytes, is true"),
        (b'{"type":"t","data_length":1.5}\n', BadField, "a number of bytes, is 1.5"),
        (b'{"type":"t","data_length":4097}\n', BadField, "4097 is more than the 4096 bytes"),
        (b'{"type":"t","payload_length":1000000000}\n', BadField, "1000000000 is more than the"),
        (b'{"type":"t","payload_length":1' + b"0" * 3000 + b"}\n", BadField, "payload_length: 10"),
        (b'{"type":"t","payload_length":1' + b"0" * 4000 + b"}\n", BadField, "payload_length: 10"),
        (b'{"type":"t","data_length":3}\n[1]', BadJSON, "data is no JSON object"),
        (b'{"type":"t","data_length":3}\n{"a"', BadJSON, "data is not JSON"),
        (b"x" * 4097, BadField, "a line of more than 4096 bytes"),
    ],
)
def test_what_is_refused(data: bytes, kind: type[RequestError], message: str) -> None:
    with pytest.raises(kind) as caught:
        parse(data)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200
    with pytest.raises(kind):  # and however it is cut
        parse(*(data[i : i + 3] for i in range(0, len(data), 3)))


def test_events_before_a_wrong_one_are_not_lost() -> None:
    parsed = Parser(100).feed(b'{"type":"a"}\n{"type":"b"}\nnonsense\n')
    assert [next(parsed).type, next(parsed).type] == ["a", "b"]
    with pytest.raises(BadJSON):
        next(parsed)


def test_nothing_is_allocated_for_what_is_only_announced() -> None:
    parser = Parser(max_json_bytes(20_000))
    tracemalloc.start()
    try:
        line = b'{"type":"t","data_length":%d,"payload_length":%d}\n'
        assert list(parser.feed(line % (max_json_bytes(20_000), MAX_PAYLOAD_BYTES))) == []
        announced = tracemalloc.get_traced_memory()[1]
        with pytest.raises(BadField):
            list(Parser(4096).feed(line % (0, 10**9)))
        refused = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert announced < 100_000
    assert refused < 100_000


def test_a_payload_costs_no_memory() -> None:
    parser = Parser(4096)
    piece = bytes(16_384)
    head = b'{"type":"audio-chunk","payload_length":%d}\n' % MAX_PAYLOAD_BYTES
    tracemalloc.start()
    try:
        assert list(parser.feed(head)) == []
        found = [e for _ in range(MAX_PAYLOAD_BYTES // len(piece)) for e in parser.feed(piece)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [event.type for event in found] == ["audio-chunk"]
    assert not parser.partial
    assert peak < 100_000


@pytest.mark.parametrize("event", MESSAGES, ids=lambda event: event.type)
def test_the_package_reads_what_we_write(event: Event) -> None:
    assert unwire(encode(event)) == [event]


def test_the_longest_text_fits_however_it_is_written() -> None:
    text = "🎺" * 20_000
    parser = Parser(max_json_bytes(20_000))
    escaped = b'{"type":"synthesize","data":{"text":"%s"}}\n' % (b"\\ud83c\\udfba" * 20_000)
    both = [*parser.feed(wire(Synthesize(text=text).event())), *parser.feed(escaped)]
    assert [event.data["text"] for event in both] == [text, text]
