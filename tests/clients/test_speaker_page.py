"""streamtts/configs/SPEAKERS.md: its commands are typed as it prints them."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mqtt.conftest as brokers
import pytest
from support import real_service
from support.bridges import bridge
from support.client_modules import client_module
from support.fake_door import FakeDoor
from support.mosquitto import GUARD_S, Device, Mosquitto

from streamtts.cli import make_parser
from streamtts.mqtt.backend import LocalBackend

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "streamtts" / "configs"
PAGE = (CONFIGS / "SPEAKERS.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```(sh mqtt|sh rhasspy|sh|text)\n(.*?)```", re.S)
SAME = ("type", "id", "state", "server", "reason", "siteId", "sessionId")
PROBE = "up?"
broker = brokers.broker


def blocks(kind: str) -> list[tuple[str, list[str]]]:
    """The blocks of commands of a kind, each with its output if that is shown."""
    found = [(match[1], match[2].strip()) for match in BLOCK.finditer(PAGE)]
    after = [*found[1:], ("", "")]
    return [
        (commands, shown.splitlines() if what == "text" else [])
        for (name, commands), (what, shown) in zip(found, after, strict=True)
        if name == kind
    ]


def tool(command: str) -> argparse.Namespace:
    """Reads a command as the programs of mosquitto do."""
    made = argparse.ArgumentParser(add_help=False)
    made.add_argument("program", choices=("mosquitto_pub", "mosquitto_sub"))
    made.add_argument("-h", dest="host", required=True)
    made.add_argument("-p", dest="port")
    made.add_argument("-q", dest="qos", type=int, default=0)
    made.add_argument("-t", dest="topics", action="append", required=True)
    made.add_argument("-m", dest="message", default="")
    made.add_argument("-v", dest="verbose", action="store_true")
    read = made.parse_args(shlex.split(command))
    assert read.host == "localhost"
    return read


class Terminal:
    """Somebody who types the commands; with paho where the programs are not installed."""

    def __init__(self, port: int, *, real: bool) -> None:
        self._port = port
        self._real = real
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._device: Device | None = None

    @contextlib.contextmanager
    def sub(self, command: str) -> Iterator[None]:
        read = tool(command)
        assert read.verbose
        if not self._real:
            self._device = Device(self._port, *read.topics)
            try:
                yield
            finally:
                self._device.close()
            return
        process = subprocess.Popen(self._words(command), stdout=subprocess.PIPE, text=True)
        reader = threading.Thread(target=self._read, args=(process,))
        reader.start()
        probe = read.topics[0].replace("#", "probe")
        prober = Device(self._port, probe)
        try:
            while not any(PROBE in line for line in self._lines):
                prober.say(probe, PROBE.encode())
                with self._changed:
                    self._changed.wait(0.05)
            yield
        finally:
            prober.close()
            process.terminate()
            process.wait(GUARD_S)
            reader.join()
            assert process.stdout is not None
            process.stdout.close()

    def pub(self, command: str) -> None:
        read = tool(command)
        if self._real:
            subprocess.run(self._words(command), check=True, timeout=GUARD_S)
            return
        assert self._device is not None
        self._device.say(read.topics[0], read.message.encode(), qos=read.qos)

    def wait(self, true: Callable[[list[str]], Any]) -> None:
        if self._device is not None:
            self._device.wait(lambda got: true([f"{g.topic} {g.payload.decode()}" for g in got]))
            return
        with self._changed:
            found = self._changed.wait_for(lambda: true(self._lines), GUARD_S)
            assert found, "\n".join(self._lines)

    def _words(self, command: str) -> list[str]:
        program, *words = shlex.split(command)
        words = [word for i, word in enumerate(words) if "-p" not in (word, *words[:i][-1:])]
        path = shutil.which(program)
        assert path is not None
        return [path, "-p", str(self._port), *words]

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()


def is_like(line: str, shown: str) -> bool:
    """Whether a line is what the page shows, but for numbers."""
    (topic, _, payload), (shown_topic, _, shown_payload) = line.partition(" "), shown.partition(" ")
    if topic != shown_topic or payload == PROBE:
        return False
    fields, expected = json.loads(payload), json.loads(shown_payload)
    same = all(fields.get(name) == expected.get(name) for name in SAME)
    return same and set(fields) == set(expected)


def has_all(lines: list[str], shown: list[str]) -> bool:
    """Whether all that is shown came, in that order for each request."""
    at = 0
    for line in lines:
        if at < len(shown) and is_like(line, shown[at]):
            at += 1
    return at == len(shown)


def begun(command: str) -> Callable[[list[str]], bool]:
    """What a person waits for before the next command."""
    fields = json.loads(tool(command).message)
    topic = tool(command).topics[0]
    if not topic.startswith("streamtts/") or not topic.endswith("/say"):
        return lambda lines: True
    wanted = "accepted" if fields.get("stream") else "started"
    about = f'streamtts/kitchen/event/{fields["id"]} {{"type":"{wanted}"'
    return lambda lines: any(line.startswith(about) for line in lines)


def type_all(terminal: Terminal, kind: str) -> None:
    """Types every block of a kind; the first command is to be left running."""
    listen, *_ = (commands.splitlines()[0] for commands, _ in blocks(kind))
    with terminal.sub(listen):
        for commands, shown in blocks(kind):
            for command in commands.splitlines():
                if command != listen:
                    terminal.pub(command)
                    terminal.wait(begun(command))
            terminal.wait(lambda lines, shown=shown: has_all(lines, shown))


@pytest.fixture(scope="module")
def voice() -> Iterator[LocalBackend]:
    service, (info,) = real_service.load()
    named = type(info)(id="rms", name="", language="en-US", sample_rate=16000)
    yield LocalBackend(FakeDoor(service, (named,)), 20_000)
    service.close()


@pytest.mark.parametrize("real", [True, False], ids=["mosquitto_pub", "paho"])
@pytest.mark.parametrize("kind", ["sh mqtt", "sh rhasspy"])
def test_the_commands_do_what_the_page_says(
    broker: Mosquitto, voice: LocalBackend, kind: str, real: bool
) -> None:
    if real and None in (shutil.which("mosquitto_pub"), shutil.which("mosquitto_sub")):
        pytest.skip("mosquitto_pub and mosquitto_sub are not installed (mosquitto-clients)")
    assert blocks(kind)

    async def main() -> None:
        options = {"prefix": "streamtts", "server_id": "house", "hermes": kind == "sh rhasspy"}
        async with bridge(broker.port, voice, **options):  # type: ignore[arg-type]
            await asyncio.to_thread(type_all, Terminal(broker.port, real=real), kind)

    asyncio.run(main())


def test_the_other_commands_and_files_are_there() -> None:
    speaker = client_module("speaker").parser()
    known = {option for action in speaker._actions for option in action.option_strings}
    seen = set()
    for commands, _ in blocks("sh"):
        for line in commands.splitlines():
            words = shlex.split(line.split("|")[-1])
            if words[0] == "streamtts":
                parsed = make_parser().parse_args(words[1:])
                assert (CONFIGS / parsed.config).is_file()
            else:
                assert words[:2] == ["python", "clients/speaker.py"]
                assert {word for word in words if word.startswith("-")} <= known
            seen.add(words[0])
    assert seen == {"streamtts", "python"}
    for name in re.findall(r"`(clients/\w+\.py)`", PAGE):
        assert (ROOT / name).is_file()
