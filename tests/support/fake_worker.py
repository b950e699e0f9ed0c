"""A worker in front of the fake service: the program of its parent in tests."""

from __future__ import annotations

import sys
from collections.abc import Callable

from streamtts.config import Config
from streamtts.errors import VoiceError
from streamtts.server import lifecycle, worker

PROGRAM = (__file__,)


def _fail() -> lifecycle.Loaded:
    raise VoiceError("voice bad: acoustic.safetensors has the wrong hash")


def _crash() -> lifecycle.Loaded:
    raise ZeroDivisionError("nobody expected this")


BAD: dict[str, Callable[[], lifecycle.Loaded]] = {"bad": _fail, "crash": _crash}


def load(config: Config) -> lifecycle.Loaded:
    """The fake voices, or what the name of the voice asks for."""
    if config.voice.id in BAD:
        BAD[config.voice.id]()
    from support.fake_service import VOICES, FakeService  # a second, which a bad one need not take

    return FakeService(), VOICES  # type: ignore[return-value]


if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], load))
