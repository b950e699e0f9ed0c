"""One turn of the engine: encode, one decoder step, the vocoder calls due, and who is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent import futures
from typing import NamedTuple

from streamtts.engine.admission import Admission
from streamtts.engine.holding import Row
from streamtts.engine.roster import Roster
from streamtts.engine.runner import Runner, Sound
from streamtts.engine.scheduler import Scheduler
from streamtts.engine.sink import Chunk
from streamtts.engine.stream import Status, Stream
from streamtts.engine.tallies import Tallies
from streamtts.errors import StreamStuck

BATCH_ROWS = 256
SOUND_FRAMES = 256  # of one vocoder call, all rows together: what still fits into the caches
_WORTH_FRAMES = 64
_FINISHED_AT_ONCE = 2
_WATCH_S = 0.01  # how often those that did not move are looked at


class _Flight(NamedTuple):
    """A vocoder call on the second thread: for whom, frames of each, and what it will give."""

    streams: list[Stream]
    frames: int
    future: futures.Future[tuple[list[Sound], float]]


class Turns:
    """Moves the streams that have a slot; only the engine's thread may call this.

    Args:
        runner: the model.
        roster: the streams.
        admission: is told what turns take.
        tallies: are filled.
        beside: large vocoder calls run on a second thread, beside the decoder's steps.
        stuck_s: seconds without progress after which a stream is ended.
        is_called: whether another thread has asked for something since the turn began.
        clock: monotonic seconds.
        cost_clock: CPU seconds of the calling thread.

    Attributes:
        beside_s: CPU seconds on the second thread that nobody has counted yet.
        steps: decoder steps so far, of the batch.
        stream_steps: decoder steps of all streams together.
    """

    def __init__(
        self,
        runner: Runner,
        roster: Roster,
        admission: Admission,
        tallies: Tallies,
        *,
        beside: bool,
        stuck_s: float,
        is_called: Callable[[], bool],
        clock: Callable[[], float],
        cost_clock: Callable[[], float],
    ) -> None:
        self._runner = runner
        self._roster = roster
        self._admission = admission
        self._tallies = tallies
        self._stuck_s = stuck_s
        self._is_called = is_called
        self._clock = clock
        self._cost_clock = cost_clock
        self._scheduler = Scheduler(BATCH_ROWS, SOUND_FRAMES)
        self._pool = futures.ThreadPoolExecutor(1, "vocoder") if beside else None
        self._calls: list[int] = []  # frames of the vocoder calls since they were last counted
        self._flight: _Flight | None = None
        self.beside_s = 0.0
        self._watched_s = 0.0
        self.steps = 0
        self.stream_steps = 0

    def begin(self) -> None:
        """Starts the second thread now, and not with the first large call."""
        if self._pool is not None:
            self._pool.submit(int).result()

    def close(self) -> None:
        """Ends the second thread."""
        self.abandon()
        if self._pool is not None:
            self._pool.shutdown()

    def wake_s(self, now_s: float) -> float | None:
        """When a stream that rests may go on; None when there is none."""
        return self._scheduler.wake_s(self._roster.active, now_s)

    def advance(self, begun_s: float) -> bool:
        """Moves all that can move together.

        Args:
            begun_s: CPU seconds of the thread when the turn began; what follows is shared among
                the streams that moved.

        Returns:
            whether any did.
        """
        now_s = self._clock()
        active = self._roster.active
        self._runner.encode_ahead(active)
        batch = self._scheduler.choose(active, now_s)
        self._admission.crowded = self._scheduler.crowded
        touched = batch + self._step_and_sound(batch, now_s)
        watches = not touched or now_s - self._watched_s >= _WATCH_S
        over = self._finish_some(active if watches else batch)
        if touched:
            self._account(touched, begun_s, now_s, len(batch))
        if watches:
            self._watch(now_s)
        return bool(touched or over)

    def _account(self, touched: Sequence[Stream], begun_s: float, now_s: float, rows: int) -> None:
        share_s = (self._cost_clock() - begun_s + self.beside_s) / len(touched)
        for stream in touched:
            stream.compute_s += share_s
        if not all(self._scheduler.is_at_ease(s, now_s) for s in touched):
            calls, self._calls = self._calls, []
            self._admission.took(self._clock() - now_s, rows, calls)

    def _step_and_sound(self, batch: Sequence[Stream], now_s: float) -> list[Stream]:
        """Lands the large vocoder call that is done, makes a step and the calls due; for whom."""
        touched = self.land(wait=False)
        if batch and self._pool is not None and self._flight is None:
            group = self._next_group(now_s, stepping=True)
            if group and self._is_large(group):
                self._take_off(group)
        if batch:
            self._decode(batch, now_s)
        while group := self._next_group(now_s, stepping=bool(batch)):
            if self._pool is not None and self._is_large(group):
                if self._flight is not None:
                    break
                self._take_off(group)
                continue
            frames = group[0].frames_due
            sounds, _ = self._sound([s.slot for s in group], frames)
            self._deliver_all(group, sounds, frames)
            touched += group
            if self._is_called():
                break
        if not batch and not touched:
            touched = self.land(wait=True)  # there is nothing else to do
        return touched

    def _take_off(self, group: list[Stream]) -> None:
        """Hands a vocoder call to the second thread; nobody in it moves until it has landed."""
        assert self._pool is not None
        frames = group[0].frames_due
        for stream in group:
            stream.in_flight = True
        future = self._pool.submit(self._sound, [s.slot for s in group], frames)
        self._flight = _Flight(group, frames, future)

    def land(self, *, wait: bool) -> list[Stream]:
        """Delivers what the second thread has made.

        Args:
            wait: for it, if it is not done.

        Returns:
            for whom; nobody when nothing was under way or it is not done.
        """
        flight = self._flight
        if flight is None or not (wait or flight.future.done()):
            return []
        self._flight = None
        for stream in flight.streams:
            stream.in_flight = False
        sounds, cost_s = flight.future.result()
        self.beside_s += cost_s
        self._deliver_all(flight.streams, sounds, flight.frames)
        return flight.streams

    def land_for_cancels(self) -> None:
        """A stream cannot leave while the second thread works on it: waits for that."""
        if self._flight is not None and any(s.cancel_requested for s in self._flight.streams):
            self.land(wait=True)

    def abandon(self) -> None:
        """Forgets what is under way, once it has ended; for when everything has failed."""
        if self._flight is not None:
            futures.wait([self._flight.future])
            self._flight = None

    @staticmethod
    def _is_large(group: Sequence[Stream]) -> bool:
        """Whether a vocoder call is worth handing to the second thread."""
        return len(group) * group[0].frames_due >= _WORTH_FRAMES

    def _next_group(self, now_s: float, *, stepping: bool) -> list[Stream]:
        """Whose frames become sound next.

        Whoever hurries is served at once. Those who have time wait until a call is full as long as
        there are steps to make, and with a single thread while a few hurry alone.
        """
        scheduler = self._scheduler
        group = scheduler.choose_sound(self._roster.active, now_s)
        if not group:
            return []
        if scheduler.hurries(group[0], now_s):
            return [s for s in group if not scheduler.alone or scheduler.hurries(s, now_s)]
        full = len(group) * group[0].frames_due > SOUND_FRAMES // 2
        if stepping and not full:
            return []
        return [] if scheduler.alone and self._pool is None else group

    def _sound(self, slots: Sequence[int], frames: int) -> tuple[list[Sound], float]:
        """A vocoder call, on any thread: what it gives, and the CPU seconds that it took."""
        begun_s, cost_s = self._clock(), self._cost_clock()
        sounds = self._runner.vocode(slots, frames)
        self._tallies.sound_s.add(self._clock() - begun_s)
        self._tallies.sound_rows.add(len(slots))
        self._calls.append(len(slots) * frames)
        return sounds, self._cost_clock() - cost_s

    def _deliver_all(self, streams: Sequence[Stream], sounds: Sequence[Sound], frames: int) -> None:
        for stream, sound in zip(streams, sounds, strict=True):
            self._deliver(stream, sound, frames)

    def _finish_some(self, streams: Sequence[Stream]) -> int:
        """Ends streams that are over, a few in a turn: sixty at once would keep all waiting."""
        over = [s for s in streams if s.finished and not s.paused and not s.frames_due]
        over.sort(key=lambda s: s.playout.slack_s(self._clock()))
        for stream in over[:_FINISHED_AT_ONCE]:
            self._finish(stream)
        return len(over)

    def _decode(self, batch: Sequence[Stream], now_s: float) -> None:
        rows = [Row(stream.slot, *stream.before_step()) for stream in batch]
        begun_s = self._clock()
        stepped = self._runner.step(rows)
        self._tallies.step_s.add(self._clock() - begun_s)
        self._tallies.step_rows.add(len(batch))
        for stream, made in zip(batch, stepped, strict=True):
            stream.after_step(made.hazard, made.leave, made.frames)
            stream.progress_s = now_s
            if stream.cancel_requested:
                self._tallies.cancel_steps += 1
        self.steps += 1
        self.stream_steps += len(batch)

    def _finish(self, stream: Stream) -> None:
        if stream.cancel_requested:  # it is dropped in the next turn
            return
        if stream.steps:
            sound = self._runner.finish(stream.slot)
            self._deliver(stream, sound, stream.frames_pending, last=True)
        # A cancel that came during the last chunk is too late: everything has been said.
        if stream.status is Status.ACTIVE:
            self._roster.remove(stream)
            self._roster.tell(stream, stream.sink.ended, stream.stats())

    def _deliver(self, stream: Stream, sound: Sound, frames: int, *, last: bool = False) -> None:
        chunk = Chunk(sound.samples, sound.mel, stream.on_chunk(frames), last)
        if last or not stream.cancel_requested:
            sent_s = self._roster.tell(stream, stream.sink.deliver, chunk)
            self._roster.sent(stream, sent_s or 0.0)
        self._scheduler.after_chunk(stream, self._clock())

    def _watch(self, now_s: float) -> None:
        """Tells who waits for text, and ends who is stuck."""
        self._watched_s = now_s
        active = self._roster.active
        if active:
            self._admission.speed = sum(s.request.speed for s in active) / len(active)
        for stream in list(self._roster.active):
            if stream.paused:
                stream.playout.excuse()
            if not stream.can_step and not stream.finished and not stream.starved_told:
                stream.starved_told = True
                self._roster.tell(stream, stream.sink.starved, stream.fed)
            if stream.starved_told:
                stream.playout.held = True
            if stream.paused or not stream.must_move or self._rests(stream, now_s):
                stream.progress_s = now_s
            elif now_s - stream.progress_s > self._stuck_s:
                self._roster.fail(stream, StreamStuck(f"no progress for {self._stuck_s:g} s"))

    def _rests(self, stream: Stream, now_s: float) -> bool:
        return stream.can_step and self._scheduler.rests(stream, now_s)
