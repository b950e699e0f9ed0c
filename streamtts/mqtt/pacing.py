"""What a device holds: how much of its sound has been played, and when more of it fits."""

from __future__ import annotations

_ROUNDING_S = 1e-6


class Pacer:
    """The buffer of one device while one request is spoken. Times come from outside.

    It plays from the first chunk on, in real time, and waits where nothing is there; its own
    reports correct that.

    Args:
        sample_rate: Hz.
        buffer_s: what the device can hold.

    Attributes:
        sent: samples that have gone out.
        buffer_s: may change while it speaks.
        largest_s: the most that the device ever held.
    """

    def __init__(self, sample_rate: int, buffer_s: float) -> None:
        self.sample_rate = sample_rate
        self.buffer_s = buffer_s
        self.sent = 0
        self.largest_s = 0.0
        self._played = 0.0
        self._at_s: float | None = None

    def played(self, now_s: float) -> int:
        """Samples that have been heard."""
        self._advance(now_s)
        return round(self._played)

    def held_s(self, now_s: float) -> float:
        """Sound that the device holds."""
        self._advance(now_s)
        return (self.sent - self._played) / self.sample_rate

    def fits(self, samples: int, now_s: float) -> bool:
        """Whether so many more may go out; always into an empty device."""
        return self.wait_s(samples, now_s) <= _ROUNDING_S

    def wait_s(self, samples: int, now_s: float) -> float:
        """Seconds until so many more may go out."""
        held_s = self.held_s(now_s)
        over_s = held_s + samples / self.sample_rate - self.buffer_s
        return max(0.0, min(held_s, over_s))

    def send(self, samples: int, now_s: float) -> None:
        """Notes that so many more have gone out."""
        self._advance(now_s)
        if self._at_s is None:
            self._at_s = now_s
        self.sent += samples
        self.largest_s = max(self.largest_s, self.held_s(now_s))

    def report(self, played_samples: int, now_s: float) -> None:
        """The device says how far it is."""
        if self._at_s is not None:
            self._at_s = now_s
            self._played = float(min(played_samples, self.sent))

    def _advance(self, now_s: float) -> None:
        if self._at_s is None:
            return
        passed = max(0.0, now_s - self._at_s) * self.sample_rate
        self._played = min(float(self.sent), self._played + passed)
        self._at_s = max(self._at_s, now_s)
