#!/usr/bin/env python3
"""M11 of the project's measures: what MQTT adds to a WebSocket's time to the first sound.

python tests/bench/mqtt.py [--blocks 5] [--requests 20]

All text given -> first chunk, one stream, over a WebSocket and over MQTT with a broker on the same
host, from the same server; both sides alternate in blocks of one run.
"""

import argparse
import asyncio
import threading
import time

import bench_texts
import numpy as np
from bench_broker import House, broker, server
from bench_report import Report, percentile
from bench_stats import ratio_of_medians
from first_sound import spoken, websocket_ms

from streamtts.client import connect
from streamtts.protocol.frames import HEADER_BYTES

LIMIT_S = 30.0


class Ear:
    """Hears the first chunk of a request, and its end."""

    def __init__(self):
        self.first = {}
        self.ended = set()
        self.changed = threading.Condition()

    def message(self, topic, payload, now):
        _, _, what, id_ = topic.split("/")
        with self.changed:
            if what == "audio" and len(payload) > HEADER_BYTES:
                self.first.setdefault(id_, now)
            elif b'"done"' in payload or b'"cancelled"' in payload or b'"error"' in payload:
                self.ended.add(id_)
            self.changed.notify_all()

    def wait(self, true):
        with self.changed:
            if not self.changed.wait_for(true, LIMIT_S):
                raise SystemExit("no sound over MQTT")


def mqtt_ms(house, ear, id_, text):
    """All text given -> first chunk, in ms, over the broker; the rest is cancelled."""
    began = time.perf_counter()
    house.say("bench", "say", id=id_, text=text)
    ear.wait(lambda: id_ in ear.first)
    house.say("bench", "cancel", id=id_)
    ear.wait(lambda: id_ in ear.ended)
    return (ear.first[id_] - began) * 1000


async def measure(url, house, ear, options):
    """The blocks of both sides, in ms."""
    ours, theirs = [], []
    number = 0
    async with connect(url) as tts:
        await spoken(tts)
        await asyncio.to_thread(mqtt_ms, house, ear, "warm", bench_texts.of_length(0, 50))
        for _ in range(options.blocks):
            texts = [bench_texts.of_length(number + at, 50) for at in range(options.requests)]
            theirs.append([await websocket_ms(tts, text) for text in texts])
            block = []
            for at, text in enumerate(texts):
                block.append(await asyncio.to_thread(mqtt_ms, house, ear, f"r{number + at}", text))
            ours.append(block)
            number += options.requests
    return ours, theirs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--requests", type=int, default=20, help="requests a block")
    parser.add_argument("--config", default="", metavar="FILE", help="TOML for the server")
    options = parser.parse_args()
    bench_texts.check()
    report = Report(
        "MQTT",
        f"{options.config or 'the default'} configuration, one stream, Mosquitto and client on the "
        f"same cores; {options.blocks} blocks of {options.requests} a side",
    )
    ear = Ear()
    with broker() as port, server(port, options.config) as ours, House(port, ear.message) as house:
        mqtt, websocket = asyncio.run(measure(ours.url, house, ear, options))
    ratio = ratio_of_medians(mqtt, websocket)
    mqtt, websocket = np.concatenate(mqtt), np.concatenate(websocket)
    n = len(mqtt)
    for percent in (50, 95):
        report.row(f"M11 ttfa p{percent}, WebSocket (n={n})", percentile(websocket, percent),
                   unit="ms")  # fmt: skip
        report.row(f"M11 ttfa p{percent}, MQTT (n={n})", percentile(mqtt, percent), unit="ms")
    report.row("M11 ttfa p50, MQTT over WebSocket",
               percentile(mqtt, 50) - percentile(websocket, 50), unit="ms")  # fmt: skip
    report.row("M11 ttfa p95, MQTT over WebSocket",
               percentile(mqtt, 95) - percentile(websocket, 95), 10.0, unit="ms")  # fmt: skip
    report.row("M11 ttfa p50, ratio", ratio.value, digits=2, interval=(ratio.low, ratio.high))
    raise SystemExit(report.finish())


if __name__ == "__main__":
    main()
