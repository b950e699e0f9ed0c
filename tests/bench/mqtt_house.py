#!/usr/bin/env python3
"""Loudspeakers with small buffers on a broker: do they ever run dry, and are they ever overfilled?

python tests/bench/mqtt_house.py --sites 1 --seconds 600        one satellite for ten minutes
python tests/bench/mqtt_house.py --sites 50 --seconds 30        fifty that speak at once

Every device plays from its first chunk on, in real time, holds 300 ms, and reports twice a second
how far it is. A chunk that comes when the device has nothing left is an underrun; one that does not
fit is an overrun. The server, Mosquitto and the devices share the cores of this machine.
"""

import argparse
import math
import threading
import time

import bench_texts
from bench_broker import House, broker, server
from bench_report import Report, percentile

from streamtts.protocol.frames import HEADER_BYTES, LAST, unpack_header

RATE = 16000
CHARS_PER_S = 14.0  # of speech
REPORT_S = 0.5
LOOK_S = 0.05
LAG_MS = 100.0  # of this client: beyond it the run says nothing about the server
BURST_S = 0.03
SLACK_S = 120.0


class Device:
    """A loudspeaker that plays what it has."""

    def __init__(self, site, buffer_s):
        self.site = site
        self.buffer_s = buffer_s
        self.began = self.reported = None
        self.asked = 0.0
        self.ttfa_s = math.nan
        self.sent = self.expected = 0
        self.lost = self.underruns = 0
        self.played = 0.0
        self.at = 0.0
        self.peak_s = 0.0
        self.lowest_s = math.inf
        self.burst = self.largest_burst = 0
        self.burst_from = 0.0
        self.last = False
        self.ended = ""

    def chunk(self, payload, now):
        header = unpack_header(payload)
        samples = (len(payload) - HEADER_BYTES) // 2
        self.lost += header.first_sample != self.expected
        self.expected = header.first_sample + samples
        if self.began is None:
            self.began, self.at = now, now
            self.ttfa_s = now - self.asked
            self.burst_from = now
        else:
            self.advance(now)
            left_s = (self.sent - self.played) / RATE
            if now - self.began > 1.0:
                self.lowest_s = min(self.lowest_s, left_s)
            if left_s <= 0 and samples:
                self.underruns += 1
        self.sent += samples
        self.peak_s = max(self.peak_s, (self.sent - self.played) / RATE)
        if now - self.burst_from > BURST_S:
            self.burst, self.burst_from = 0, now
        self.burst += len(payload)
        self.largest_burst = max(self.largest_burst, self.burst)
        self.last = self.last or bool(header.flags & LAST)

    def advance(self, now):
        self.played = min(float(self.sent), self.played + (now - self.at) * RATE)
        self.at = now


class Devices:
    """All of them, and who has ended."""

    def __init__(self, count, buffer_s):
        self.by_site = {f"site{at}": Device(f"site{at}", buffer_s) for at in range(count)}
        self.lock = threading.Condition()

    def message(self, topic, payload, now):
        _, site, what, _ = topic.split("/")
        device = self.by_site[site]
        with self.lock:
            if what == "audio":
                device.chunk(payload, now)
            else:
                kind = payload[9:].partition(b'"')[0].decode()
                if kind in ("done", "cancelled", "error"):
                    device.ended = kind
                    self.lock.notify_all()

    def reports(self, now):
        """Who has to report now, and how far it is."""
        due = []
        with self.lock:
            for device in self.by_site.values():
                if device.began is None or device.last:
                    continue
                if device.reported is None or now - device.reported >= REPORT_S:
                    device.reported = now
                    device.advance(now)
                    due.append((device.site, int(device.played)))
        return due

    @property
    def over(self):
        return all(device.ended for device in self.by_site.values())


def play(house, devices, options):
    """Everybody speaks at once, until all have ended; returns by how much this client overslept."""
    until = time.perf_counter() + options.seconds * 2 + SLACK_S
    for number, (site, device) in enumerate(devices.by_site.items()):
        device.asked = time.perf_counter()
        text = bench_texts.of_length(number, round(options.seconds * CHARS_PER_S))
        house.say(site, "say", id=site, text=text)
    lag_s, before = 0.0, time.perf_counter()
    while True:
        with devices.lock:
            if devices.lock.wait_for(lambda: devices.over, LOOK_S):
                return lag_s
        now = time.perf_counter()
        lag_s, before = max(lag_s, now - before - LOOK_S), now
        if now > until:
            raise SystemExit("some never came to an end")
        for site, played in devices.reports(now):
            house.say(site, "playback", qos=0, id=site, played_samples=played)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30, help="of speech, about")
    parser.add_argument("--buffer-ms", type=int, default=300)
    parser.add_argument("--config", default="", metavar="FILE", help="TOML for the server")
    options = parser.parse_args()
    report = Report(
        f"{options.sites} loudspeakers on a broker",
        f"{options.config or 'the default'} configuration, {options.buffer_ms} ms of buffer, about "
        f"{options.seconds:g} s each; Mosquitto and devices on the same cores",
    )
    devices = Devices(options.sites, options.buffer_ms / 1000)
    more = f"buffer_ms = {options.buffer_ms}\nin_flight = 1000\n"
    with (
        broker() as port,
        server(port, options.config, more) as ours,
        House(port, devices.message) as house,
    ):
        began, cpu_s = time.perf_counter(), ours.cpu_s
        lag_s = play(house, devices, options)
        took_s, cpu_s = time.perf_counter() - began, ours.cpu_s - cpu_s
    made = list(devices.by_site.values())
    spoken_s = sum(device.sent for device in made) / RATE
    report.row("sound", spoken_s, unit="s")
    report.row("in", took_s, unit="s")
    report.row("CPU of the server per second of sound", cpu_s / spoken_s, digits=4, unit="s")
    report.row("lag of this client", lag_s * 1000, LAG_MS, unit="ms")
    report.row("not ended by done", sum(device.ended != "done" for device in made), 0, digits=0)
    report.row("underruns", sum(device.underruns for device in made), 0, digits=0)
    report.row("chunks lost", sum(device.lost for device in made), 0, digits=0)
    most_ms = max(device.peak_s for device in made) * 1000
    report.row("most that a device held", most_ms, options.buffer_ms + 20.0, unit="ms")
    low_ms = min(device.lowest_s for device in made) * 1000
    report.row("least that a device held", low_ms, unit="ms")
    report.row(f"largest burst within {BURST_S * 1000:.0f} ms",
               max(device.largest_burst for device in made), unit="bytes", digits=0)  # fmt: skip
    ttfa = [device.ttfa_s * 1000 for device in made]
    report.row("ttfa p50", percentile(ttfa, 50), unit="ms")
    report.row("ttfa p95", percentile(ttfa, 95), unit="ms")
    raise SystemExit(report.finish())


if __name__ == "__main__":
    main()
