"""The one API that every transport uses: contexts in, events out. No sockets."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from streamtts.context import Context
from streamtts.events import Event
from streamtts.settings import ContextSettings

__all__ = ["Context", "ContextSettings", "Service", "ServiceStats"]


class ServiceStats(msgspec.Struct, frozen=True, kw_only=True):
    """A moment of the service, and totals since it started.

    Attributes:
        contexts: alive now.
        streams: that hold a slot now.
        waiting: streams that wait for a slot.
        slots: all of them.
        opened: contexts ever opened.
        done: ended by themselves.
        cancelled: cut short.
        failed: ended by an error.
        steps: decoder steps of the engine.
        stream_steps: decoder steps of all streams together.
        audio_s: seconds of sound made.
        compute_s: CPU seconds spent on them by the engine's thread.
        underruns: chunks that came too late.
        starved_s: gaps because text had not come.
        chars: code points fed.
    """

    contexts: int
    streams: int
    waiting: int
    slots: int
    opened: int
    done: int
    cancelled: int
    failed: int
    steps: int
    stream_steps: int
    audio_s: float
    compute_s: float
    underruns: int
    starved_s: float
    chars: int


class Service:
    """Contexts on top of one engine."""

    @property
    def ready(self) -> bool:
        """True between `warm_up` and `drain`."""
        raise NotImplementedError

    def start(self) -> None:
        """Starts the engine's and the text's thread."""
        raise NotImplementedError

    def warm_up(self) -> None:
        """Speaks a sentence to nobody, and waits for its end: then `ready` is True."""
        raise NotImplementedError

    def open(
        self,
        settings: ContextSettings,
        on_event: Callable[[Event], None],
        *,
        queued: bool = False,
    ) -> Context:
        """Opens a context; sends `Opened` before it returns, from the caller's own thread.

        Later events come from worker threads, one at a time. An `on_event` that raises cancels
        its context. With `queued` nothing is spoken before `Context.release`.

        Raises:
            BadField: a setting out of range.
            UnknownVoice: no such voice.
            Overloaded: every slot and every place in the queue is taken.
            Loading: the service is draining.
        """
        raise NotImplementedError

    def drain(self) -> None:
        """Refuses new contexts from now on; those that run go on to their end."""
        raise NotImplementedError

    def wait_idle(self, timeout_s: float) -> bool:
        """Blocks until no context is left, or the time is over; returns whether none is left."""
        raise NotImplementedError

    def close(self) -> None:
        """Cancels what still runs and stops the threads; blocks until they have ended."""
        raise NotImplementedError

    def stats(self) -> ServiceStats:
        """What /metrics shows."""
        raise NotImplementedError
