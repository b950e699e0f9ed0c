"""Whoever speaks for a bridge: the service of this process, or (remote.py) a server elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from streamtts import events
from streamtts.errors import Loading, StreamTTSError, TextTooLong
from streamtts.protocol.parts import VoiceInfo

if TYPE_CHECKING:
    from streamtts.context import Context
    from streamtts.service import Service
    from streamtts.settings import ContextSettings

OnEvent: TypeAlias = Callable[[events.Event], None]
LOADING_RETRY_MS = 1000


class Speech(Protocol):
    """A context of a backend. No method blocks or raises; what goes wrong is an event."""

    def feed(self, text: str) -> None:
        """More text."""

    def flush(self, flush_id: str | None) -> None:
        """Speak all so far as if it were final."""

    def end(self) -> None:
        """No more text."""

    def cancel(self, played_samples: int | None = None) -> None:
        """Stop; `Cancelled` follows."""

    def playback(self, played_samples: int) -> None:
        """So much has been heard."""


class Backend(Protocol):
    """Makes speech out of text."""

    @property
    def voices(self) -> Sequence[VoiceInfo]:
        """The first one is the default; empty while there is nobody to speak."""

    @property
    def slots(self) -> int:
        """Streams that it speaks at a time; 0 when it does not tell."""

    @property
    def max_chars(self) -> int:
        """Code points that one context may keep waiting."""

    def open(self, settings: Mapping[str, Any], on_event: OnEvent) -> Speech:
        """Opens a context; events come on the loop, after this has returned.

        Args:
            settings: as in `open` of the native protocol, with `lead_ms`.
            on_event: `Opened` or a final `Failed` comes first.
        """

    async def close(self) -> None:
        """Ends what it still speaks."""


class Door(Protocol):
    """What is needed of the server that the service belongs to (`server.gateway.Gateway`)."""

    service: Service | None
    voices: tuple[VoiceInfo, ...]

    def settings(self, given: Mapping[str, Any]) -> ContextSettings:
        """Checked settings of a context."""


class LocalBackend:
    """The service of this very process.

    Args:
        door: to the service.
        max_chars: `limits.chars_per_context`.
    """

    def __init__(self, door: Door, max_chars: int) -> None:
        self._door = door
        self._max_chars = max_chars

    @property
    def voices(self) -> Sequence[VoiceInfo]:
        """See `Backend`."""
        return self._door.voices

    @property
    def slots(self) -> int:
        """See `Backend`."""
        service = self._door.service
        return 0 if service is None else service.stats().slots

    @property
    def max_chars(self) -> int:
        """See `Backend`."""
        return self._max_chars

    def open(self, settings: Mapping[str, Any], on_event: OnEvent) -> Speech:
        """See `Backend`."""
        return _LocalSpeech(self._door, settings, on_event)

    async def close(self) -> None:
        """The service has an owner of its own."""


class _LocalSpeech:
    """A context of the service; its events hop from the service's threads onto the loop."""

    def __init__(self, door: Door, settings: Mapping[str, Any], on_event: OnEvent) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_event = on_event
        self._context: Context | None = None
        try:
            if door.service is None:
                raise Loading("the voice is being loaded", retry_after_ms=LOADING_RETRY_MS)
            self._context = door.service.open(door.settings(settings), self._tell)
        except StreamTTSError as error:
            self._fail(error, final=True)

    def feed(self, text: str) -> None:
        """See `Speech`."""
        if self._context is None:
            return
        try:
            self._context.feed(text)
        except TextTooLong as error:
            self._fail(error, final=False)

    def flush(self, flush_id: str | None) -> None:
        """See `Speech`."""
        if self._context is None:
            return
        try:
            self._context.flush(flush_id)
        except TextTooLong as error:
            self._fail(error, final=False)

    def end(self) -> None:
        """See `Speech`."""
        if self._context is not None:
            self._context.end()

    def cancel(self, played_samples: int | None = None) -> None:
        """See `Speech`."""
        if self._context is not None:
            self._context.cancel(played_samples)

    def playback(self, played_samples: int) -> None:
        """See `Speech`."""
        if self._context is not None:
            self._context.playback(played_samples)

    def _tell(self, event: events.Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._on_event, event)

    def _fail(self, error: StreamTTSError, *, final: bool) -> None:
        self._tell(events.Failed(error.code, str(error), error.retry_after_ms, final))
