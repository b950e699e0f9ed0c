"""What a server holds, read from its own /metrics."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

GUARD_S = 15.0  # against hanging


class Served:
    """One reading of /metrics.

    Attributes:
        families: by name, a counter's with its `_total`.
        samples: (name, values of its labels...) -> value.
    """

    def __init__(self, text: str) -> None:
        self.families = {
            family.name + ("_total" if family.type == "counter" else ""): family
            for family in text_string_to_metric_families(text)
        }
        self.samples = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __getitem__(self, key: str | tuple[str, ...]) -> float:
        name, *labels = (key,) if isinstance(key, str) else key
        return self.samples[f"streamtts_{name}", *sorted(labels)]


class Held(NamedTuple):
    """What must come back to where it was when clients have gone."""

    connections: int
    contexts: int
    slots: int
    waiting: int
    tasks: int
    threads: int
    handles: int
    outbox_bytes: int


def read(url: str) -> Served:
    """Asks a server at `http://host:port`."""
    with httpx.Client(trust_env=False, timeout=GUARD_S) as http:
        answer = http.get(f"{url}/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Served(answer.text)


def held(served: Served) -> Held:
    names = ("connections", "contexts", "slots_used", "waiting", "tasks", "threads")
    counts = [int(served[name]) for name in names]
    handles = int(served.samples["process_open_fds",])
    return Held(*counts, handles, int(served["outbox_bytes"]))


async def returned(url: str, before: Held, guard_s: float = GUARD_S) -> Held:
    """Looks until the server holds no more than before; else what it holds at the end."""
    give_up_s = time.monotonic() + guard_s
    while True:
        now = held(await asyncio.to_thread(read, url))
        if all(a <= b for a, b in zip(now, before, strict=True)) or time.monotonic() > give_up_s:
            return now
        await asyncio.sleep(0.05)
