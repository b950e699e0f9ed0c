"""Connections that carry streams: who listens to what, and which connection has room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import load_wire
import msgspec
from msgspec import UNSET

from streamtts.client import ConnectionLost
from streamtts.client.failures import from_message
from streamtts.errors import BadField, RequestError, StreamTTSError
from streamtts.protocol.codec import decode_server
from streamtts.protocol.frames import HEADER_BYTES, MEL, unpack_header
from streamtts.protocol.messages import Error, Opened, Ready

if TYPE_CHECKING:
    from load_spec import LoadSpec
    from load_stream import Stream
    from websockets.uri import WebSocketURI

READY_LIMIT_S = 15.0


class Line:
    """A connection and the streams on it.

    Args:
        on_spoken: called when the server has said the last of a stream.
        on_lost: called when the connection ends though nobody wanted it to.

    Attributes:
        streams: those on it that are still spoken, by `context_id`.
        lost: it has ended.
    """

    def __init__(self, on_spoken: Callable[[Stream], None], on_lost: Callable[[], None]) -> None:
        self.streams: dict[str, Stream] = {}
        self.lost = False
        self._handles: dict[int, Stream] = {}
        self._on_spoken = on_spoken
        self._on_lost = on_lost
        self._wire: load_wire.Wire | None = None
        self._leaving = False
        self._last_error: StreamTTSError | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, uri: WebSocketURI, key: str, lead_ms: int | None) -> None:
        """Connects and waits for the server's `ready`.

        Raises:
            StreamTTSError: it cannot be done; which kind and what it says tells why.
        """
        self._wire = await load_wire.dial(uri, key, self)
        try:
            async with asyncio.timeout(READY_LIMIT_S):
                await self._ready
        except TimeoutError:
            self.close()
            raise ConnectionLost(f"no `ready` within {READY_LIMIT_S:g} s") from None
        if lead_ms is not None:
            self._wire.post(msgspec.json.encode({"type": "hello", "lead_ms": lead_ms}))

    def post(self, message: bytes) -> None:
        """Sends a text frame."""
        if self._wire is not None:
            self._wire.post(message)

    def add(self, stream: Stream) -> None:
        """Takes a stream whose text comes next."""
        self.streams[stream.context_id] = stream

    def close(self) -> None:
        """Ends the connection."""
        self._leaving = True
        if self._wire is not None:
            self._wire.close()

    async def closed(self) -> None:
        """Waits until it is gone."""
        if self._wire is not None:
            await self._wire.closed()

    # -- what the wire calls

    def on_binary(self, now_s: float, frame: bytes) -> None:
        """A chunk."""
        try:
            header = unpack_header(frame)
        except BadField as broken:
            self._last_error = ConnectionLost(f"the server broke the protocol: {broken}")
            if self._wire is not None:
                self._wire.close()
            return
        stream = self._handles.get(header.handle)
        if stream is not None and not header.flags & MEL:
            stream.on_audio(now_s, len(frame) - HEADER_BYTES)

    def on_text(self, now_s: float, frame: bytes) -> None:
        """A message; what is none that this version knows is left alone."""
        try:
            message = decode_server(frame)
        except RequestError:
            return
        context_id = getattr(message, "context_id", UNSET)
        if isinstance(message, Ready):
            if not self._ready.done():
                self._ready.set_result(None)
        elif isinstance(message, Error) and context_id is UNSET:
            self._last_error = from_message(message)
        elif isinstance(context_id, str) and (stream := self.streams.get(context_id)):
            if isinstance(message, Opened):
                self._handles[message.handle] = stream
            stream.on_message(now_s, message)
            if stream.spoken:
                self._forget(stream)

    def on_lost(self, now_s: float, why: StreamTTSError) -> None:
        """The connection has ended."""
        self.lost = True
        why = self._last_error or why
        if not self._ready.done():
            self._ready.set_exception(why)
            self._ready.exception()  # nobody may be waiting any more
        for stream in list(self.streams.values()):
            stream.fail(now_s, why.code, str(why))
            self._forget(stream)
        if not self._leaving:
            self._on_lost()

    def _forget(self, stream: Stream) -> None:
        del self.streams[stream.context_id]
        self._on_spoken(stream)


class Lines:
    """All connections of a run; one that has no room is followed by another.

    Args:
        spec: of the run.
        on_spoken, on_lost: as for `Line`.
    """

    def __init__(
        self, spec: LoadSpec, on_spoken: Callable[[Stream], None], on_lost: Callable[[], None]
    ) -> None:
        self._spec = spec
        self._uri = load_wire.target(spec.url)
        self._on_stream_spoken = on_spoken
        self._on_lost = on_lost
        self._taken: dict[Line, int] = {}
        self._opening: dict[Line, asyncio.Task[None]] = {}
        self._line_of: dict[Stream, Line] = {}
        self._closing: set[Line] = set()

    async def take(self, stream: Stream) -> Line:
        """A connection with room for a stream, made if there is none.

        Raises:
            StreamTTSError: it could not be made.
        """
        stream.asked_s = time.monotonic()
        line = next(
            (x for x, n in self._taken.items() if n < self._spec.per_connection and not x.lost),
            None,
        )
        if line is None:
            line = Line(self._on_spoken, self._on_lost)
            opening = line.open(self._uri, self._spec.key, self._spec.lead_ms)
            self._opening[line] = asyncio.create_task(opening, name="load connection")
            self._taken[line] = 0
        self._taken[line] += 1
        self._line_of[stream] = line
        try:
            await asyncio.shield(self._opening[line])
        except StreamTTSError:
            self._taken.pop(line, None)
            self._opening.pop(line, None)
            self._line_of.pop(stream, None)
            raise
        stream.connect_ms = (time.monotonic() - stream.asked_s) * 1000
        line.add(stream)
        return line

    async def close(self) -> None:
        """Ends all connections and waits until they are gone."""
        for opening in self._opening.values():
            opening.cancel()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        lines = set(self._taken) | self._closing
        for line in lines:
            line.close()
        await asyncio.gather(*(line.closed() for line in lines))
        self._taken.clear()
        self._closing.clear()

    def _on_spoken(self, stream: Stream) -> None:
        line = self._line_of.pop(stream, None)
        if line in self._taken:
            self._taken[line] -= 1
            if line.lost or (self._spec.per_connection == 1 and not self._taken[line]):
                self._let_go(line)
        self._on_stream_spoken(stream)

    def _let_go(self, line: Line) -> None:
        del self._taken[line]
        self._opening.pop(line, None)
        self._closing = {x for x in self._closing if not x.lost}
        if not line.lost:
            line.close()
            self._closing.add(line)
