#!/usr/bin/env python3
"""The real server, with its service on threads of the same process or in a process of its own.

python tests/bench/split_server.py thread|process [--port 8811] [--config FILE]

`process` puts everything behind `streamtts.service` (text, engine, encoding) into a child; what the
server knows of it is a proxy that sends calls and receives events over a pipe, many in one message
when many are there. Only thread_or_process.py needs this: it is here to be measured.
"""

import argparse
import itertools
import logging
import multiprocessing
import pickle
import queue
import signal
import sys
import threading

from bench_server import die_with_parent

from streamtts import app
from streamtts import config as schema
from streamtts.audio.formats import resolve
from streamtts.errors import StreamTTSError
from streamtts.events import AudioInfo, Cancelled, Done, Failed, Opened
from streamtts.stats import ServiceStats

STATS_EVERY_S = 0.2
READY_LIMIT_S = 120.0
NO_STATS = ServiceStats(contexts=0, streams=0, waiting=0, slots=0, opened=0, done=0, cancelled=0,
                        failed=0, steps=0, stream_steps=0, audio_s=0.0, compute_s=0.0,
                        underruns=0, starved_s=0.0, chars=0)  # fmt: skip


def is_last(event):
    """Nothing of its context follows."""
    return isinstance(event, (Done, Cancelled)) or (isinstance(event, Failed) and event.final)


# --- the child ------------------------------------------------------------------------------------


class Host:
    """Carries out what the proxy asks for, and sends back what the service says."""

    def __init__(self, pipe, service):
        self._pipe = pipe
        self._service = service
        self._contexts = {}
        self._outgoing = queue.SimpleQueue()
        threading.Thread(target=self._send, name="sender", daemon=True).start()
        threading.Thread(target=self._tell_stats, name="stats", daemon=True).start()

    def run(self):
        """Until the proxy closes, or is gone."""
        try:
            while (message := pickle.loads(self._pipe.recv_bytes())) is not None:
                self._do(*message)
        except EOFError:
            pass
        self._service.close()

    def _do(self, number, name, *args):
        def on_event(event):
            self._outgoing.put((number, event))

        try:
            if name == "drain":
                self._service.drain()
            elif name == "open":
                settings, queued = args
                context = self._service.open(settings, on_event, queued=queued)
                self._contexts[number] = context
            elif number in self._contexts:
                getattr(self._contexts[number], name)(*args)
        except StreamTTSError as error:
            final = name == "open"
            on_event(Failed(error.code, str(error), error.retry_after_ms, final=final))

    def _send(self):
        while True:
            batch = [self._outgoing.get()]
            while not self._outgoing.empty():
                batch.append(self._outgoing.get())
            for number, event in batch:
                if is_last(event):
                    self._contexts.pop(number, None)
            # The proxy has said `Opened` itself: it need not wait for it.
            told = [item for item in batch if not isinstance(item[1], Opened)]
            self._pipe.send_bytes(pickle.dumps(told, pickle.HIGHEST_PROTOCOL))

    def _tell_stats(self):
        pause = threading.Event()
        while not pause.wait(STATS_EVERY_S):
            self._outgoing.put((None, self._service.stats()))


def host(pipe, config):
    """The child's main function."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.setswitchinterval(app._SWITCH_S)
    service, voices = app_load(config)
    pipe.send_bytes(pickle.dumps((service.shape, voices)))
    Host(pipe, service).run()


app_load = app.load


# --- the server's side ----------------------------------------------------------------------------


class RemoteContext:
    """What the server calls of a context."""

    def __init__(self, number, post):
        self._number = number
        self._post = post

    def feed(self, text):
        self._post(self._number, "feed", text)

    def flush(self, flush_id=None):
        self._post(self._number, "flush", flush_id)

    def end(self):
        self._post(self._number, "end")

    def cancel(self, played_samples=None):
        self._post(self._number, "cancel", played_samples)

    def playback(self, played_samples):
        self._post(self._number, "playback", played_samples)

    def set_paused(self, paused):
        self._post(self._number, "set_paused", paused)

    def release(self):
        self._post(self._number, "release")


class RemoteService:
    """What the server calls of a service; the service is in a process of its own."""

    def __init__(self, config):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=host, args=(theirs, config), daemon=True)
        self._process.start()
        theirs.close()
        if not self._pipe.poll(READY_LIMIT_S):
            raise StreamTTSError("the engine's process did not become ready")
        self._shape, self.voices = pickle.loads(self._pipe.recv_bytes())
        self._numbers = itertools.count(1)
        self._listeners = {}
        self._lock = threading.Lock()
        self._stats = NO_STATS
        self._thread = threading.Thread(target=self._receive, name="events", daemon=True)
        self._thread.start()

    def open(self, settings, on_event, *, queued=False):
        """Does not wait for the child: a refusal comes as an event."""
        settings.check()
        number = next(self._numbers)
        self._listeners[number] = on_event
        audio = resolve(settings.audio, self._shape.sample_rate)
        rate = audio.sample_rate or self._shape.sample_rate
        on_event(Opened(AudioInfo(audio.encoding, rate, 1, audio.frame_ms), None))
        self._post(number, "open", settings, queued)
        return RemoteContext(number, self._post)

    def stats(self):
        """As it was a moment ago."""
        return self._stats

    def drain(self):
        self._post(0, "drain")

    def close(self):
        with self._lock:
            self._pipe.send_bytes(pickle.dumps(None))
        self._process.join(10)
        self._process.kill()
        self._process.join()

    def _post(self, *message):
        with self._lock:
            self._pipe.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def _receive(self):
        try:
            while True:
                for number, event in pickle.loads(self._pipe.recv_bytes()):
                    if number is None:
                        self._stats = event
                        continue
                    last = is_last(event)
                    listener = (self._listeners.pop if last else self._listeners.get)(number, None)
                    if listener is not None:
                        listener(event)
        except (EOFError, OSError):
            return


def load(config):
    service = RemoteService(config)
    return service, service.voices


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=("thread", "process"))
    parser.add_argument("--port", type=int, default=8811)
    parser.add_argument("--config", default="", metavar="FILE")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    config = schema.load(options.config or None)
    server = schema.override(config.server, port=options.port)
    if options.engine == "process":
        app.load = load
    app.serve(schema.Config(**{**_tables(config), "server": server}))


def _tables(config):
    return {name: getattr(config, name) for name in config.__struct_fields__}


if __name__ == "__main__":
    main()
