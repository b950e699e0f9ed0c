"""The small buffer of a loudspeaker. No IO, no clock.

The server sends so much ahead as the loudspeaker says that it can hold, and no more. For that it
must know what the loudspeaker does:

1. Play from the first chunk on, at once. Waiting for more only makes the buffer smaller.
2. Say a fifth less than there is room for, and at least one chunk less (`buffer_ms` in `playback`):
   chunks that a network has held up come together.
3. Tell `played_samples` at the first chunk and then a few times a second; the server counts on by
   itself in between, and so the clocks of both cannot drift apart.
4. Nothing there: play silence, and go on with whatever comes next, again without waiting. A hole
   in `first_sample` is sound that was lost: skip it, and count it as played.
5. No room: throw away what is too much, and never block the network or the sound card for it.
6. The flag `last` says that running dry is the end now, not an underrun.
7. Silence wanted: fade out at once, throw away the rest, and tell in `cancel` how many samples were
   heard; `cancelled` then says which words those were.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_MARGIN_MS = 40  # one chunk
FADE_MS = 5
BURST_S = 0.03  # what comes within so long is one burst
_STEADY_S = 1.0  # from when on the lowest level counts


def told_ms(buffer_ms: int) -> int:
    """What to tell the server of a room of `buffer_ms`."""
    return buffer_ms - max(MIN_MARGIN_MS, buffer_ms // 5)


class Buffer:
    """Sound of one request that has come and has not been played.

    Args:
        rate: Hz.
        buffer_ms: room.

    Attributes:
        position: the next sample to be played, counted from the request's first.
        held: samples that wait.
        started: something has come.
        last: nothing more comes.
        underruns: how often it ran dry and more came afterwards.
        dry_s: for how long in all.
        lost: samples that never came.
        dropped: samples for which there was no room.
        peak: the most samples that it held at a time; with those that wait elsewhere.
        lowest: the fewest once it was running; None when it was over before.
        burst: the most samples that came within `BURST_S`.
    """

    def __init__(self, rate: int, buffer_ms: float) -> None:
        self.rate = rate
        self.position = self.held = 0
        self.started = self.last = False
        self.underruns = self.lost = self.dropped = self.peak = self.burst = 0
        self.dry_s = 0.0
        self.lowest: int | None = None
        self._room = round(rate * buffer_ms / 1000)
        self._blocks: deque[NDArray[np.float32]] = deque()
        self._starts: deque[int] = deque()  # `first_sample` of each block
        self._end = 0  # where the next chunk should begin
        self._dry_since_s: float | None = None
        self._silenced = False
        self._arrivals: deque[tuple[float, int]] = deque()

    def put(
        self, first_sample: int, samples: NDArray[np.float32], now_s: float, elsewhere: int = 0
    ) -> None:
        """Takes a chunk.

        Args:
            first_sample: of its header.
            samples: float32 (S,).
            now_s: monotonic seconds.
            elsewhere: samples that fill the same room: on their way through the sound card.
        """
        if self._silenced or not len(samples):
            return
        self._note_burst(len(samples), now_s)
        self._note_level(elsewhere, now_s)
        self.lost += max(0, first_sample - self._end)
        samples = samples[max(0, self._end - first_sample) :]  # without what is there already
        start = max(first_sample, self._end)
        self._end = start + len(samples)
        self.started = True
        fits = samples[: max(0, self._room - self.held - elsewhere)]
        self.dropped += len(samples) - len(fits)
        if len(fits):
            if not self.held:
                self.position = start
            self._blocks.append(fits)
            self._starts.append(start)
            self.held += len(fits)
            self.peak = max(self.peak, self.held + elsewhere)

    def take(self, count: int) -> NDArray[np.float32]:
        """The next samples to be played, at most `count`: float32 (S,)."""
        parts: list[NDArray[np.float32]] = []
        while count > 0 and self._blocks:
            block, start = self._blocks.popleft(), self._starts.popleft()
            part = block[:count]
            if len(part) < len(block):
                self._blocks.appendleft(block[len(part) :])
                self._starts.appendleft(start + len(part))
            parts.append(part)
            count -= len(part)
            self.held -= len(part)
            self.position = start + len(part)
        if self._starts:
            self.position = self._starts[0]  # over a hole
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def ran_dry(self, now_s: float) -> None:
        """The loudspeaker has nothing to play."""
        if self.started and not self.last and not self.held and self._dry_since_s is None:
            self._dry_since_s = now_s

    def silence(self) -> int:
        """Fades out what is held and takes nothing more.

        Returns:
            the samples of the request that will have been heard then.
        """
        if self._silenced:
            return self.position + self.held
        fade = self.take(self.rate * FADE_MS // 1000)
        self._blocks.clear()
        self._starts.clear()
        self.held = len(fade)
        end = self.position if not len(fade) else self._fade_end(fade)
        self.last = self._silenced = True
        return end

    @property
    def over(self) -> bool:
        """Everything that comes has come and was taken."""
        return self.last and not self.held

    def _fade_end(self, fade: NDArray[np.float32]) -> int:
        end = self.position
        self.position = end - len(fade)
        self._blocks.append(fade * np.linspace(1, 0, len(fade), dtype=np.float32))
        self._starts.append(self.position)
        return end

    def _note_burst(self, count: int, now_s: float) -> None:
        self._arrivals.append((now_s, count))
        while now_s - self._arrivals[0][0] > BURST_S:
            self._arrivals.popleft()
        self.burst = max(self.burst, sum(count for _, count in self._arrivals))

    def _note_level(self, elsewhere: int, now_s: float) -> None:
        if self._dry_since_s is not None:
            self.underruns += 1
            self.dry_s += now_s - self._dry_since_s
            self._dry_since_s = None
        if self.position > _STEADY_S * self.rate and not self.last:
            level = self.held + elsewhere
            self.lowest = level if self.lowest is None else min(self.lowest, level)
