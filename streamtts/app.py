"""Composition root: from a configuration to a voice, its engine, the service and the server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
from pathlib import Path

from streamtts import config as schema
from streamtts.config import Config
from streamtts.mqtt import run as mqtt
from streamtts.mqtt.bridge import Bridge
from streamtts.protocol.parts import VoiceInfo
from streamtts.server import lifecycle, worker, wyoming
from streamtts.server.companions import Companion, WyomingPort
from streamtts.server.gateway import Gateway
from streamtts.server.security import Keys, load_keys
from streamtts.speech import build
from streamtts.voice.manifest import Manifest
from streamtts.voice.store import SHIPPED, list_voices

logger = logging.getLogger(__name__)

# How long one thread may hold the interpreter while another waits for it. Each of the engine's many
# small tensor operations lets go of it, so at Python's usual 5 ms the text of one stream would make
# the sound of all late.
_SWITCH_S = 0.0002


def load(config: Config) -> lifecycle.Loaded:
    """Builds and starts the service, and speaks the warm-up sentence.

    Raises:
        StreamTTSError: the voice is missing or damaged, or cannot speak.
    """
    service, manifest = build(config)
    service.start()
    service.warm_up()
    gc.collect()
    gc.freeze()  # a full collection would stop every thread for 0.3 s to look through the lexicon
    info = VoiceInfo(
        id=manifest.id,
        name=manifest.name,
        language=manifest.language,
        description=manifest.description,
        sample_rate=manifest.sample_rate,
    )
    return service, (info,)


def serve(config: Config) -> None:
    """Serves until a signal stops it.

    Raises:
        StreamTTSError: the port is in use, a file is missing, the voice is damaged.
    """
    schema.check_files(config)
    gateway = Gateway(config, Keys(load_keys(config)))
    companions: list[Companion] = []
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(lifecycle.bind(config.server.host, config.server.port))
        if config.wyoming.enabled:
            wyoming_sock = stack.enter_context(wyoming.bind(config))
            companions.append(WyomingPort(wyoming.WyomingServer(gateway, wyoming_sock)))
        bridge = make_bridge(gateway)
        if bridge is not None:
            companions.append(bridge)
        sys.setswitchinterval(_SWITCH_S)
        server = lifecycle.Lifecycle(gateway, lambda: load(config), companions)
        logger.info("listening on %s", lifecycle.address(config, sock))
        with asyncio.Runner(loop_factory=lifecycle.loop_factory()) as runner:
            runner.run(server.run(sock))


def work() -> int:
    """Runs one of several workers, as its parent has started it; returns its exit status."""
    sys.setswitchinterval(_SWITCH_S)
    return worker.main(sys.argv[1:], load, make_bridge)


class _LocalBridge:
    """The bridge of this process, which cannot be made before the loop runs and the voice speaks.

    Args:
        gateway: of the server that speaks for it.
        suffix: tells its name from those of other workers.

    Raises:
        ConfigError: a file cannot be read.
    """

    def __init__(self, gateway: Gateway, suffix: str) -> None:
        mqtt.make_broker(gateway.config.mqtt, os.environ)
        self._gateway = gateway
        self._suffix = suffix
        self._bridge: Bridge | None = None

    async def start(self) -> None:
        config = self._gateway.config
        self._bridge = mqtt.local_bridge(config, self._gateway, suffix=self._suffix)
        if self._bridge is not None:
            await self._bridge.start()

    async def drain(self, limit_s: float) -> None:
        if self._bridge is not None:
            await self._bridge.drain(limit_s)

    async def close(self) -> None:
        if self._bridge is not None:
            await self._bridge.close()


def make_bridge(gateway: Gateway, number: int | None = None) -> Companion | None:
    """The bridge to the broker; None when there is none, or when another worker has it.

    Args:
        gateway: of the server that speaks for it.
        number: of the worker; None for the only process. Workers share the requests when `mqtt`
            says `fleet`; else the first of them has them all.

    Raises:
        ConfigError: a file cannot be read.
    """
    config = gateway.config.mqtt
    if not config.host or (number and not config.fleet):
        return None
    return _LocalBridge(gateway, str(number) if number is not None and config.fleet else "")


def voices(config: Config) -> list[Manifest]:
    """The voices of the configured folder and those that ship, by id.

    Raises:
        VoiceError: a voice's manifest is damaged.
    """
    return list_voices((Path(config.voice.dir), SHIPPED) if config.voice.dir else (SHIPPED,))
