"""A server that speaks at once: every character becomes a fixed length of silence.

It knows what a load client needs of the native protocol (text, end -> opened, started, binary
frames, done) and can be told to refuse, to hold sound back, or to die.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from support.scripted_server import FIRST, LAST, METRICS, READY

RATE = 16000
FRAME_SAMPLES = 640


class SpeakingServer:
    """What it was asked, and how it behaves.

    Attributes:
        s_per_char: sound made of a character.
        full: every context is refused with `capacity`.
        silent: nothing is ever said to a text.
        die_after: contexts; the next one breaks every connection and closes the port.
        encoding: that it claims to send.
        texts: (context_id, text) of all contexts, in the order of their ends.
        openings: the first `text` of each context.
        connections: that were ever made.
        most_contexts: that one connection had at a time.
        hellos: that came.
        spoke: set with every text.
    """

    def __init__(self, *, s_per_char: float = 0.001) -> None:
        self.s_per_char = s_per_char
        self.full = False
        self.silent = False
        self.die_after: int | None = None
        self.encoding = "pcm_s16le"
        self.texts: list[tuple[str, str]] = []
        self.openings: list[dict[str, Any]] = []
        self.connections = 0
        self.most_contexts = 0
        self.hellos: list[dict[str, Any]] = []
        self.spoke = asyncio.Event()
        self.url = ""
        self._server: Server | None = None

    async def handle(self, socket: ServerConnection) -> None:
        self.connections += 1
        spoken: dict[str, str] = {}
        with contextlib.suppress(ConnectionClosed):
            await socket.send(json.dumps(READY))
            async for frame in socket:
                message = json.loads(frame)
                if message["type"] == "hello":
                    self.hellos.append(message)
                elif message["type"] == "text":
                    name = message["context_id"]
                    if name not in spoken:
                        self.openings.append(message)
                    spoken[name] = spoken.get(name, "") + message["text"]
                    self.most_contexts = max(self.most_contexts, len(spoken))
                elif message["type"] == "end":
                    await self.speak(socket, message["context_id"], spoken)

    async def speak(self, socket: ServerConnection, name: str, spoken: dict[str, str]) -> None:
        text = spoken[name]
        self.texts.append((name, text))
        self.spoke.set()
        if self.die_after is not None and len(self.texts) > self.die_after:
            self.die()
            return
        if self.silent:
            return
        if self.full:
            await self.say(socket, "error", name, code="capacity", message="full",
                           retry_after_ms=100, final=True)  # fmt: skip
            return
        handle = len(self.texts) % 60000
        audio = {"encoding": self.encoding, "sample_rate": RATE, "channels": 1}
        await self.say(socket, "opened", name, handle=handle, audio=audio)
        await self.say(socket, "started", name, ttfa_ms=1.0, queue_ms=0.5)
        samples = round(len(text) * self.s_per_char * RATE)
        for seq, first in enumerate(range(0, samples, FRAME_SAMPLES)):
            here = min(FRAME_SAMPLES, samples - first)
            flags = (FIRST if seq == 0 else 0) | (LAST if first + here == samples else 0)
            header = struct.pack("<BBHIQ", 1, flags, handle, seq, first)
            await socket.send(header + bytes(2 * here))
        await self.say(socket, "done", name, reason="end", samples=samples, chars=len(text),
                       metrics=METRICS)  # fmt: skip
        del spoken[name]

    async def say(self, socket: ServerConnection, kind: str, name: str, **fields: Any) -> None:
        await socket.send(json.dumps({"type": kind, "context_id": name, **fields}))

    def die(self) -> None:
        """As if the process were killed."""
        assert self._server is not None
        for connection in list(self._server.connections):
            connection.transport.abort()
        self._server.close(close_connections=False)

    @contextlib.asynccontextmanager
    async def serving(self, **options: Any) -> AsyncIterator[SpeakingServer]:
        options = {"compression": None, "subprotocols": ["streamtts.v1"], **options}
        async with serve(self.handle, "127.0.0.1", 0, **options) as self._server:
            self.url = f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"
            yield self
