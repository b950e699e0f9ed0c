"""A parent and its workers: real processes, in front of the fake service."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from support.fake_worker import PROGRAM
from support.live_server import Client
from support.live_workers import LiveWorkers, closing, finish, live_workers
from websockets.exceptions import ConnectionClosed

from streamtts import config as schema
from streamtts.app import make_bridge
from streamtts.cli import main
from streamtts.errors import ConfigError, StreamTTSError
from streamtts.server.gateway import Gateway
from streamtts.server.process import ended, pause
from streamtts.server.security import Keys
from streamtts.server.workers import serve

WHOLE = 4 * 640  # samples of what a speaker says


async def survives(c: Client) -> bool:
    try:
        return await finish(c) == WHOLE
    except (ConnectionClosed, OSError):
        return False


def test_a_killed_worker_takes_only_its_own_streams_with_it() -> None:
    async def scene() -> None:
        async with live_workers() as server, contextlib.AsyncExitStack() as stack:
            clients = await server.speakers(stack, 6)
            assert await server.samples("streamtts_contexts") == {"0": 3, "1": 3}
            assert await server.samples("streamtts_workers") == {"": 2}
            dead = server.pid(0)
            os.kill(dead, signal.SIGKILL)
            await server.until(lambda: 0 not in server.parent.processes)
            again = await server.speakers(stack, 1)  # while there is only the other one
            await server.until(lambda: server.parent.ready == 2)
            assert server.pid(0) != dead
            fresh = await server.speakers(stack, 2)  # 4 and 0 before: both to the new one
            assert await server.samples("streamtts_contexts") == {"0": 2, "1": 4}
            assert await server.samples("streamtts_worker_restarts_total") == {"": 1}
            outcomes = await asyncio.gather(*map(survives, clients))
            assert outcomes.count(False) == 3

            living = [*again, *fresh]  # what is being said everywhere is said to the end
            pids = [server.pid(0), server.pid(1)]
            server.parent.signalled()
            await server.until(lambda: server.parent.ready == 0)
            answer = await server.get("/readyz")
            assert (answer.status_code, answer.text) == (503, "draining\n")
            assert [await finish(c) for c in living] == [WHOLE] * 3
            assert [await closing(c) for c in living] == [1001] * 3
            await server.ended()
            for pid in pids:
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("voice", "message"),
    [
        ("bad", "voice bad: acoustic.safetensors has the wrong hash"),
        ("crash", "ZeroDivisionError: nobody expected this"),
    ],
)
def test_a_voice_that_cannot_be_loaded_ends_it_all(
    voice: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        server = LiveWorkers(f'[voice]\nid = "{voice}"')
        with server.sock, pytest.raises(StreamTTSError, match=f"^{re.escape(message)}$"):
            await server.ended()
        assert server.parent.processes == {}

    asyncio.run(scene())
    tracebacks = [r for r in caplog.records if "Traceback" in r.getMessage()]
    assert len(tracebacks) == (voice == "crash")


def test_workers_that_die_at_once_are_no_endless_loop() -> None:
    async def scene() -> None:
        server = LiveWorkers(program=("-c", "import os; os.abort()"))
        with (
            server.sock,
            pytest.raises(StreamTTSError, match=r"^worker \d was killed by SIGABRT before it was"),
        ):
            await server.ended()

    asyncio.run(scene())


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = schema.parse(f"[server]\nport = {port}\nworkers = 2")
        with pytest.raises(ConfigError, match=f"{port} is in use; stop what listens there"):
            serve(config, PROGRAM)


def test_the_pauses_between_short_lives() -> None:
    assert [pause(deaths) for deaths in range(9)] == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]
    assert pause(10_000) == 30


def test_the_end_of_a_worker_in_words() -> None:
    assert [ended(status) for status in (0, 3, -9)] == [
        "has ended",
        "ended with status 3",
        "was killed by SIGKILL",
    ]


def test_the_parent_loads_no_model() -> None:
    code = "import sys, streamtts.server.workers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_number_of_workers_that_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--workers", "0", "--port", "0"]) == 1
    assert capsys.readouterr().err == "streamtts: workers: expected int >= 1\n"


@pytest.mark.parametrize(
    ("mqtt", "number", "bridge"),
    [
        ("", 0, False),
        ('host = "broker"', None, True),
        ('host = "broker"', 0, True),
        ('host = "broker"', 1, False),  # or it would all be spoken twice
        ('host = "broker"\nfleet = true', 1, True),
    ],
)
def test_who_has_the_bridge(mqtt: str, number: int | None, bridge: bool) -> None:
    gateway = Gateway(schema.parse(f"[mqtt]\n{mqtt}"), Keys(()))
    assert (make_bridge(gateway, number) is not None) == bridge
