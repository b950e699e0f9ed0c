"""One context: text in, events out. See service.py for how it is driven."""

from __future__ import annotations

from streamtts.events import Opened


class Context:
    """One utterance or dialogue turn. Every method returns at once and may be called anywhere.

    Attributes:
        opened: the event that was sent when the context was made.
    """

    opened: Opened

    @property
    def ended(self) -> bool:
        """True once `Done`, `Cancelled` or a final `Failed` has been sent."""
        raise NotImplementedError

    def feed(self, text: str) -> None:
        """Takes a delta; in silence when the context has ended.

        Raises:
            TextTooLong: too much text waits to be spoken; nothing of this delta was taken.
        """
        raise NotImplementedError

    def flush(self, flush_id: str | None = None) -> None:
        """Speaks all so far as if final; answered by `Flushed`, in order.

        Raises:
            TextTooLong: too many flushes wait.
        """
        raise NotImplementedError

    def end(self) -> None:
        """No more text: `Done` follows when all is spoken."""
        raise NotImplementedError

    def cancel(self, played_samples: int | None = None) -> None:
        """Stops within one step: a last chunk fades out, then `Cancelled`."""
        raise NotImplementedError

    def playback(self, played_samples: int) -> None:
        """The listener's clock, in samples of the output audio."""
        raise NotImplementedError

    def set_paused(self, paused: bool) -> None:
        """Stops and resumes making sound, for a transport whose outbox is full."""
        raise NotImplementedError

    def release(self) -> None:
        """Lets a context that was opened with `queued` speak; otherwise nothing happens."""
        raise NotImplementedError
