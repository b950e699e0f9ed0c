#!/usr/bin/env python3
"""Clients that no server wishes for, for as long as it takes.

python tests/bench/rude.py --port 8765 --seconds 60 [--only silent,stuck,...]

Each kind has a thread and its turn in a round of half a minute, so that one round asks as much of
the server as another. All of it is nice to the machine (nice 10): what good clients notice is the
server's doing.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.raw_client import frames, handshake, send_text, text_frame

LONG = "All work and no play makes a dull day, and so it goes on and on. " * 40
ROUND_S = 30.0
WINDOW_BYTES = 4096  # so that the kernel does not read for the client
DOZEN = 12


class Rude:
    """The acts; each takes about `pause_s` and leaves nothing open.

    Args:
        port: of the server, on loopback.
        stop: ends every act early.
        pause_s: how long an act holds what it holds.
    """

    def __init__(self, port, stop, pause_s=10.0):
        self.port = port
        self.stop = stop
        self.pause_s = pause_s
        self.done = {}

    def run(self, name):
        """One act, once a round until `stop`."""
        begun_s = time.monotonic()
        while not self.stop.is_set():
            with contextlib.suppress(OSError, AssertionError):  # closed by the server: fair enough
                getattr(self, name)()
            self.done[name] = self.done.get(name, 0) + 1
            into_s = (time.monotonic() - begun_s) % ROUND_S
            self.stop.wait(ROUND_S - into_s)

    @contextlib.contextmanager
    def crowd(self, count, window=65536):
        """That many WebSockets, closed at the end."""
        with contextlib.ExitStack() as stack:
            made = []
            for _ in range(count):
                if self.stop.is_set():
                    break
                made.append(stack.enter_context(handshake(self.port, window)))
            yield made

    def silent(self, count=1000):
        """Connections that send nothing."""
        with self.crowd(count):
            self.stop.wait(self.pause_s)

    def mute(self, count=50):
        """Connections without so much as a request; the server ends them."""
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                stack.enter_context(socket.create_connection(("127.0.0.1", self.port)))
            self.stop.wait(self.pause_s)

    def stuck(self):
        """Asks for much and reads nothing."""
        with self.crowd(2, WINDOW_BYTES) as made:
            for raw in made:
                self._ask(raw)
            self.stop.wait(self.pause_s)

    def drip(self):
        """Reads one byte a second."""
        with self.crowd(1, WINDOW_BYTES) as made:
            for raw in made:
                self._ask(raw)
                for _ in range(int(self.pause_s)):
                    raw.recv(1)
                    self.stop.wait(1.0)

    def contexts(self, count=10_000, piece=500):
        """Opens far more contexts than it may, and reads what it is told."""
        with self.crowd(1) as made:
            for raw in made:
                coming = frames(raw)
                for first in range(0, count, piece):
                    numbers = range(first, first + piece)
                    raw.sendall(b"".join(text_frame(opening(number)) for number in numbers))
                    last = f"c{numbers[-1]}"
                    while (said := next(coming)) and not of_context(said, last):
                        pass
                    if self.stop.is_set():
                        return
        self.stop.wait(self.pause_s)

    def strays(self, count=1000):
        """Cancels contexts that it never had."""
        with self.crowd(1) as made:
            for raw in made:
                for number in range(count):
                    send_text(raw, type="cancel", context_id=f"never{number}")
                coming = frames(raw)
                while not of_context(next(coming), f"never{count - 1}"):
                    pass
        self.stop.wait(self.pause_s)

    def typist(self):
        """Text one letter every five seconds."""
        with self.crowd(1) as made:
            for raw in made:
                for letter in "so it goes":
                    send_text(raw, type="text", context_id="a", text=letter)
                    if self.stop.wait(5.0):
                        return

    def burst(self, count=200):
        """Two hundred opens at once, each of a client of its own."""
        with self.crowd(count) as made:
            for raw in made:
                send_text(raw, type="open", context_id="a")
            for raw in made:
                coming = frames(raw)
                while not of_context(next(coming), "a"):
                    pass
            self.stop.wait(self.pause_s)

    def killed(self):
        """A dozen processes that are killed (-9) while they listen."""
        command = [sys.executable, __file__, "--port", str(self.port), "--victim"]
        victims = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
            for _ in range(DOZEN)
        ]
        for victim in victims:
            with victim:
                victim.stdout.readline()
                victim.send_signal(signal.SIGKILL)
        self.stop.wait(self.pause_s)

    def _ask(self, raw):
        send_text(raw, type="hello", lead_ms=0)
        send_text(raw, type="text", context_id="a", text=LONG)


ACTS = ("silent", "mute", "stuck", "drip", "contexts", "strays", "typist", "burst", "killed")


def opening(number):
    return {"type": "open", "context_id": f"c{number}", "on_conflict": "parallel"}


def of_context(said, context_id):
    return isinstance(said, dict) and said.get("context_id") == context_id


def victim(port):
    """Listens until it is killed."""
    raw = handshake(port)
    send_text(raw, type="text", context_id="a", text=LONG)
    for said in frames(raw):
        if not isinstance(said, dict) or said["type"] == "error":
            sys.stdout.write("speaking\n")
            sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", type=lambda text: text.split(","), default=ACTS)
    parser.add_argument("--victim", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.nice(10)
    if options.victim:
        victim(options.port)
        return
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    rude = Rude(options.port, stop)
    threads = [threading.Thread(target=rude.run, args=(name,), name=name) for name in options.only]
    until_s = time.monotonic() + options.seconds
    for thread in threads:
        thread.start()
        stop.wait(ROUND_S / 2 / len(ACTS))
    while time.monotonic() < until_s and not stop.wait(0.5):
        pass
    stop.set()
    for thread in threads:
        thread.join()
    sys.stdout.write(" ".join(f"{name} {count}" for name, count in sorted(rude.done.items())))


if __name__ == "__main__":
    main()
