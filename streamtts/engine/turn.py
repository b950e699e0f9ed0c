"""One turn of the engine: encode, one decoder step, the vocoder calls due, and who is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
_WATCH_S = 0.01  # how often those that did not move are looked at


class Turns:
    """Moves the streams that have a slot; only the engine's thread may call this.

    Args:
        runner: the model.
        roster: the streams.
        admission: is told what turns take.
        tallies: are filled.
        stuck_s: seconds without progress after which a stream is ended.
        is_called: whether another thread has asked for something since the turn began.
        clock: monotonic seconds.
        cost_clock: CPU seconds of the calling thread.

    Attributes:
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
        self._watched_s = 0.0
        self.steps = 0
        self.stream_steps = 0

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
        if batch:
            self._decode(batch, now_s)
        touched = batch + self._make_sound(now_s, stepping=bool(batch))
        self._admission.took(self._clock() - now_s, len(batch), len(active))
        if touched:
            share_s = (self._cost_clock() - begun_s) / len(touched)
            for stream in touched:
                stream.compute_s += share_s
        watches = not touched or now_s - self._watched_s >= _WATCH_S
        for stream in [s for s in (active if watches else batch) if s.finished and not s.paused]:
            self._finish(stream)
        if watches:
            self._watch(now_s)
        return bool(touched)

    def _make_sound(self, now_s: float, *, stepping: bool) -> list[Stream]:
        """Vocoder calls for those whose chunk is due.

        Whoever hurries is served at once. Those who have time wait while a few hurry alone, and
        until a call is full as long as there are steps to make.
        """
        touched: list[Stream] = []
        active = self._roster.active
        scheduler = self._scheduler
        while group := scheduler.choose_sound(active, now_s):
            if not scheduler.hurries(group[0], now_s):
                full = len(group) * group[0].frames_due > SOUND_FRAMES // 2
                if scheduler.alone or (stepping and not full):
                    break
            self._vocode(group, group[0].frames_due)
            touched += group
            if self._is_called():
                break
        return touched

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

    def _vocode(self, streams: Sequence[Stream], frames: int) -> None:
        begun_s = self._clock()
        sounds = self._runner.vocode([s.slot for s in streams], frames)
        self._tallies.sound_s.add(self._clock() - begun_s)
        self._tallies.sound_rows.add(len(streams))
        for stream, sound in zip(streams, sounds, strict=True):
            self._deliver(stream, sound, frames, last=False)

    def _finish(self, stream: Stream) -> None:
        if stream.steps:
            sound = self._runner.finish(stream.slot)
            self._deliver(stream, sound, stream.frames_pending, last=True)
        if stream.status is Status.ACTIVE and not stream.cancel_requested:
            self._roster.remove(stream)
            self._roster.tell(stream, stream.sink.ended, stream.stats())

    def _deliver(self, stream: Stream, sound: Sound, frames: int, *, last: bool) -> None:
        chunk = Chunk(sound.samples, sound.mel, stream.on_chunk(frames), last)
        if not stream.cancel_requested:
            sent_s = self._roster.tell(stream, stream.sink.deliver, chunk)
            self._roster.sent(stream, sent_s or 0.0)
        self._scheduler.after_chunk(stream, self._clock())

    def _watch(self, now_s: float) -> None:
        """Tells who waits for text, and ends who is stuck."""
        self._watched_s = now_s
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
