"""A bridge in a process of its own, over the fake service: to be killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from streamtts.config import MqttConfig
from streamtts.mqtt.backend import LocalBackend
from streamtts.mqtt.bridge import Bridge
from streamtts.mqtt.run import make_broker
from support.fake_door import FakeDoor


def spawn(port: int, prefix: str, server_id: str) -> subprocess.Popen[bytes]:
    tests = Path(__file__).parent.parent
    arguments = [sys.executable, "-m", "support.bridge_process", str(port), prefix, server_id]
    return subprocess.Popen(arguments, cwd=tests)


async def main(port: int, prefix: str, server_id: str) -> None:
    config = MqttConfig(host="127.0.0.1", port=port, prefix=prefix, fleet=True)
    backend = LocalBackend(FakeDoor(), 20_000)
    await Bridge(config, make_broker(config, {}), backend, server_id).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
