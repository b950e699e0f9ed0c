"""One context, seen from the client: text goes in, events come out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from streamtts.client.events import Audio, Cancelled, Done, Event, Mel, Opened, Refused, Words
from streamtts.client.failures import Overrun, from_message
from streamtts.client.inbox import Inbox
from streamtts.errors import StreamTTSError, UnknownContext
from streamtts.protocol.frames import MEL
from streamtts.protocol.messages import (
    Cancel,
    ClientMessage,
    End,
    Error,
    Flush,
    Open,
    Playback,
    Text,
)
from streamtts.protocol.parts import MelInfo

if TYPE_CHECKING:
    from types import TracebackType

    from streamtts.protocol.frames import Header

Deltas: TypeAlias = str | Iterable[str] | AsyncIterable[str]
Send: TypeAlias = Callable[[ClientMessage], Awaitable[None]]

_PIECE_CHARS = 1000
_EVENT_BYTES = 512  # what an event without sound counts as
_ROOM_WAIT_S = 1.0


class Utterance:
    """An asynchronous iterator over the events of one context.

    It ends after `Done` or `Cancelled`, and raises the error that ended it otherwise. As a context
    manager it cancels what is still being spoken when the block is left.

    Attributes:
        context_id: its name on the wire.
        opened: the server's `opened`, once it has come.
        text: what was sent so far.
    """

    def __init__(self, opening: Open, send: Send, max_chars: int, max_bytes: int) -> None:
        self.context_id = opening.context_id
        self.opened: Opened | None = None
        self.text = ""
        self._opening: Open | None = opening
        self._send = send
        self._max_chars = max_chars
        self._spoken_chars = 0
        self._progress = asyncio.Event()
        self._inbox: Inbox[Event] = Inbox(max_bytes)
        self._ended: asyncio.Future[Done | Cancelled] = asyncio.get_running_loop().create_future()
        self._ended.add_done_callback(_look_at_failure)
        self._cancelling = False
        self._pump: asyncio.Task[None] | None = None
        self._order = asyncio.Lock()

    # -- what a user calls

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return await self._inbox.get()

    async def __aenter__(self) -> Utterance:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(StreamTTSError):  # a lost connection has cancelled it as well
            if not self._ended.done():
                await self._request_cancel(None)
        await self.close()

    async def send(self, text: str) -> None:
        """Sends a delta; waits while more text is waiting to be spoken than the server takes.

        Raises:
            UnknownContext: the utterance has ended (the server would begin another one).
        """
        async with self._order:
            if self._ended.done():
                raise UnknownContext(f"utterance {self.context_id} has ended and takes no text")
            await self._open()
            for start in range(0, len(text), _PIECE_CHARS):
                piece = text[start : start + _PIECE_CHARS]
                await self._room(len(piece))
                self.text += piece
                await self._send(Text(context_id=self.context_id, text=piece))

    async def flush(self, flush_id: str | None = None) -> None:
        """Asks to speak all so far as if it were final; nothing after the end."""
        async with self._order:
            if self._ended.done():
                return
            await self._open()
            await self._send(Flush(context_id=self.context_id, flush_id=flush_id))

    async def end(self) -> None:
        """Says that no more text comes; nothing after the end."""
        async with self._order:
            if self._ended.done():
                return
            await self._open()
            await self._send(End(context_id=self.context_id))

    async def playback(self, played_samples: int) -> None:
        """Reports how much of the sound has been heard."""
        if not self._ended.done():
            await self._send(Playback(context_id=self.context_id, played_samples=played_samples))

    async def cancel(self, played_samples: int | None = None) -> Done | Cancelled:
        """Stops the speech and waits until the server has confirmed it.

        Sound that has not been taken yet is thrown away, and no more of it comes.

        Args:
            played_samples: how much was heard, so that the server can tell what was said.

        Returns:
            `Cancelled`, or `Done` when the end was faster.

        Raises:
            StreamTTSError: the error that had ended the utterance.
        """
        if not self._ended.done():
            await self._request_cancel(played_samples)
        return await asyncio.shield(self._ended)

    async def close(self) -> None:
        """Stops sending; the events that have come can still be taken."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)

    # -- what the connection calls

    def feed_from(self, deltas: Deltas) -> None:
        """Sends all deltas and the end from a task of its own."""
        name = f"streamtts text of {self.context_id}"
        self._pump = asyncio.create_task(self._feed(deltas), name=name)

    def on_message(self, message: Event | Error) -> bool:
        """Takes a message of the server; returns whether the context goes on."""
        if isinstance(message, Done | Cancelled):
            self._finish(message, None)
        elif isinstance(message, Error):
            error = from_message(message)
            if not message.final:
                return self._put(Refused(error), _EVENT_BYTES)
            self._finish(None, error)
        else:
            if isinstance(message, Opened):
                self.opened = message
            elif isinstance(message, Words):
                ends = [item.char_end for item in message.items]
                self._spoken_chars = max([self._spoken_chars, *ends])
                self._progress.set()
            return self._put(message, _EVENT_BYTES)
        return False

    def on_frame(self, header: Header, payload: bytes) -> bool:
        """Takes a binary frame; returns whether the context goes on."""
        if self._cancelling or self.opened is None:
            return True
        size = len(payload) + _EVENT_BYTES
        if header.flags & MEL:
            return self._put(self._mel(header, payload), size)
        audio = self.opened.audio
        if audio is None:
            return True
        chunk = Audio(
            seq=header.seq,
            flags=header.flags,
            first_sample=header.first_sample,
            data=payload,
            encoding=audio.encoding,
            sample_rate=audio.sample_rate,
        )
        return self._put(chunk, size)

    def fail(self, error: Exception) -> None:
        """Ends the utterance with an error of the connection."""
        self._finish(None, error)

    # -- inside

    def _mel(self, header: Header, payload: bytes) -> Mel:
        info = self.opened.mel if self.opened is not None else None
        bins = info.n_mels if isinstance(info, MelInfo) else 1
        frames = np.frombuffer(payload, "<f2").astype(np.float32).reshape(-1, bins)
        return Mel(header.seq, header.flags, header.first_sample, frames)

    def _put(self, event: Event, size: int) -> bool:
        if self._inbox.put(event, size):
            return True
        self._finish(
            None,
            Overrun(f"utterance {self.context_id} was not listened to and its queue is full"),
        )
        return False

    def _finish(self, last: Done | Cancelled | None, error: Exception | None) -> None:
        self._inbox.close(last, error)
        self._progress.set()
        if self._pump is not None and self._pump is not asyncio.current_task():
            self._pump.cancel()
        if self._ended.done():
            return
        if error is not None:
            self._ended.set_exception(error)
        elif last is not None:
            self._ended.set_result(last)

    async def _open(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None:
            await self._send(opening)

    async def _request_cancel(self, played_samples: int | None) -> None:
        self._cancelling = True
        self._inbox.clear()
        if self._pump is not None and self._pump is not asyncio.current_task():
            self._pump.cancel()
        await self._open()
        await self._send(Cancel(context_id=self.context_id, played_samples=played_samples))

    async def _room(self, chars: int) -> None:
        """Waits while the server would refuse a piece, as far as the words tell.

        What cannot be spoken has no words: after a second without any the piece is sent anyway.
        """
        while len(self.text) - self._spoken_chars + chars > self._max_chars:
            if self._ended.done():
                return
            self._progress.clear()
            try:
                async with asyncio.timeout(_ROOM_WAIT_S):
                    await self._progress.wait()
            except TimeoutError:
                return

    async def _feed(self, deltas: Deltas) -> None:
        try:
            if isinstance(deltas, AsyncIterable):
                async for delta in deltas:
                    await self.send(delta)
            else:
                for delta in (deltas,) if isinstance(deltas, str) else deltas:
                    await self.send(delta)
            await self.end()
        except Exception as error:
            if not self._ended.done():
                await self._give_up(error)

    async def _give_up(self, error: Exception) -> None:
        """The source of the text failed: its error reaches whoever listens."""
        self._finish(None, error)
        try:
            await self._send(Cancel(context_id=self.context_id))
        except Exception as lost:
            error.add_note(f"and the server could not be told: {lost}")


def _look_at_failure(ended: asyncio.Future[Done | Cancelled]) -> None:
    """Nobody has to wait for the end: its error also comes out of the iterator."""
    if not ended.cancelled():
        ended.exception()
