"""The wheel, installed and not editable, serves from another folder and carries what it needs."""

import asyncio
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("streamtts", "pyproject.toml", "README.md", "LICENSE")
START_LIMIT_S = 120.0


def why_not():
    """A plain reason why no wheel can be built here, or None."""
    needs = "building a wheel without the network needs setuptools 77 or newer and pip"
    if importlib.util.find_spec("pip") is None or importlib.util.find_spec("setuptools") is None:
        return needs
    major = int(metadata.version("setuptools").partition(".")[0])
    return None if major >= 77 else f"{needs}; here is setuptools {major}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(source))
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    pip("install", "--no-deps", "--no-index", "--no-compile", "--target", str(folder), str(wheel))
    return folder


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def environment(site):
    return {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}


def test_the_wheel_carries_what_a_server_needs(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"streamtts/py.typed", "streamtts/protocol/PROTOCOL.md"} <= names
    configs = (ROOT / "streamtts" / "configs").iterdir()
    assert {f"streamtts/configs/{path.name}" for path in configs} <= names
    shipped = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "streamtts" / "voices").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert any(name.endswith("voice.json") for name in shipped)
    assert shipped <= names
    assert not [name for name in names if name.startswith(("tests/", "clients/"))]


def test_the_installed_client_is_used_and_loads_no_torch(site, tmp_path):
    code = (
        "import sys, json, streamtts.client; "
        "heavy = {'torch', 'soxr', 'gruut', 'starlette', 'aiomqtt'} & set(sys.modules); "
        "print(json.dumps([streamtts.__file__, sorted(heavy)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(site),
                          capture_output=True, text=True, check=True)  # fmt: skip
    where, heavy = json.loads(done.stdout)
    assert Path(where).is_relative_to(site)
    assert heavy == []


def test_the_installed_server_speaks_from_another_folder(site, tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "streamtts", "serve", "--port", str(port)]
    log = tmp_path / "server.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=tmp_path, env=environment(site), stdin=subprocess.DEVNULL,
                         stdout=output, stderr=subprocess.STDOUT) as server,
    ):  # fmt: skip
        try:
            wait_until_ready(port, server, log)
            samples = asyncio.run(say(f"ws://127.0.0.1:{port}", "Hello from the wheel."))
        finally:
            server.terminate()
            server.wait(START_LIMIT_S)
    assert samples > 0.4 * 16000


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_ready(port, server, log):
    deadline = time.monotonic() + START_LIMIT_S
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with opener.open(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass
        time.sleep(0.05)
    pytest.fail(f"the server did not become ready:\n{log.read_text(errors='replace')}")


async def say(url, text):
    from streamtts.client import Audio, connect

    samples = 0
    async with asyncio.timeout(START_LIMIT_S), connect(url) as tts:
        async for event in tts.speak(text):
            if isinstance(event, Audio):
                samples += len(event.samples)
    return samples
