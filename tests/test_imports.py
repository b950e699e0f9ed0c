"""Who may import whom, read from the sources; and what an import must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "streamtts"

# A room may import the rooms of the rows above its own; `service` is spread over several files.
LADDER: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("config", "events", "tally"),
    ("text", "audio", "protocol", "nn", "stats"),
    ("settings",),
    ("model", "vocoder"),
    ("voice",),
    ("engine",),
    ("service",),
    ("speech",),
    ("server", "mqtt"),
    ("app", "say"),
    ("cli",),
    ("__main__",),
)
SERVICE_FILES = frozenset(
    {"service", "context", "inbox", "reader", "textwork", "delivery", "chunks", "timing"}
)
ONLY: dict[str, frozenset[str]] = {
    "client": frozenset({"client", "protocol", "audio", "errors"}),
    "clients": frozenset({"client", "protocol", "audio", "errors"}),
}
NEVER: dict[str, frozenset[str]] = {
    "server": frozenset({"engine", "model", "vocoder", "nn", "voice", "speech", "torch"}),
    "text": frozenset({"torch"}),
    "audio": frozenset({"torch"}),
    "protocol": frozenset({"torch", "asyncio", "socket", "websockets"}),
    "client": frozenset({"torch"}),
    "clients": frozenset({"torch"}),
    "service": frozenset({"asyncio", "socket", "websockets", "starlette"}),
    "engine": frozenset({"asyncio", "socket", "websockets", "starlette"}),
}
TRAINING_ONLY = frozenset({"parselmouth", "pesq", "pystoi", "pysptk", "pocketsphinx", "matplotlib"})
MQTT_FILES = frozenset({"streamtts/mqtt/adapter.py", "clients/speaker.py"})
PICTURE_FILES = frozenset({"clients/load_plot.py"})  # matplotlib, where it is there


def sources() -> list[Path]:
    found = [*PACKAGE.rglob("*.py"), *(ROOT / "clients").rglob("*.py")]
    assert len(found) > 40
    return sorted(found)


def room_of(parts: tuple[str, ...]) -> str:
    """The room of a module: `streamtts.text.frontend` is in `text`."""
    if len(parts) < 2:
        return "streamtts"
    return "service" if parts[1] in SERVICE_FILES else parts[1]


def imports(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Every module that a file imports, wherever in it, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            parts = tuple((node.module or "").split("."))
            if parts == ("streamtts",):
                for alias in node.names:
                    yield node.lineno, (*parts, alias.name)
            else:
                yield node.lineno, parts


def own_room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "clients" if parts[0] == "clients" else room_of(parts)


def may_import(room: str, other: str) -> bool:
    """Whether a room may import another one of this package."""
    if other in (room, "streamtts", "__version__"):
        return True
    if room in ONLY:
        return other in ONLY[room]
    rank = {name: i for i, names in enumerate(LADDER) for name in names}
    if room == "train":
        return other in rank and rank[other] <= rank["speech"]
    if other == "train":
        return room == "cli"
    if other == "client":
        return room in ("cli", "__main__")
    assert room in rank, f"{room} has no place in the ladder"
    return other in rank and rank[other] < rank[room]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_ladder(path: Path) -> None:
    room = own_room(path)
    name = path.relative_to(ROOT).as_posix()
    for line, parts in imports(path):
        where = f"{name}:{line} imports {'.'.join(parts)}"
        if parts[0] == "streamtts":
            other = room_of(parts)
            assert room == "streamtts" or may_import(room, other), where
            assert other not in NEVER.get(room, ()), where
        else:
            assert parts[0] not in NEVER.get(room, ()), where
            drawn = parts[0] == "matplotlib" and name in PICTURE_FILES
            assert drawn or parts[0] not in TRAINING_ONLY or room == "train", where
            assert parts[0] != "aiomqtt" or name in MQTT_FILES, where


@pytest.mark.parametrize(
    ("room", "other"),
    [
        ("model", "vocoder"),
        ("vocoder", "model"),
        ("text", "audio"),
        ("protocol", "audio"),
        ("engine", "service"),
        ("service", "server"),
        ("server", "app"),
        ("server", "train"),
        ("client", "server"),
        ("client", "config"),
        ("clients", "text"),
        ("train", "server"),
    ],
)
def test_the_ladder_has_teeth(room: str, other: str) -> None:
    assert not may_import(room, other)


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that are loaded after a statement in a fresh interpreter."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def test_importing_streamtts_loads_neither_torch_nor_asyncio() -> None:
    loaded = loaded_by("import streamtts")
    assert "streamtts" in loaded
    assert not loaded & {"torch", "asyncio", "numpy"}


def test_the_command_line_loads_what_a_command_needs_only() -> None:
    loaded = loaded_by("from streamtts import cli; cli.make_parser()")
    assert not loaded & {"torch", "uvicorn", "starlette", "gruut"}


def test_the_server_loads_no_torch() -> None:
    assert "torch" not in loaded_by("import streamtts.server.lifecycle")


def test_clients_load_no_torch() -> None:
    scripts = sorted((ROOT / "clients").glob("*.py"))
    assert scripts
    for script in scripts:
        path = f"import sys; sys.path.insert(0, {str(script.parent)!r})"  # as for a script
        code = f"{path}; import runpy; runpy.run_path({str(script)!r}, run_name='imported')"
        loaded = loaded_by(code)
        is_command = "__main__" in script.read_text(encoding="utf-8")  # others are its parts
        assert "websockets" in loaded or not is_command
        assert not loaded & {"torch", "uvicorn", "starlette", "gruut", "soxr"}
