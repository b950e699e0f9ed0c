#!/usr/bin/env python3
"""Other servers' ways of serving, around our own voice: what the real server is compared with.

python tests/bench/bench_strategies.py S1 [--port 8801]

S1  one lock, whole sentences             (wyoming-piper)            strategy_lock.py
S2  a semaphore of four, threads          (Kokoro-FastAPI)           strategy_semaphore.py
S3  request-level dynamic batches         (Triton, Ray Serve)        strategy_batches.py
S4  fixed slots, 2 ms poll, endless queue (moshi-server)             strategy_slots.py
S5  sentences collected, then streamed    (agents' frameworks)       strategy_buffered.py

Each is a process of its own that speaks as much of the native WebSocket protocol as a load client
needs (strategy_wire.py). With the same voice behind all of them, what differs is the strategy.
Torch has one thread and Python switches threads every 50 us, as in the real server: with two
threads, or with Python's own 5 ms, S1 and S2 were slower.
"""

import argparse
import asyncio
import importlib
import logging
import signal
import sys

import strategy_wire

from streamtts.app import _SWITCH_S
from streamtts.server.lifecycle import loop_factory

STRATEGIES = {
    "S1": ("strategy_lock", "OneLock"),
    "S2": ("strategy_semaphore", "Semaphore"),
    "S3": ("strategy_batches", "DynamicBatches"),
    "S4": ("strategy_slots", "FixedSlots"),
    "S5": ("strategy_buffered", "Buffered"),
}


async def run(name, port):
    module, kind = STRATEGIES[name]
    strategy = getattr(importlib.import_module(module), kind)()
    serving = asyncio.create_task(strategy_wire.serve(strategy, port))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        return


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("strategy", choices=STRATEGIES)
    parser.add_argument("--port", type=int, default=8801)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    sys.setswitchinterval(_SWITCH_S)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(run(options.strategy, options.port))


if __name__ == "__main__":
    main()
