"""What PROTOCOL.md says of Wyoming is run, on the real service with a tiny voice."""

from __future__ import annotations

import asyncio
import json
import re
from importlib import resources
from typing import Any

import msgspec
import pytest
from support.real_service import TINY, english, load
from support.wyoming_live import wyoming_server
from support.wyoming_wire import ev
from wyoming.client import AsyncTcpClient
from wyoming.event import Event

from streamtts import config as schema
from streamtts.protocol.wyoming_framing import MAX_PAYLOAD_BYTES, max_json_bytes

DOCUMENT = (resources.files("streamtts") / "protocol" / "PROTOCOL.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```wyoming\n(.*?)^```", DOCUMENT, re.M | re.S)
END = "end"
SHIPPED = "rms"  # the voice that the document has; the test's own is another
LITERAL = {"code", "rate", "width", "channels", "name", "languages", "installed"}
LITERAL |= {"supports_synthesize_streaming"}


def assert_shape(got: Any, shown: Any, path: str = "$") -> None:
    """Same keys, same types; and the same values of what is not the example's own."""
    assert type(got) is type(shown), path
    if isinstance(shown, dict):
        assert set(got) == set(shown), path
        for name, value in shown.items():
            if name in LITERAL:
                assert got[name] == value, f"{path}.{name}"
            assert_shape(got[name], value, f"{path}.{name}")
    elif isinstance(shown, list):
        assert bool(got) == bool(shown), path
        for item in got:
            assert_shape(item, shown[0], f"{path}[]")


async def run(example: str, client: AsyncTcpClient) -> None:
    read: list[Event] = []
    for line in example.splitlines():
        sign, _, text = line.partition(" ")
        if sign == ">":
            fields = json.loads(text)
            await client.write_event(ev(fields["type"], **fields.get("data", {})))
            continue
        assert sign == "<"
        shown = None if text == END else json.loads(text)
        while True:
            got = await asyncio.wait_for(client.read_event(), 60)
            if shown is None or got is None:
                assert (shown, got) == (None, None), line
                break
            read.append(got)
            if got.type == shown["type"]:
                assert_shape(got.data, shown.get("data", {}))
                assert bool(got.payload) == (got.type == "audio-chunk")
                break
            assert got.type == "audio-chunk", (got.type, line)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text[:40].replace("\n", " "))
def test_example(example: str) -> None:
    async def main() -> None:
        service, _ = await asyncio.to_thread(load, english)
        async with wyoming_server(service=service, voices=(TINY,)) as live:
            async with live.client() as client:
                await asyncio.wait_for(run(example.replace(SHIPPED, TINY.id), client), 60)

    asyncio.run(main())


def test_there_are_examples_of_every_event() -> None:
    assert len(EXAMPLES) == 3
    shown = set(re.findall(r'^[<>] \{"type":"([\w-]+)"', "\n".join(EXAMPLES), re.M))
    assert shown == {
        "describe", "info", "ping", "pong", "error", "synthesize", "synthesize-start",
        "synthesize-chunk", "synthesize-stop", "synthesize-stopped", "audio-start", "audio-chunk",
        "audio-stop",
    }  # fmt: skip


def test_the_limits_are_those_of_the_code() -> None:
    config = schema.Config()
    for number in (max_json_bytes(config.limits.chars_per_context), MAX_PAYLOAD_BYTES):
        assert f"{number:,} bytes" in DOCUMENT
    section = DOCUMENT[DOCUMENT.index("## Wyoming") :]
    for key, value in (
        ("server.header_timeout_s`", config.server.header_timeout_s),
        ("server.slow_reader_s`", config.server.slow_reader_s),
        ("limits.contexts`", config.limits.contexts),
        ("wyoming.connections`", config.wyoming.connections),
        ("wyoming.idle_s`", config.wyoming.idle_s),
    ):
        assert f"`{key}, {value:g}" in section
    assert f"{config.wyoming.host}:{config.wyoming.port}" in section
    for name in msgspec.structs.asdict(config.wyoming):
        assert name in section or name in ("text_format", "host", "port")
