"""A server that says what a test tells it to say, in the protocol's bare JSON and bytes."""

import contextlib
import json
import struct

import numpy as np
from websockets.asyncio.server import serve

READY = {
    "type": "ready",
    "session_id": "s1",
    "server": "scripted",
    "voices": [{"id": "v1", "name": "One"}],
    "audio": {"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 1},
    "limits": {"contexts": 8, "chars_per_context": 100, "message_bytes": 65536, "idle_s": 60},
    "capabilities": {},
}
METRICS = {"ttfa_ms": 1, "rtf": 0.1, "queue_ms": 0, "steps": 1, "underruns": 0, "starved_ms": 0}
AUDIO = {"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 1}
FIRST, LAST, MEL = 1, 2, 16


class Peer:
    """The server's end of one connection."""

    def __init__(self, socket):
        self.socket = socket
        self.headers = socket.request.headers
        self.path = socket.request.path

    async def say(self, kind, context_id=None, **fields):
        message = {"type": kind, **fields}
        if context_id is not None:
            message["context_id"] = context_id
        await self.socket.send(json.dumps(message))

    async def hear(self, *kinds):
        """The next message, which must be one of `kinds` when any are given."""
        message = json.loads(await self.socket.recv())
        assert not kinds or message["type"] in kinds, message
        return message

    async def hear_text(self):
        """Everything up to the next `end`: the `open` and the text."""
        opening = await self.hear("open")
        text = ""
        while (message := await self.hear("text", "end"))["type"] == "text":
            text += message["text"]
        return opening, text

    async def open(self, context_id, handle=1, **fields):
        await self.say("opened", context_id, handle=handle, audio=AUDIO, **fields)

    async def sound(self, handle, seq, first_sample, samples, flags=0):
        payload = np.asarray(samples, "<i2").tobytes()
        await self.frame(handle, seq, first_sample, payload, flags)

    async def frame(self, handle, seq, first_sample, payload, flags=0):
        await self.socket.send(struct.pack("<BBHIQ", 1, flags, handle, seq, first_sample) + payload)

    async def done(self, context_id, samples=0, chars=0, reason="end"):
        await self.say("done", context_id, reason=reason, samples=samples, chars=chars,
                       metrics=METRICS)  # fmt: skip

    async def cancelled(self, context_id, chars=0, words=0, text=""):
        await self.say("cancelled", context_id, generated_samples=0, sent_samples=0,
                       spoken={"chars": chars, "words": words, "text": text})  # fmt: skip

    async def gone(self):
        """Waits until the client has left."""
        await self.socket.wait_closed()


@contextlib.asynccontextmanager
async def scripted(script, ready=READY, process_request=None):
    """Serves `script(peer)` on a free port of loopback; yields the address.

    What the script raises fails the test: it is raised again when the block is left.
    """
    failures = []

    async def handler(socket):
        peer = Peer(socket)
        try:
            if ready is not None:
                await socket.send(json.dumps(ready) if isinstance(ready, dict) else ready)
            await script(peer)
        except BaseException as failure:
            failures.append(failure)
            raise

    async with serve(handler, "127.0.0.1", 0, compression=None, subprotocols=["streamtts.v1"],
                     process_request=process_request) as server:  # fmt: skip
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}"
    if failures:
        raise failures[0]
