"""A backend on another host: the native protocol, over connections that come back by themselves.

The client library is handed in by the command line: rooms of the server do not import it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from streamtts import events
from streamtts.errors import BadField, Loading, Overloaded, StreamTTSError, TextTooLong
from streamtts.mqtt.backend import LOADING_RETRY_MS, OnEvent, Speech
from streamtts.mqtt.wire import read_event
from streamtts.protocol.messages import Ready
from streamtts.protocol.parts import AudioRequest, VoiceInfo

MAX_LINKS = 16
MAX_COMMANDS = 10_000
GROW_RETRY_MS = 200
PING_S = 2.0
FIRST_BACKOFF_S, LAST_BACKOFF_S = 0.5, 15.0
_DEFAULT_MAX_CHARS = 20_000

logger = logging.getLogger(__name__)


class Utterance(Protocol):
    """What is needed of `streamtts.client.Utterance`."""

    def __aiter__(self) -> AsyncIterator[Any]:
        """Its events."""

    async def send(self, text: str) -> None:
        """A delta; opens the context."""

    async def flush(self, flush_id: str | None = None) -> None:
        """A flush."""

    async def end(self) -> None:
        """No more text."""

    async def playback(self, played_samples: int) -> None:
        """So much has been heard."""

    async def cancel(self, played_samples: int | None = None) -> object:
        """Stop."""


class Connection(Protocol):
    """What is needed of `streamtts.client.Connection`."""

    ready: Ready

    @property
    def speak(self) -> Callable[..., Utterance]:
        """Begins an utterance."""

    async def ping(self) -> float:
        """Seconds there and back; raises when the connection has ended."""


# A connection whose contexts may be so many milliseconds ahead.
Connect: TypeAlias = Callable[[int], contextlib.AbstractAsyncContextManager[Connection]]


class RemoteBackend:
    """A server elsewhere.

    Args:
        connect: to it.
        on_change: told when it comes or goes.
    """

    def __init__(self, connect: Connect, on_change: Callable[[], None] = lambda: None) -> None:
        self.on_change = on_change
        self._connect = connect
        self._links: dict[int, list[_Link]] = {}
        self._ready: Ready | None = None

    @property
    def voices(self) -> Sequence[VoiceInfo]:
        """See `Backend`."""
        return () if self._ready is None else self._ready.voices

    @property
    def slots(self) -> int:
        """See `Backend`."""
        return 0

    @property
    def max_chars(self) -> int:
        """See `Backend`."""
        return _DEFAULT_MAX_CHARS if self._ready is None else self._ready.limits.chars_per_context

    def start(self, lead_ms: int) -> None:
        """Connects already, so that the first request need not wait."""
        self._grow(lead_ms)

    def open(self, settings: Mapping[str, Any], on_event: OnEvent) -> Speech:
        """See `Backend`."""
        fields = dict(settings)
        lead_ms: int = fields.pop("lead_ms")
        link = next((link for link in self._links.get(lead_ms, ()) if link.has_room), None)
        error: StreamTTSError | None = None
        if link is None:
            error = self._no_link(lead_ms)
        elif fields.pop("speaker", None):
            error = BadField("speaker: voices with several speakers: not yet")
        return _RemoteSpeech(link if error is None else None, fields, on_event, error)

    async def close(self) -> None:
        """See `Backend`."""
        tasks = [link.task for links in self._links.values() for link in links]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _no_link(self, lead_ms: int) -> StreamTTSError:
        links = self._links.get(lead_ms, [])
        if any(link.connection is None for link in links):
            return Loading("the server cannot be reached", retry_after_ms=LOADING_RETRY_MS)
        if sum(map(len, self._links.values())) < MAX_LINKS:
            self._grow(lead_ms)
        return Overloaded("every connection is full", retry_after_ms=GROW_RETRY_MS)

    def _grow(self, lead_ms: int) -> None:
        link = _Link(lambda: self._connect(lead_ms), self._on_link)
        self._links.setdefault(lead_ms, []).append(link)

    def _on_link(self, ready: Ready | None) -> None:
        connected = any(link.connection for links in self._links.values() for link in links)
        if ready is not None or not connected:
            self._ready = ready
            self.on_change()


class _Link:
    """One connection, and again."""

    def __init__(
        self,
        connect: Callable[[], contextlib.AbstractAsyncContextManager[Connection]],
        on_change: Callable[[Ready | None], None],
    ) -> None:
        self.connection: Connection | None = None
        self.alive = 0
        self._connect = connect
        self._on_change = on_change
        self.task = asyncio.create_task(self._run(), name="mqtt link to the server")

    @property
    def has_room(self) -> bool:
        return self.connection is not None and self.alive < self.connection.ready.limits.contexts

    async def _run(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            try:
                async with self._connect() as connection:
                    backoff_s = FIRST_BACKOFF_S
                    self.connection = connection
                    logger.info("connected to %s", connection.ready.server)
                    self._on_change(connection.ready)
                    while True:
                        await connection.ping()
                        await asyncio.sleep(PING_S)
            except StreamTTSError as error:
                logger.warning("the server: %s; trying again in %.1f s", error, backoff_s)
            finally:
                if self.connection is not None:
                    self.connection = None
                    self._on_change(None)
            await asyncio.sleep(backoff_s)
            backoff_s = min(LAST_BACKOFF_S, 2 * backoff_s)


class _RemoteSpeech:
    """A context of the server, behind a queue of what is to be sent."""

    def __init__(
        self,
        link: _Link | None,
        settings: dict[str, Any],
        on_event: OnEvent,
        error: StreamTTSError | None,
    ) -> None:
        self._on_event = on_event
        self._link = link
        self._waiting_chars = 0
        self._commands: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._utterance: Utterance | None = None
        connection = link.connection if link is not None else None
        self._max_chars = connection.ready.limits.chars_per_context if connection else 0
        if connection is not None and link is not None:
            audio = AudioRequest(**settings.pop("audio", {}))
            try:
                self._utterance = connection.speak(
                    None, audio=audio, on_conflict="parallel", **settings
                )
            except StreamTTSError as lost:
                error = lost
        if self._utterance is None or link is None:
            asyncio.get_running_loop().call_soon(self._failed, error or Loading("no server"))
            return
        link.alive += 1
        self._writer = self._run(self._write(self._utterance))
        self._run(self._read(self._utterance, link))

    def feed(self, text: str) -> None:
        """See `Speech`."""
        if self._waiting_chars + len(text) > self._max_chars:
            why = f"{self._waiting_chars} characters wait to be sent already"
            self._failed(TextTooLong(why, retry_after_ms=LOADING_RETRY_MS), final=False)
            return
        self._waiting_chars += len(text)
        self._put("feed", text)

    def flush(self, flush_id: str | None) -> None:
        """See `Speech`."""
        self._put("flush", flush_id)

    def end(self) -> None:
        """See `Speech`."""
        self._put("end", None)

    def cancel(self, played_samples: int | None = None) -> None:
        """See `Speech`."""
        if self._utterance is not None:
            self._writer.cancel()
            self._run(self._quietly(self._utterance.cancel(played_samples)))

    def playback(self, played_samples: int) -> None:
        """See `Speech`."""
        if self._utterance is not None:
            self._run(self._quietly(self._utterance.playback(played_samples)))

    def _put(self, what: str, value: Any) -> None:
        if self._commands.qsize() < MAX_COMMANDS:
            self._commands.put_nowait((what, value))

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="mqtt remote speech")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _quietly(self, work: Coroutine[Any, Any, object]) -> None:
        with contextlib.suppress(StreamTTSError):  # the reader tells of it
            await work

    async def _write(self, utterance: Utterance) -> None:
        with contextlib.suppress(StreamTTSError):
            await utterance.send("")  # opens the context
            while True:
                what, value = await self._commands.get()
                if what == "feed":
                    await utterance.send(value)
                    self._waiting_chars -= len(value)
                elif what == "flush":
                    await utterance.flush(value)
                else:
                    await utterance.end()

    async def _read(self, utterance: Utterance, link: _Link) -> None:
        try:
            async for message in utterance:
                event = read_event(message)
                if event is not None:
                    self._on_event(event)
        except StreamTTSError as error:
            self._failed(error)
        finally:
            link.alive -= 1
            self._writer.cancel()

    def _failed(self, error: StreamTTSError, *, final: bool = True) -> None:
        code, retry_after_ms = error.code, error.retry_after_ms
        if type(error) is not StreamTTSError and code == StreamTTSError.code:
            code, retry_after_ms = Loading.code, LOADING_RETRY_MS  # the connection, not the server
        self._on_event(events.Failed(code, str(error), retry_after_ms, final))
