"""Composition root: from a configuration to a voice, its engine, the service and the server."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from streamtts import config as schema
from streamtts.config import Config
from streamtts.protocol.parts import VoiceInfo
from streamtts.server import lifecycle, worker
from streamtts.server.gateway import Gateway
from streamtts.server.security import Keys, load_keys
from streamtts.speech import build
from streamtts.voice.manifest import Manifest
from streamtts.voice.store import SHIPPED, list_voices

logger = logging.getLogger(__name__)

# How long one thread may hold the interpreter while another waits for it. Each of the engine's many
# small tensor operations lets go of it, so at Python's usual 5 ms the text of one stream would make
# the sound of all late.
_SWITCH_S = 0.00005


def load(config: Config) -> lifecycle.Loaded:
    """Builds and starts the service, and speaks the warm-up sentence.

    Raises:
        StreamTTSError: the voice is missing or damaged, or cannot speak.
    """
    service, manifest = build(config)
    service.start()
    service.warm_up()
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
    keys = Keys(load_keys(config))
    sock = lifecycle.bind(config.server.host, config.server.port)
    sys.setswitchinterval(_SWITCH_S)
    try:
        server = lifecycle.Lifecycle(Gateway(config, keys), lambda: load(config))
        logger.info("listening on %s", lifecycle.address(config, sock))
        with asyncio.Runner(loop_factory=lifecycle.loop_factory()) as runner:
            runner.run(server.run(sock))
    finally:
        sock.close()


def work() -> int:
    """Runs one of several workers, as its parent has started it; returns its exit status."""
    sys.setswitchinterval(_SWITCH_S)
    return worker.main(sys.argv[1:], load)


def voices(config: Config) -> list[Manifest]:
    """The voices of the configured folder and those that ship, by id.

    Raises:
        VoiceError: a voice's manifest is damaged.
    """
    return list_voices((Path(config.voice.dir), SHIPPED) if config.voice.dir else (SHIPPED,))
