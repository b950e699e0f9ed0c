"""A Mosquitto for a benchmark, a server that speaks for it, and a client that times what comes."""

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
from bench_server import START_LIMIT_S, ServerProcess, die_with_parent, free_port

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


@contextlib.contextmanager
def broker():
    """Yields the port of a broker on loopback."""
    if MOSQUITTO is None:
        raise SystemExit("mosquitto is not installed")
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        file = Path(folder) / "mosquitto.conf"
        file.write_text(f"allow_anonymous true\nset_tcp_nodelay true\nlistener {port} 127.0.0.1\n")
        process = subprocess.Popen([MOSQUITTO, "-c", str(file)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL,
                                   preexec_fn=die_with_parent)  # fmt: skip
        until = time.monotonic() + START_LIMIT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > until or process.poll() is not None:
                    raise SystemExit("mosquitto did not start") from None
                time.sleep(0.01)
        try:
            yield port
        finally:
            process.terminate()
            process.wait()


def server(port, config="", more=""):
    """`streamtts serve` with a bridge to a broker on loopback."""
    mqtt = f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\nserver_id = "bench"\n'
    return ServerProcess(config, mqtt + more)


class House:
    """Devices of one broker behind one connection.

    Args:
        port: of the broker.
        on_message: called on the thread of the connection, with topic, payload and the time.
    """

    def __init__(self, port, on_message):
        self._on_message = on_message
        self._online = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_message = self._message
        self._client.connect("127.0.0.1", port)
        self._client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name in ("+/audio/+", "+/event/+", "status/+"):
            self._client.subscribe(f"streamtts/{name}", 1)
        self._client.loop_start()

    def __enter__(self):
        if not self._online.wait(START_LIMIT_S):
            raise SystemExit("the bridge did not come to the broker")
        return self

    def __exit__(self, *error):
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, site, verb, qos=1, **fields):
        """Publishes for a site."""
        self._client.publish(f"streamtts/{site}/{verb}", json.dumps(fields), qos)

    def _message(self, client, userdata, message):
        now = time.perf_counter()
        if message.topic.startswith("streamtts/status/"):
            if json.loads(message.payload)["state"] == "online":
                self._online.set()
            return
        self._on_message(message.topic, message.payload, now)
