"""How a bridge comes about: in the process of a server, or as a command of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

from streamtts.config import Config, MqttConfig
from streamtts.errors import ConfigError
from streamtts.mqtt.backend import Door, LocalBackend
from streamtts.mqtt.bridge import Bridge
from streamtts.mqtt.broker import Broker
from streamtts.mqtt.desk import LEAD_MS
from streamtts.mqtt.remote import Connect, RemoteBackend

PASSWORD = "STREAMTTS_MQTT_PASSWORD"

logger = logging.getLogger(__name__)


def make_broker(config: MqttConfig, environ: Mapping[str, str]) -> Broker:
    """Collects what is needed to log in.

    Args:
        config: `[mqtt]`.
        environ: for the password, when there is no `password_file`.

    Raises:
        ConfigError: a file cannot be read.
    """
    password = environ.get(PASSWORD, "")
    if config.password_file:
        try:
            password = Path(config.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"mqtt.password_file: {error}") from None
    if password and not config.username:
        logger.warning("mqtt: a password without mqtt.username is not used")
    tls = None
    if config.tls:
        try:
            tls = ssl.create_default_context(cafile=config.ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"mqtt.ca_file: {error}") from None
    elif config.ca_file:
        raise ConfigError("mqtt.ca_file: is of use with mqtt.tls = true only")
    return Broker(
        host=config.host,
        port=config.port,
        version=config.version,
        username=config.username,
        password=password if config.username else "",
        tls=tls,
        session_s=config.session_s,
    )


def server_id(config: MqttConfig, suffix: str = "") -> str:
    """The name of a bridge: configured, or that of this machine.

    Args:
        config: `[mqtt]`.
        suffix: tells the workers of one server apart.
    """
    name = config.server_id or re.sub(r"[^\w.-]", "-", socket.gethostname()) or "streamtts"
    return f"{name}-{suffix}" if suffix else name


def local_bridge(config: Config, door: Door, *, suffix: str = "") -> Bridge | None:
    """A bridge within a server; call it on the loop, when the voice has been loaded.

    Args:
        config: `[mqtt]` and `[limits]` are read.
        door: the server's gateway.
        suffix: see `server_id`.

    Returns:
        None when no broker is configured.

    Raises:
        ConfigError: a file cannot be read.
    """
    if not config.mqtt.host:
        return None
    backend = LocalBackend(door, config.limits.chars_per_context)
    broker = make_broker(config.mqtt, os.environ)
    return Bridge(config.mqtt, broker, backend, server_id(config.mqtt, suffix))


def serve(config: Config, connect: Connect) -> None:
    """`streamtts bridge`: speaks for a broker through a server elsewhere, until a signal.

    Args:
        config: `[mqtt]` and `server.drain_s` are read.
        connect: to the server.

    Raises:
        ConfigError: no broker is configured, or a file cannot be read.
    """
    if not config.mqtt.host:
        raise ConfigError("mqtt.host: name the broker in [mqtt] of the configuration, or --broker")
    broker = make_broker(config.mqtt, os.environ)
    asyncio.run(_serve(config, broker, connect))


async def _serve(config: Config, broker: Broker, connect: Connect) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    backend = RemoteBackend(connect)
    bridge = Bridge(config.mqtt, broker, backend, server_id(config.mqtt))
    backend.on_change = bridge.tell_state
    backend.start(LEAD_MS)
    await bridge.start()
    await stopped.wait()
    logger.info("draining; what has not begun stays with the broker")
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)  # a second signal stops now
    if not await bridge.drain(config.server.drain_s):
        logger.warning("drain is over: what is being said is cut off")
    await bridge.close()
    logger.info("stopped")
