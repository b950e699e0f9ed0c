"""The request that a loudspeaker is busy with: where it stands and what waits to be sent."""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field

from streamtts import events
from streamtts.mqtt.actions import Action, Delivery, Played, Request, Send, Settle, Tell
from streamtts.mqtt.pacing import Pacer

GRACE_S = 0.5  # on top of a sound's length, for a device that says when it has played it
DRIFT_S = 0.05  # between the device and what its context was told last
MIN_WAKE_S = 0.001
OFFLINE_WAKE_S = 0.25
CALM_TTFA_S = 0.05  # beyond it many are starting at once: what comes next will be late as well
MAX_HOLD_S = 0.25
HELD_S = 0.2  # with so much sound nothing need be held back any more


class Phase(enum.Enum):
    """Where the turn of a request stands."""

    OPENING = "opening"
    WAITING = "waiting"  # the server had no slot: asks again at `until_s`
    READY = "ready"  # its context has the whole text, and no slot yet
    SPEAKING = "speaking"
    STOPPING = "stopping"
    PLAYING_OUT = "playing out"


_UNBEGUN = frozenset({Phase.OPENING, Phase.WAITING, Phase.READY})


@dataclass(eq=False, slots=True)
class Turn:
    """One request from its beginning to the last sample that its device plays.

    Attributes:
        request: it.
        phase: where it stands.
        audio: what its context makes; None before that is open.
        pacer: of its device; None before it is accepted.
        queue: chunks that do not fit into the device yet, and the end.
        until_s: when to ask again, to give up or to be over, by `phase`.
        reason: why it is stopped.
        cut: samples that had been heard then.
        last_sent: the device has got the last chunk.
        words: with their times, by index.
        hold_s: how long the first sound is held back for the next to be there.
    """

    request: Request
    phase: Phase = Phase.OPENING
    audio: events.AudioInfo | None = None
    pacer: Pacer | None = None
    queue: deque[events.AudioChunk | events.Done] = field(default_factory=deque)
    until_s: float = 0.0
    reason: str = "cancel"
    cut: int = 0
    last_sent: bool = False
    words: dict[int, events.TimedItem] = field(default_factory=dict)
    hold_s: float = 0.0
    _hold_until_s: float | None = None
    _told_s: float | None = None
    _told_samples: int = 0

    @property
    def begun(self) -> bool:
        """Whether it has had a slot."""
        return self.phase not in _UNBEGUN

    @property
    def has_context(self) -> bool:
        """Whether a context was asked for that may still tell something."""
        return self.phase is not Phase.WAITING

    @property
    def sent(self) -> int:
        """Samples that its device has got."""
        return 0 if self.pacer is None else self.pacer.sent

    def send(self, chunk: events.AudioChunk, now_s: float) -> Send:
        """Sends a chunk."""
        assert self.pacer is not None
        self.pacer.send(chunk.samples, now_s)
        self.last_sent = bool(chunk.flags & events.FLAG_LAST)
        return Send(self.request, chunk)

    def send_end(self) -> list[Action]:
        """An empty last chunk, for a device that has got some sound but not the last of it."""
        if not self.sent or self.last_sent:
            return []
        self.last_sent = True
        flags = events.FLAG_LAST | events.FLAG_FADED
        return [Send(self.request, events.AudioChunk(-1, flags, self.sent, b"", 0))]

    @property
    def made(self) -> int | None:
        """Samples of the whole utterance, once its context is over and can tell nothing more."""
        end = self.queue[-1] if self.queue else None
        return end.samples if isinstance(end, events.Done) else None

    def heard(self, made: int) -> events.Cancelled:
        """What was heard before it was cut, by the words' times; as its context would tell it."""
        sample = min(self.cut, self.sent)
        ended = [w for w in self.words.values() if w.end is not None and w.end <= sample]
        chars = max((word.char_end for word in ended), default=0)
        text = "".join([self.request.text, *self.request.deltas])
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return events.Cancelled(made, self.sent, chars, len(ended), whole[:chars])

    def settle(self) -> list[Action]:
        """Acknowledges the request, once."""
        if self.request.settled:
            return []
        self.request.settled = True
        return [Settle(self.request)]

    def started(self, ttfa_s: float) -> None:
        """The first chunk follows; a late one of a text that was all there tells of a crowd."""
        if not self.request.stream:
            self.hold_s = max(0.0, min(MAX_HOLD_S, ttfa_s - CALM_TTFA_S))

    def _holds(self, now_s: float) -> bool:
        """Whether the first sound is still held back: a device plays what it gets at once."""
        if self.sent or not self.hold_s or self.pacer is None or not self.queue:
            return False
        if self._hold_until_s is None:
            self._hold_until_s = now_s + self.hold_s
        sizes = [c.samples for c in self.queue if isinstance(c, events.AudioChunk)]
        there = len(sizes) < len(self.queue) or sum(sizes) >= HELD_S * self.pacer.sample_rate
        return not there and now_s < self._hold_until_s

    def pump(self, now_s: float, *, online: bool) -> list[Action]:
        """Sends what fits into the device; nothing while the broker cannot be reached."""
        pacer = self.pacer
        if self.phase is not Phase.SPEAKING or pacer is None:
            return []
        actions: list[Action] = []
        whole = self.request.delivery is Delivery.WHOLE
        while self.queue and (online or whole) and not self._holds(now_s):
            head = self.queue[0]
            if isinstance(head, events.AudioChunk):
                if not whole and not pacer.fits(head.samples, now_s):
                    break
                self.queue.popleft()
                actions.append(self.send(head, now_s))
                continue
            self.queue.popleft()
            self.phase = Phase.PLAYING_OUT
            grace_s = 0.0 if self.request.delivery is Delivery.PACED else GRACE_S
            self.until_s = now_s + pacer.held_s(now_s) + grace_s
            return [*actions, Tell(self.request, head)]
        return [*actions, *self._tell_played(pacer, now_s)]

    def wake_s(self, now_s: float, *, online: bool) -> float | None:
        """When something becomes due; None: when something happens."""
        if self.phase in (Phase.OPENING, Phase.READY):
            return None
        if self.phase is not Phase.SPEAKING:
            return self.until_s
        if self.pacer is None or not self.queue:
            return None
        if not online:
            return now_s + OFFLINE_WAKE_S
        if self._hold_until_s is not None and not self.sent:
            return max(now_s + MIN_WAKE_S, self._hold_until_s)
        head = self.queue[0]
        samples = head.samples if isinstance(head, events.AudioChunk) else 0
        return now_s + max(MIN_WAKE_S, self.pacer.wait_s(samples, now_s))

    def _tell_played(self, pacer: Pacer, now_s: float) -> list[Action]:
        """Keeps the context's idea of its listener near the device's."""
        if self.request.delivery is Delivery.WHOLE or not (pacer.sent or self.queue):
            return []
        played = pacer.played(now_s)
        passed_s = 0.0 if self._told_s is None else now_s - self._told_s
        drift_s = passed_s + (self._told_samples - played) / pacer.sample_rate
        if self._told_s is not None and abs(drift_s) <= DRIFT_S:
            return []
        self._told_s, self._told_samples = now_s, played
        return [Played(self.request, played)]


def unspoken(request: Request, reason: str) -> list[Action]:
    """The end of a request that had not begun."""
    request.settled = True
    return [Settle(request), Tell(request, nothing_spoken(0), reason)]


def nothing_spoken(generated: int) -> events.Cancelled:
    """The end of a context of which nothing was heard."""
    return events.Cancelled(generated, 0, 0, 0, "")
