"""A connection to a server: one socket, one reader, many utterances."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import time
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET
from websockets.exceptions import ConnectionClosed

from streamtts.client.failures import ConnectionLost, from_close
from streamtts.client.utterance import Deltas, Utterance
from streamtts.errors import BadField, RequestError
from streamtts.protocol import messages
from streamtts.protocol.codec import decode_server, encode
from streamtts.protocol.frames import HEADER_BYTES, Header, unpack_header
from streamtts.protocol.messages import Cancel, Hello, Open, Ping, Ready
from streamtts.protocol.parts import AudioRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from websockets.asyncio.client import ClientConnection

log = logging.getLogger(__name__)


class Connection:
    """An open connection; `connect` makes it.

    Attributes:
        ready: what the server said of itself: voices, limits, capabilities.
    """

    def __init__(self, socket: ClientConnection, ready: Ready, max_queued_bytes: int) -> None:
        self.ready = ready
        self._socket = socket
        self._max_queued_bytes = max_queued_bytes
        self._utterances: dict[str, Utterance] = {}
        self._handles: dict[int, Utterance] = {}
        self._pings: dict[int, asyncio.Future[float]] = {}
        self._ids = itertools.count(1)
        self._side_tasks: set[asyncio.Task[None]] = set()
        self._reader = asyncio.create_task(self._read(), name="streamtts client reader")

    def speak(
        self,
        deltas: Deltas | None = None,
        *,
        context_id: str | None = None,
        voice: str | None = None,
        speed: float | None = None,
        pitch: float | None = None,
        pitch_range: float | None = None,
        seed: int | None = None,
        text_format: str | None = None,
        normalize: bool | None = None,
        max_buffer_delay_ms: int | None = None,
        audio: AudioRequest | None = None,
        streams: Sequence[str] | None = None,
        timestamps: Sequence[str] = ("word",),
        on_conflict: messages.OnConflict = "parallel",
    ) -> Utterance:
        """Begins an utterance; what is None is left to the server.

        Args:
            deltas: the text, whole or in pieces as they come, sent by a task of its own; None
                when `Utterance.send` and `end` will be called.
            context_id: its name on the wire, unique among those alive.
            voice: id of a voice.
            speed: 2 is twice as fast.
            pitch: ratio.
            pitch_range: ratio; 0 is monotone.
            seed: the same seed and text give the same samples.
            text_format: plain or markdown.
            normalize: False when the text is spelled out already.
            max_buffer_delay_ms: how long a word may wait for the text behind it.
            audio: encoding, sample rate and chunk length.
            streams: of audio, mel, alignment.
            timestamps: of word, phone; without words a long text is not held back in time.
            on_conflict: what happens while another utterance is spoken: queue behind it,
                preempt it, or speak in parallel.

        Raises:
            BadField: a `context_id` that is in use.
            ConnectionLost: the connection has ended.
        """
        if self._reader.done():
            raise ConnectionLost("the connection has ended")
        name = f"u{next(self._ids)}" if context_id is None else context_id
        if name in self._utterances:
            raise BadField(f"context_id {name!r} is in use")
        opening = Open(
            context_id=name,
            voice=voice,
            speed=speed,
            pitch=pitch,
            pitch_range=pitch_range,
            seed=seed,
            text_format=text_format,
            normalize=normalize,
            max_buffer_delay_ms=max_buffer_delay_ms,
            audio=audio,
            streams=None if streams is None else tuple(streams),
            timestamps=tuple(timestamps),
            on_conflict=on_conflict,
        )
        limit = self.ready.limits.chars_per_context
        utterance = Utterance(opening, self._send, limit, self._max_queued_bytes)
        self._utterances[name] = utterance
        if deltas is not None:
            utterance.feed_from(deltas)
        return utterance

    async def greet(self, hello: Hello) -> None:
        """Changes the defaults of this connection."""
        await self._send(hello)

    async def ping(self) -> float:
        """Measures the time to the server and back, in seconds, past all its queues."""
        number = next(self._ids)
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._pings[number] = answer
        sent_at = time.perf_counter()
        try:
            await self._send(Ping(t=number))
            return await answer - sent_at
        finally:
            self._pings.pop(number, None)

    async def close(self) -> None:
        """Closes the socket, which cancels every utterance on it, and awaits every task."""
        await self._socket.close()
        await asyncio.gather(self._reader, return_exceptions=True)
        for utterance in list(self._utterances.values()):
            await utterance.close()
        await asyncio.gather(*self._side_tasks, return_exceptions=True)

    async def _send(self, message: messages.ClientMessage) -> None:
        try:
            await self._socket.send(_encode(message))
        except ConnectionClosed as closed:
            raise from_close(closed) from closed

    async def _read(self) -> None:
        failure: Exception = ConnectionLost("the connection was closed")
        try:
            while True:
                frame = await self._socket.recv()
                if isinstance(frame, bytes):
                    self._on_frame(unpack_header(frame), frame[HEADER_BYTES:])
                else:
                    self._on_text(frame)
        except ConnectionClosed as closed:
            failure = from_close(closed)
        except BadField as broken:
            failure = ConnectionLost(f"the server broke the protocol: {broken}")
            await self._socket.close(1002)
        except Exception as bug:
            log.exception("the reader of the connection failed")
            failure = bug
        finally:
            for utterance in list(self._utterances.values()):
                utterance.fail(failure)
            for answer in self._pings.values():
                if not answer.done():
                    answer.set_exception(failure)

    def _on_frame(self, header: Header, payload: bytes) -> None:
        utterance = self._handles.get(header.handle)
        if utterance is not None and not utterance.on_frame(header, payload):
            self._forget(utterance, cancel=True)

    def _on_text(self, frame: str) -> None:
        try:
            message = decode_server(frame)
        except RequestError as odd:
            log.warning("ignored a message of the server: %s", odd)
            return
        if isinstance(message, messages.Pong):
            answer = self._pings.get(message.t) if isinstance(message.t, int) else None
            if answer is not None and not answer.done():
                answer.set_result(time.perf_counter())
        elif not isinstance(message, Ready):
            self._on_message(message)

    def _on_message(self, message: Any) -> None:
        utterance = self._utterances.get(message.context_id)
        if utterance is None:
            if isinstance(message, messages.Error | messages.Warning_):
                # about a context that has ended it is what was under way when it did
                level = logging.WARNING if message.context_id is UNSET else logging.DEBUG
                log.log(level, "the server says: %s: %s", message.code, message.message)
            return
        if isinstance(message, messages.Opened):
            self._handles[message.handle] = utterance
        if isinstance(message, messages.Audio):
            header = Header(message.flags, 0, message.seq, message.first_sample)
            goes_on = utterance.on_frame(header, message.data)
        else:
            goes_on = utterance.on_message(message)
        if not goes_on:
            ended = isinstance(message, messages.Done | messages.Cancelled)
            refused = isinstance(message, messages.Error) and message.final
            self._forget(utterance, cancel=not (ended or refused))

    def _forget(self, utterance: Utterance, *, cancel: bool) -> None:
        self._utterances.pop(utterance.context_id, None)
        if utterance.opened is not None:
            self._handles.pop(utterance.opened.handle, None)
        if cancel:
            context_id = utterance.context_id
            task = asyncio.create_task(self._cancel(context_id), name=f"cancel {context_id}")
            self._side_tasks.add(task)
            task.add_done_callback(self._side_tasks.discard)

    async def _cancel(self, context_id: str) -> None:
        with contextlib.suppress(ConnectionLost):
            await self._send(Cancel(context_id=context_id))


def _encode(message: messages.ClientMessage) -> str:
    """Encodes a message; halves of surrogate pairs, which msgspec refuses, travel escaped."""
    try:
        return encode(message)
    except UnicodeEncodeError:
        fields = msgspec.structs.asdict(message)
        fields["type"] = type(message).__struct_config__.tag
        return json.dumps({name: value for name, value in fields.items() if value is not None})
