"""PROTOCOL.md is run: what its examples send is sent, and the replies have the shape it shows."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from support.live_server import Client, LiveServer, client, live_server
from support.real_service import english, load

from streamtts import errors
from streamtts.protocol.frames import Header
from streamtts.protocol.messages import CLIENT_TYPES

DOCUMENT = (resources.files("streamtts") / "protocol" / "PROTOCOL.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```text\n(.*?)^```", DOCUMENT, re.M | re.S)
# Fields whose value is the client's own or says what happened; of others only the type counts.
LITERAL = {"type", "context_id", "code", "reason", "flush_id", "final", "t", "encoding", "chars"}


def assert_shape(got: Any, shown: Any, path: str = "$") -> None:
    """Same keys, same types, and the same literal values."""
    if isinstance(shown, dict):
        assert isinstance(got, dict), path
        assert set(got) - {"end"} == set(shown) - {"end"}, path
        for name, value in shown.items():
            if name in LITERAL and isinstance(value, str | bool | int):
                assert got[name] == value, f"{path}.{name}"
            elif name in got:
                assert_shape(got[name], value, f"{path}.{name}")
    elif isinstance(shown, list):
        assert isinstance(got, list), path
        for item in got:
            assert_shape(item, shown[0], f"{path}[]")
    elif isinstance(shown, bool | str) or shown is None:
        assert type(got) is type(shown), path
    else:
        assert isinstance(got, int if isinstance(shown, int) else int | float), path


def matches(got: dict[str, Any] | Header, shown: dict[str, Any] | Header) -> bool:
    """Whether a reply is the one that the document tells of next."""
    if isinstance(got, Header) or isinstance(shown, Header):
        return got == shown
    keys = ("type", "context_id", "code")
    first = (got.get("seq") == shown["seq"]) if "seq" in shown else True
    steps = bool(got.get("steps")) and bool(got.get("symbols")) if "steps" in shown else True
    return all(got.get(key) == shown.get(key) for key in keys) and first and steps


async def run(example: str, c: Client) -> None:
    for line in example.splitlines():
        sign, _, text = line.partition(" ")
        if sign == ">":
            await c.socket.send(text)
            continue
        assert sign == "<"
        binary = text.startswith("binary ")
        fields = json.loads(text.removeprefix("binary "))
        shown = Header(**fields) if binary else fields
        got = await c.receive()
        while not matches(got, shown):
            got = await c.receive()
        if isinstance(shown, dict):
            assert_shape(got, shown)


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server(lambda: load(english)) as running:
        yield running


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text[:40].replace("\n", " "))
def test_example(server: LiveServer, example: str) -> None:
    async def main() -> None:
        async with client(server) as c:
            await asyncio.wait_for(run(example, c), 60)

    asyncio.run(main())


def test_every_client_message_has_an_example() -> None:
    sent = set(re.findall(r'^> \{"type":"(\w+)"', "\n".join(EXAMPLES), re.M))
    assert sent >= set(CLIENT_TYPES)


def test_every_code_is_in_the_document() -> None:
    codes = {
        kind.code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.StreamTTSError)
    }
    for code in codes | {"nothing_to_speak", "settings_ignored", "lexicon"}:
        assert f"`{code}`" in DOCUMENT
