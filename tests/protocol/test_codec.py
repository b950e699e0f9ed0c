"""Frames that are no messages, each with the line that its sender gets; and the header."""

from __future__ import annotations

import json
import typing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamtts.errors import BadField, BadJSON
from streamtts.protocol import messages
from streamtts.protocol.codec import decode_client, decode_server, encode
from streamtts.protocol.frames import HEADER_BYTES, Header, pack_header, unpack_header
from streamtts.protocol.messages import CLIENT_TYPES, ClientMessage, Malformed

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

OPEN = '{"type":"open","context_id":"a",'


@pytest.mark.parametrize(
    ("frame", "code", "message"),
    [
        ("", "bad_json", "not JSON"),
        ("{bad", "bad_json", "not JSON"),
        ("[]", "bad_json", "a message is a JSON object"),
        ("5", "bad_json", "a message is a JSON object"),
        ("null", "bad_json", "a message is a JSON object"),
        ("[" * 100_000, "bad_json", "nested too deeply"),
        ('{"a":' * 100_000, "bad_json", "nested too deeply"),
        (OPEN + '"speed":NaN}', "bad_json", "NaN is no JSON number"),
        ("{}", "unknown_type", "there is no `type`; clients send hello, open"),
        ('{"type":5}', "unknown_type", "unknown type 5"),
        ('{"type":"say"}', "unknown_type", 'unknown type "say"; clients send hello, open'),
        ('{"type":"ready"}', "unknown_type", 'unknown type "ready"'),
        (b"\x00\x01", "unknown_type", "text frames only"),
        ('{"type":"text","text":"x"}', "bad_field", "context_id: is missing"),
        ('{"type":"text","context_id":"a"}', "bad_field", "text: is missing"),
        (
            '{"type":"text","context_id":"a","text":5}',
            "bad_field",
            "text: must be a string, is an integer",
        ),
        (
            '{"type":"text","context_id":"a","text":null}',
            "bad_field",
            "text: must be a string, is null",
        ),
        ('{"type":"end","context_id":""}', "bad_field", "context_id: must be 1 to 128"),
        (json.dumps({"type": "end", "context_id": "x" * 129}), "bad_field", "1 to 128 characters"),
        (OPEN + '"speed":"fast"}', "bad_field", "speed: must be a number, is a string"),
        (OPEN + '"seed":true}', "bad_field", "seed: must be an integer, is true or false"),
        (OPEN + '"seed":1.5}', "bad_field", "seed: must be an integer, is a number"),
        (OPEN + '"normalize":1}', "bad_field", "normalize: must be true or false"),
        (OPEN + '"streams":"audio"}', "bad_field", "streams: must be a list, is a string"),
        (OPEN + '"streams":[5]}', "bad_field", "streams[0]: must be a string"),
        (OPEN + '"audio":5}', "bad_field", "audio: must be an object, is an integer"),
        (OPEN + '"audio":{"sample_rate":"x"}}', "bad_field", "audio.sample_rate: must be an int"),
        (
            OPEN + '"on_conflict":"q"}',
            "bad_field",
            'on_conflict: is "q"; allowed are queue, preempt, parallel',
        ),
        ('{"type":"hello","transport":1}', "bad_field", "transport: is 1; allowed are binary, b"),
        (
            '{"type":"playback","context_id":"a","played_samples":-1}',
            "bad_field",
            "played_samples: must be an integer from 0",
        ),
        ('{"type":"ping","t":[]}', "bad_field", "t: must be"),
    ],
)
def test_what_is_no_message_is_explained(frame: str | bytes, code: str, message: str) -> None:
    found = decode_client(frame)
    assert isinstance(found, Malformed)
    assert found.code == code
    assert message in found.message
    assert len(found.message) < 200
    assert "\n" not in found.message


def test_unknown_fields_are_ignored() -> None:
    found = decode_client('{"type":"end","context_id":"a","colour":"red","more":{"x":[1]}}')
    assert found == messages.End(context_id="a")


def test_null_means_not_given() -> None:
    assert decode_client(OPEN + '"voice":null,"speed":null,"audio":null}') == messages.Open(
        context_id="a"
    )


def test_half_a_surrogate_pair_is_kept_in_text_and_replaced_elsewhere() -> None:
    assert decode_client(r'{"type":"text","context_id":"\ud83d","text":"a\ud83d"}') == (
        messages.Text(context_id="\ufffd", text="a\ud83d")
    )


def test_a_context_id_is_found_even_in_a_bad_message() -> None:
    found = decode_client('{"type":"open","context_id":"a","speed":"x"}')
    assert isinstance(found, Malformed)
    assert (found.type, found.context_id) == ("open", "a")


def test_every_type_is_listed() -> None:
    tags = [kind.__struct_config__.tag for kind in typing.get_args(ClientMessage)]
    assert list(CLIENT_TYPES) == tags


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
FIELDS = ["context_id", "text", "speed", "audio", "streams", "t", "played_samples", "on_conflict"]


@patient
@given(st.sampled_from([*CLIENT_TYPES, "x"]), st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_no_json_object_is_an_exception(kind: str, fields: dict[str, object]) -> None:
    found = decode_client(json.dumps({"type": kind, **fields}))
    if isinstance(found, Malformed):
        assert found.message
    else:
        assert decode_client(encode(found)) == found


@patient
@given(st.text(max_size=20) | st.binary(max_size=20))
def test_no_frame_is_an_exception(frame: str | bytes) -> None:
    assert decode_client(frame) is not None


def test_a_client_reads_what_a_server_writes() -> None:
    pong = messages.Pong(t="x", server_t=2.5)
    assert decode_server(encode(pong)) == pong
    with pytest.raises(BadJSON):
        decode_server("{")
    with pytest.raises(BadField):
        decode_server('{"type":"hello"}')


@patient
@given(
    st.integers(0, 31), st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
)
def test_header_there_and_back(flags: int, handle: int, seq: int, first: int) -> None:
    packed = pack_header(flags, handle, seq, first)
    assert len(packed) == HEADER_BYTES
    assert unpack_header(packed + b"payload") == Header(flags, handle, seq, first)


def test_header_layout() -> None:
    assert pack_header(2, 0x0102, 0x03040506, 0x0708090A0B0C0D0E) == bytes(
        [1, 2, 2, 1, 6, 5, 4, 3, 14, 13, 12, 11, 10, 9, 8, 7]
    )


@pytest.mark.parametrize("frame", [b"", bytes(15), bytes(16)])
def test_a_bad_header_is_refused(frame: bytes) -> None:
    with pytest.raises(BadField):
        unpack_header(frame)
