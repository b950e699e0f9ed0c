"""A real broker on a free port, and a device that keeps everything it was sent."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from streamtts.protocol.frames import HEADER_BYTES, Header, unpack_header

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
GUARD_S = 30.0  # against hanging


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Mosquitto:
    """A broker that remembers over a restart.

    Args:
        folder: for its files.
        extra: lines of its configuration, before the listener.
    """

    def __init__(
        self, folder: Path, extra: str = "allow_anonymous true", listener: str = ""
    ) -> None:
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"persistence true\npersistence_location {folder}/\nset_tcp_nodelay true\n{extra}\n"
            f"user root\nlistener {self.port} 127.0.0.1\n{listener}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO is not None
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + GUARD_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert time.monotonic() < until
                assert self._process.poll() is None, "mosquitto did not start"
                time.sleep(0.01)
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()  # saves what it knows
            self._process.wait(GUARD_S)
            self._process = None


class Got(NamedTuple):
    """A message that a device was sent."""

    at_s: float
    topic: str
    payload: bytes
    retained: bool
    correlation: bytes | None
    expiry_s: int | None

    @property
    def json(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(self.payload)
        return fields

    @property
    def header(self) -> Header:
        return unpack_header(self.payload)

    @property
    def sound(self) -> bytes:
        return self.payload[HEADER_BYTES:]


class Device:
    """A client of the broker with a thread of its own; comes back after a broker's restart."""

    def __init__(self, port: int, *filters: str, v5: bool = True, name: str = "") -> None:
        self.got: list[Got] = []
        self._changed = threading.Condition()
        self._filters = filters
        self._up = threading.Event()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=name,
            protocol=paho.MQTTv5 if v5 else paho.MQTTv311,
        )
        self._client.reconnect_delay_set(0.1, 0.2)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *details: self._up.set()
        self._client.on_message = self._on_message
        self._v5 = v5
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._up.wait(GUARD_S)

    def say(
        self,
        topic: str,
        payload: object,
        *,
        qos: int = 1,
        retain: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """Publishes; bytes as they are, everything else as JSON."""
        properties = None
        if response_topic is not None or correlation is not None:
            properties = Properties(PacketTypes.PUBLISH)
            if response_topic is not None:
                properties.ResponseTopic = response_topic
            if correlation is not None:
                properties.CorrelationData = correlation
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._client.publish(topic, data, qos, retain, properties)

    def wait(self, until: Callable[[list[Got]], Any], timeout_s: float = GUARD_S) -> Any:
        """Blocks until something true can be said of all that came; returns that."""
        found: list[Any] = []

        def look() -> bool:
            found[:] = [until(self.got)]
            return bool(found[0])

        with self._changed:
            assert self._changed.wait_for(look, timeout_s), [
                (got.topic, got.payload[:200]) for got in self.got[-20:]
            ]
        return found[0]

    def event(self, id_: str, type_: str, timeout_s: float = GUARD_S) -> dict[str, Any]:
        """Blocks until an event of a request has come."""
        ends = f"/event/{id_}"

        def look(got: list[Got]) -> dict[str, Any] | None:
            events = [one.json for one in got if one.topic.endswith(ends)]
            return next((event for event in events if event["type"] == type_), None)

        event: dict[str, Any] = self.wait(look, timeout_s)
        return event

    def events(self, id_: str) -> list[str]:
        """The types of a request's events so far."""
        with self._changed:
            return [one.json["type"] for one in self.got if one.topic.endswith(f"/event/{id_}")]

    def chunks(self, id_: str) -> list[Got]:
        """The chunks of a request so far."""
        with self._changed:
            return [one for one in self.got if one.topic.endswith(f"/audio/{id_}")]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: paho.Client, *details: Any) -> None:
        for topic_filter in self._filters:
            client.subscribe(topic_filter, 1)

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        properties = message.properties if self._v5 else None
        got = Got(
            time.monotonic(),
            message.topic,
            message.payload,
            message.retain,
            getattr(properties, "CorrelationData", None),
            getattr(properties, "MessageExpiryInterval", None),
        )
        with self._changed:
            self.got.append(got)
            self._changed.notify_all()
