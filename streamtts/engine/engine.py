"""The engine: streams join and leave between two steps, and all that can move together.

`step` does one turn and may be called by hand; `start` runs it on a thread of its own. Every
other method may be called from any thread and returns at once. Text goes through one bounded
queue; cancels, pauses and playback reports are flags on the stream, so that they never wait.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

from streamtts.config import EngineConfig
from streamtts.engine.admission import NO_COSTS, Admission
from streamtts.engine.commands import Command, Commands
from streamtts.engine.roster import Roster
from streamtts.engine.runner import DROPPED_FRAMES, Row, Runner, Sound
from streamtts.engine.scheduler import Scheduler
from streamtts.engine.sink import Chunk, Sink, StreamRequest
from streamtts.engine.stream import CHUNK_FRAMES, SPARE_FRAMES, Status, Stream
from streamtts.engine.tallies import Tallies
from streamtts.errors import StreamStuck, StreamTTSError
from streamtts.text.symbols import Symbol

MAX_COMMANDS = 4096
BATCH_ROWS = 256
SOUND_FRAMES = 256  # of one vocoder call, all rows together: what still fits into the caches
_COMMAND_WAIT_S = 10.0
_WATCH_S = 0.01  # how often those that did not move are looked at

_logger = logging.getLogger(__name__)


class Engine:
    """Streams that share one model.

    Args:
        runner: the model with its slots.
        config: `queue`, `queue_s` and `stuck_s` are read; slots are the runner's.
        clock: monotonic seconds.
        cost_clock: CPU seconds of the calling thread.

    Attributes:
        tallies: what the operator may want to know.
        steps: decoder steps so far, of the batch.
        stream_steps: decoder steps of all streams together.
        compute_s: CPU seconds of all turns.
    """

    def __init__(
        self,
        runner: Runner,
        config: EngineConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        cost_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._runner = runner
        self._config = config
        self._clock = clock
        self._cost_clock = cost_clock
        self._frame_s = runner.hop_length / runner.sample_rate
        self.step_s = runner.step_frames * self._frame_s
        self._scheduler = Scheduler(BATCH_ROWS, SOUND_FRAMES)
        self._commands = Commands(MAX_COMMANDS, _COMMAND_WAIT_S)
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._numbers = itertools.count(1)
        self.tallies = Tallies()
        self._admission = Admission(
            NO_COSTS,
            steps_per_s=1 / self.step_s,
            frames_per_s=1 / self._frame_s,
            slots=runner.slots,
        )
        self._roster = Roster(
            runner,
            self._admission,
            self.tallies,
            queue=config.queue,
            queue_s=config.queue_s,
            clock=clock,
        )
        self._watched_s = 0.0
        self.steps = 0
        self.stream_steps = 0
        self.compute_s = 0.0

    # --- from any thread --------------------------------------------------------------------

    @property
    def runner(self) -> Runner:
        """The model; its sizes may be read from any thread."""
        return self._runner

    @property
    def capacity(self) -> int:
        """Streams that can be kept in time, by what their steps cost here and now."""
        return self._admission.capacity

    @property
    def underruns(self) -> int:
        """Chunks that came too late."""
        return self._roster.underruns

    @property
    def starved_s(self) -> float:
        """Gaps because text had not come."""
        return self._roster.starved_s

    @property
    def active(self) -> int:
        """Streams that hold a slot."""
        return len(self._roster.active)

    @property
    def waiting(self) -> int:
        """Streams that wait for a slot."""
        return len(self._roster.waiting)

    def leads_s(self) -> tuple[float, ...]:
        """How far ahead of its listener each stream is that sounds and has text."""
        now_s = self._clock()
        return tuple(
            s.playout.slack_s(now_s)
            for s in tuple(self._roster.active)
            if s.playout.started and not s.paused and not s.starved_told
        )

    def check_room(self) -> int:
        """Whether a stream submitted now would be taken.

        Returns:
            its place in the queue, 0 when it would get a slot at once.

        Raises:
            Overloaded: it would be refused; says when to try again.
        """
        return self._roster.check_room()

    def submit(self, request: StreamRequest, sink: Sink) -> Stream:
        """A new stream; it waits for a slot and for symbols.

        Raises:
            Overloaded: too many wait already. One that finds the queue full only when the
                engine's thread comes to it is told so through its sink.
        """
        self._roster.check_room()
        runner = self._runner
        tail_samples = math.ceil(request.tail_s * runner.sample_rate)
        frames = math.ceil((tail_samples + runner.delay_samples) / runner.hop_length)
        hidden = runner.lookahead_frames + DROPPED_FRAMES
        stream = Stream(
            next(self._numbers),
            request,
            sink,
            self._clock(),
            flush_steps=math.ceil((frames * request.speed + hidden) / runner.step_frames),
            first_frames=min(frames, CHUNK_FRAMES) + SPARE_FRAMES,
            frame_s=self._frame_s,
        )
        self._put(lambda: self._roster.enter(stream))
        return stream

    def feed(self, stream: Stream, symbols: Sequence[Symbol]) -> None:
        """More symbols, whole words and pauses.

        Raises:
            Overloaded: the engine has not kept up for seconds.
        """
        self._put(lambda: stream.feed(symbols))

    def flush(self, stream: Stream) -> None:
        """What was fed so far is spoken without waiting for more; then as `feed`."""
        self._put(stream.flush)

    def end(self, stream: Stream) -> None:
        """No more symbols; then as `feed`."""
        self._put(stream.end)

    def cancel(self, stream: Stream) -> None:
        """Ends a stream before the next step; nothing is made after it."""
        stream.cancel_asked_s = self._clock()
        stream.cancel_requested = True
        self._commands.ring()

    def set_paused(self, stream: Stream, paused: bool) -> None:
        """Takes a stream out of the schedule and back."""
        stream.paused = paused
        self._commands.ring()

    def playback(self, stream: Stream, played_s: float) -> None:
        """The listener has played that much."""
        stream.playout.report(self._clock(), played_s)
        self._commands.ring()

    def start(self) -> None:
        """Runs the engine on its own thread until `close`."""
        self._thread = threading.Thread(target=self.run, name="engine", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops the thread and cancels what is left."""
        self._stopping = True
        self._commands.ring()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._apply_commands()
        for stream in self._roster.everybody:
            stream.cancel_requested = True
        self._drop_cancelled()

    def _put(self, command: Command) -> None:
        self._commands.put(command, wait=self._thread is not None)

    # --- the engine's thread ----------------------------------------------------------------

    def run(self) -> None:
        """Measures the model, then steps until `close`, and sleeps while nothing can move."""
        self._admission.costs = self._runner.measure()
        while not self._stopping:
            if not self.step():
                self._commands.sleep(self._nap_s())

    def _nap_s(self) -> float:
        now_s = self._clock()
        roster = self._roster
        wakes = (self._scheduler.wake_s(roster.active, now_s), roster.expires_s())
        until_s = min((w for w in wakes if w is not None), default=math.inf)
        return min(max(0.0, until_s - now_s), self._config.stuck_s)

    def step(self) -> bool:
        """One turn: commands, cancels, admission, one decoder step, one vocoder call.

        Returns:
            whether anything moved.
        """
        begun_s = self._cost_clock()
        try:
            events = self._apply_commands()
            events += self._drop_cancelled()
            events += self._roster.expire()
            events += self._roster.admit()
            moved = self._advance(begun_s)
        except Exception as error:
            _logger.exception("the engine failed; every stream is ended")
            self._fail_all(StreamTTSError(f"internal error: {type(error).__name__}"))
            moved, events = True, 0
        self.compute_s += self._cost_clock() - begun_s
        return moved or bool(events)

    def _apply_commands(self) -> int:
        commands = self._commands.take()
        for command in commands:
            command()
        return len(commands)

    def _drop_cancelled(self) -> int:
        gone = [s for s in self._roster.everybody if s.cancel_requested]
        for stream in gone:
            self._roster.remove(stream)
            if stream.cancel_asked_s:
                self.tallies.cancel_s.add(self._clock() - stream.cancel_asked_s)
            self._roster.tell(stream, stream.sink.cancelled, stream.stats())
        return len(gone)

    def _advance(self, begun_s: float) -> bool:
        now_s = self._clock()
        active = self._roster.active
        self._runner.encode_ahead(active)
        batch = self._scheduler.choose(active, now_s)
        if batch:
            self._decode(batch, now_s)
        touched = batch + self._make_sound(now_s)
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

    def _make_sound(self, now_s: float) -> list[Stream]:
        """Vocoder calls for those whose chunk is due.

        While somebody hurries to the next step, only those who hurry themselves get more than one
        call in between.
        """
        touched: list[Stream] = []
        active = self._roster.active
        scheduler = self._scheduler
        while group := scheduler.choose_sound(active, now_s):
            calm = not scheduler.hurries(group[0], now_s)
            if touched and calm and scheduler.somebody_hurries(active, now_s):
                break
            self._vocode(group, group[0].frames_due)
            touched += group
            if calm and self._commands.waiting:
                break
        return touched

    def _decode(self, batch: Sequence[Stream], now_s: float) -> None:
        rows = [Row(stream.slot, *stream.before_step()) for stream in batch]
        begun_s = self._clock()
        stepped = self._runner.step(rows)
        self.tallies.step_s.add(self._clock() - begun_s)
        self.tallies.step_rows.add(len(batch))
        for stream, made in zip(batch, stepped, strict=True):
            stream.after_step(made.hazard, made.leave, made.frames)
            stream.progress_s = now_s
            if stream.cancel_requested:
                self.tallies.cancel_steps += 1
        self.steps += 1
        self.stream_steps += len(batch)

    def _vocode(self, streams: Sequence[Stream], frames: int) -> None:
        begun_s = self._clock()
        sounds = self._runner.vocode([s.slot for s in streams], frames)
        self.tallies.sound_s.add(self._clock() - begun_s)
        self.tallies.sound_rows.add(len(streams))
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
            elif now_s - stream.progress_s > self._config.stuck_s:
                self._roster.fail(
                    stream, StreamStuck(f"no progress for {self._config.stuck_s:g} s")
                )

    def _rests(self, stream: Stream, now_s: float) -> bool:
        return stream.can_step and self._scheduler.rests(stream, now_s)

    def _fail_all(self, error: StreamTTSError) -> None:
        streams = self._roster.everybody
        for stream in streams:
            self._roster.fail(stream, error)
        self._runner.reset()
