"""One loudspeaker: whose turn it is, who waits, and what may go out now. No IO, no clock."""

from __future__ import annotations

from streamtts import events
from streamtts.errors import BadField, Loading, Overloaded
from streamtts.mqtt.actions import (
    Accept,
    Action,
    Delivery,
    Drop,
    Open,
    Over,
    Request,
    Speak,
    Stop,
    Tell,
)
from streamtts.mqtt.pacing import Pacer
from streamtts.mqtt.requests import check_chunk
from streamtts.mqtt.turn import Phase, Turn, unspoken

RETRY_S = 0.5  # when the server does not say when it will have a slot
CONFIRM_S = 5.0  # for the end of a context that was cancelled
_BEGINNINGS = (events.Started, events.Words, events.AudioChunk, events.Done)
_AGAIN = frozenset({Overloaded.code, Loading.code})


class Site:
    """The queue of one loudspeaker. Every method tells what is to be done now.

    Args:
        buffer_s: what its device can hold until it says something else.

    Attributes:
        online: the broker can be reached.
        largest_s: the most sound that its device ever held.
    """

    def __init__(self, buffer_s: float, *, online: bool = True) -> None:
        self.buffer_s = buffer_s
        self.online = online
        self.largest_s = 0.0
        self._turn: Turn | None = None
        self._queue: list[Request] = []

    @property
    def idle(self) -> bool:
        """Nothing is spoken and nobody waits."""
        return self._turn is None and not self._queue

    @property
    def busy(self) -> bool:
        """A request has had its slot and is not over."""
        return self._turn is not None and self._turn.begun

    @property
    def waiting(self) -> int:
        """Requests that are not acknowledged yet."""
        return len(self._queue) + (self._turn is not None and not self._turn.request.settled)

    def holds(self, session: str) -> bool:
        """Whether something that came through a session has not begun."""
        turn = self._turn
        begins = turn is not None and not turn.begun and turn.request.session == session
        return begins or any(request.session == session for request in self._queue)

    def find(self, id_: str) -> Request | None:
        """The request of that id, if it is alive."""
        alive = [*([self._turn.request] if self._turn else []), *self._queue]
        return next((request for request in alive if request.id == id_), None)

    # --- requests

    def offer(self, request: Request) -> list[Action]:
        """Takes a request that goes to the end of its priority's queue."""
        at = sum(waiting.priority >= request.priority for waiting in self._queue)
        self._queue.insert(at, request)
        return self._next()

    def cut_in(self, request: Request, now_s: float) -> list[Action]:
        """Takes a request; one of higher priority than what is spoken goes at once."""
        turn = self._turn
        if turn is None or request.priority <= turn.request.priority:
            return self.offer(request)
        self._queue.insert(0, request)
        if turn.begun:
            return self._stop(turn, None, now_s, "preempted")
        dropped: list[Action] = [Drop(turn.request)] if turn.has_context else []
        self._turn = None  # it has not begun: it only loses its place
        self._queue.insert(1, turn.request)
        return [*dropped, *self._next()]

    def cancel(
        self, id_: str, played_samples: int | None, now_s: float, reason: str = "cancel"
    ) -> list[Action]:
        """Stops a request of that id, or all of them ("*")."""
        actions: list[Action] = []
        for request in [r for r in self._queue if id_ in (r.id, "*")]:
            self._queue.remove(request)
            actions += [*unspoken(request, reason), Over(request)]
        turn = self._turn
        if turn is not None and id_ in (turn.request.id, "*"):
            actions += self._stop(turn, played_samples, now_s, reason)
        return actions

    def cancel_turn(self, now_s: float, reason: str) -> list[Action]:
        """Stops what is being spoken."""
        return [] if self._turn is None else self._stop(self._turn, None, now_s, reason)

    def withdraw(self, session: str) -> list[Action]:
        """Forgets what has not begun and came through a session that is gone."""
        actions: list[Action] = [Over(r) for r in self._queue if r.session == session]
        self._queue = [r for r in self._queue if r.session != session]
        turn = self._turn
        if turn is None or turn.begun or turn.request.session != session:
            return actions
        self._turn = None
        return [*actions, Drop(turn.request), Over(turn.request), *self._next()]

    # --- its context

    def event(self, request: Request, event: events.Event, now_s: float) -> list[Action]:
        """Something happened in the context of a request."""
        turn = self._turn
        if turn is None or turn.request is not request:
            return []
        if turn.phase is Phase.READY and isinstance(event, _BEGINNINGS):
            return [*self._accept(turn), *self.event(request, event, now_s)]
        match event:
            case events.Opened():
                return self._opened(turn, event, now_s)
            case events.AudioChunk():
                return self._chunk(turn, event, now_s)
            case events.Done():
                if turn.phase is Phase.STOPPING:  # it was faster than the cancel
                    return self._cancelled(turn, turn.heard(event.samples))
                turn.queue.append(event)
                return self.pump(now_s)
            case events.Cancelled():
                return self._cancelled(turn, event)
            case events.Failed(final=True):
                return self._failed(turn, event, now_s)
            case _:
                if isinstance(event, events.Started):
                    turn.started(event.ttfa_ms / 1000)
                if isinstance(event, events.Words):
                    turn.words.update((item.index, item) for item in event.items)
                return [] if turn.phase is Phase.STOPPING else [Tell(request, event)]

    def _opened(self, turn: Turn, opened: events.Opened, now_s: float) -> list[Action]:
        request = turn.request
        if turn.phase is not Phase.OPENING or opened.audio is None:
            return []
        try:
            if request.delivery is not Delivery.WHOLE:
                check_chunk(opened.audio)
        except BadField as error:
            failed = events.Failed(error.code, str(error), None, final=True)
            return [Drop(request), *self._end_with(turn, failed)]
        turn.audio = opened.audio
        if not request.stream:
            turn.phase = Phase.READY
            return [Speak(request)]
        if opened.queue_position:  # no text comes before it is accepted: it cannot queue there
            self._wait(turn, RETRY_S, now_s)
            return [Drop(request)]
        return self._accept(turn)

    def _accept(self, turn: Turn) -> list[Action]:
        assert turn.audio is not None
        turn.phase = Phase.SPEAKING
        turn.pacer = Pacer(turn.audio.sample_rate, self.buffer_s)
        return [Accept(turn.request, turn.audio), *turn.settle()]

    def _chunk(self, turn: Turn, chunk: events.AudioChunk, now_s: float) -> list[Action]:
        if turn.phase is Phase.SPEAKING:
            turn.queue.append(chunk)
            return self.pump(now_s)
        fades = turn.phase is Phase.STOPPING and chunk.flags & events.FLAG_FADED
        if fades and turn.sent and turn.sent == chunk.first_sample:
            return [turn.send(chunk, now_s)]
        return []

    def _failed(self, turn: Turn, failed: events.Failed, now_s: float) -> list[Action]:
        if turn.phase is Phase.STOPPING:
            return self._cancelled(turn, turn.heard(turn.sent))
        if not turn.begun and failed.code in _AGAIN:
            self._wait(turn, (failed.retry_after_ms or RETRY_S * 1000) / 1000, now_s)
            return []
        return self._end_with(turn, failed)

    # --- the device

    def playback(
        self, id_: str | None, played_samples: int | None, buffer_s: float | None, now_s: float
    ) -> list[Action]:
        """The device says how far it is and what it can hold."""
        if buffer_s is not None:
            self.buffer_s = buffer_s
        turn = self._turn
        if turn is None or turn.pacer is None:
            return []
        turn.pacer.buffer_s = self.buffer_s
        if played_samples is not None and turn.request.id == id_:
            turn.pacer.report(played_samples, now_s)
        return self.pump(now_s)

    def finished(self, id_: str) -> list[Action]:
        """The device has played all of a request that it was awaited for."""
        turn = self._turn
        if turn is None or turn.request.id != id_ or turn.phase is not Phase.PLAYING_OUT:
            return []
        return self._over(turn)

    # --- time

    def tick(self, now_s: float) -> list[Action]:
        """Does what has become due."""
        turn = self._turn
        if turn is None:
            return []
        due = now_s >= turn.until_s
        if turn.phase is Phase.WAITING and due:
            turn.phase = Phase.OPENING
            return [Open(turn.request)]
        if turn.phase is Phase.STOPPING and due:
            return [Drop(turn.request), *self._cancelled(turn, turn.heard(turn.sent))]
        if turn.phase is Phase.PLAYING_OUT and due:
            return self._over(turn)
        return self.pump(now_s)

    def wake_s(self, now_s: float) -> float | None:
        """When to call `tick` next; None: when something happens."""
        return None if self._turn is None else self._turn.wake_s(now_s, online=self.online)

    def pump(self, now_s: float) -> list[Action]:
        """Sends what fits into the device."""
        turn = self._turn
        if turn is None:
            return []
        actions = turn.pump(now_s, online=self.online)
        if turn.pacer is not None and turn.request.delivery is not Delivery.WHOLE:
            self.largest_s = max(self.largest_s, turn.pacer.largest_s)
        return actions

    # --- inside

    def _next(self) -> list[Action]:
        if self._turn is not None or not self._queue:
            return []
        self._turn = Turn(self._queue.pop(0))
        return [Open(self._turn.request)]

    def _wait(self, turn: Turn, seconds: float, now_s: float) -> None:
        turn.phase, turn.until_s = Phase.WAITING, now_s + seconds

    def _stop(
        self, turn: Turn, played_samples: int | None, now_s: float, reason: str
    ) -> list[Action]:
        if turn.phase is Phase.PLAYING_OUT:
            return self._over(turn)
        if turn.phase is Phase.STOPPING:
            return []
        if not turn.begun:
            dropped: list[Action] = [Drop(turn.request)] if turn.has_context else []
            return [*dropped, *unspoken(turn.request, reason), *self._over(turn)]
        assert turn.pacer is not None
        played = turn.pacer.played(now_s) if played_samples is None else played_samples
        turn.cut, turn.reason, made = played, reason, turn.made
        turn.queue.clear()
        if made is not None:
            return self._cancelled(turn, turn.heard(made))
        turn.phase, turn.until_s = Phase.STOPPING, now_s + CONFIRM_S
        return [Stop(turn.request, min(played, turn.sent))]

    def _cancelled(self, turn: Turn, cancelled: events.Cancelled) -> list[Action]:
        actions = turn.send_end()
        told = events.Cancelled(
            cancelled.generated_samples,
            turn.sent,
            cancelled.spoken_chars,
            cancelled.spoken_words,
            cancelled.spoken_text,
        )
        return [*actions, Tell(turn.request, told, turn.reason), *self._over(turn)]

    def _end_with(self, turn: Turn, failed: events.Failed) -> list[Action]:
        ending = [*turn.settle(), *turn.send_end()]
        return [*ending, Tell(turn.request, failed), *self._over(turn)]

    def _over(self, turn: Turn) -> list[Action]:
        self._turn = None
        return [Over(turn.request), *self._next()]
