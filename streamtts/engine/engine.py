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
from streamtts.engine.commands import Command, Commands
from streamtts.engine.roster import Roster
from streamtts.engine.runner import DROPPED_FRAMES, Row, Runner, Sound
from streamtts.engine.scheduler import Scheduler
from streamtts.engine.sink import Chunk, Sink, StreamRequest
from streamtts.engine.stream import CHUNK_FRAMES, Status, Stream
from streamtts.errors import Overloaded, StreamStuck, StreamTTSError
from streamtts.text.symbols import Symbol

MAX_COMMANDS = 4096
BATCH_ROWS = 64
_COMMAND_WAIT_S = 10.0

_logger = logging.getLogger(__name__)


class Engine:
    """Streams that share one model.

    Args:
        runner: the model with its slots.
        config: `queue` and `stuck_s` are read; slots are the runner's.
        clock: monotonic seconds.
        cost_clock: CPU seconds of the calling thread.

    Attributes:
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
        self.step_s = runner.step_frames * runner.hop_length / runner.sample_rate
        self._scheduler = Scheduler(BATCH_ROWS)
        self._commands = Commands(MAX_COMMANDS, _COMMAND_WAIT_S)
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._numbers = itertools.count(1)
        self._roster = Roster(runner, clock)
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
        """Streams that may be alive at a time: slots, and places in the queue for one."""
        return self._runner.slots + self._config.queue

    @property
    def underruns(self) -> int:
        """Chunks that came too late, of the streams that are over."""
        return self._roster.underruns

    @property
    def starved_s(self) -> float:
        """Gaps because text had not come, of the streams that are over."""
        return self._roster.starved_s

    @property
    def active(self) -> int:
        """Streams that hold a slot."""
        return len(self._roster.active)

    @property
    def waiting(self) -> int:
        """Streams that wait for a slot."""
        return len(self._roster.waiting)

    def submit(self, request: StreamRequest, sink: Sink) -> Stream:
        """A new stream; it waits for a slot and for symbols.

        Raises:
            Overloaded: too many wait already.
        """
        if len(self._roster.waiting) >= self.capacity:
            raise Overloaded(f"all {self._runner.slots} slots are busy and the queue is full")
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
            first_frames=min(frames, CHUNK_FRAMES),
        )
        self._put(lambda: self._roster.waiting.append(stream))
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
        """Steps until `close`, and sleeps while nothing can move."""
        while not self._stopping:
            if not self.step():
                now_s = self._clock()
                wake_s = self._scheduler.wake_s(self._roster.active, now_s)
                nap_s = self._config.stuck_s if wake_s is None else max(0.0, wake_s - now_s)
                self._commands.sleep(min(nap_s, self._config.stuck_s))

    def step(self) -> bool:
        """One turn: commands, cancels, admission, one decoder step, the vocoder calls due.

        Returns:
            whether anything moved.
        """
        begun_s = self._cost_clock()
        try:
            commands = self._apply_commands()
            gone = self._drop_cancelled()
            admitted = self._roster.admit()
            moved = self._advance(begun_s)
        except Exception as error:
            _logger.exception("the engine failed; every stream is ended")
            self._fail_all(StreamTTSError(f"internal error: {type(error).__name__}"))
            moved = True
            commands = gone = admitted = 0
        self.compute_s += self._cost_clock() - begun_s
        return moved or bool(commands or gone or admitted)

    def _apply_commands(self) -> int:
        commands = self._commands.take()
        for command in commands:
            command()
        return len(commands)

    def _drop_cancelled(self) -> int:
        gone = [s for s in self._roster.everybody if s.cancel_requested]
        for stream in gone:
            self._roster.remove(stream)
            self._roster.tell(stream, stream.sink.cancelled, stream.stats())
        return len(gone)

    def _advance(self, begun_s: float) -> bool:
        now_s = self._clock()
        for stream in self._roster.active:
            self._runner.encode_ahead(stream)
        batch = self._scheduler.choose(self._roster.active, now_s)
        if batch:
            self._decode(batch, now_s)
        due = [s for s in self._roster.active if s.frames_due]
        for frames in sorted({s.frames_due for s in due}):
            self._vocode([s for s in due if s.frames_due == frames], frames)
        touched = batch or due
        if touched:
            share_s = (self._cost_clock() - begun_s) / len(touched)
            for stream in touched:
                stream.compute_s += share_s
        for stream in [s for s in self._roster.active if s.finished and not s.paused]:
            self._finish(stream)
        self._watch()
        return bool(touched)

    def _decode(self, batch: Sequence[Stream], now_s: float) -> None:
        rows = [Row(stream.slot, *stream.before_step()) for stream in batch]
        for stream, made in zip(batch, self._runner.step(rows), strict=True):
            stream.after_step(made.hazard, made.leave, made.frames)
            stream.progress_s = now_s
        self.steps += 1
        self.stream_steps += len(batch)

    def _vocode(self, streams: Sequence[Stream], frames: int) -> None:
        sounds = self._runner.vocode([s.slot for s in streams], frames)
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
            stream.playout.sent(self._clock(), sent_s or 0.0)

    def _watch(self) -> None:
        """Tells who waits for text, and ends who is stuck."""
        now_s = self._clock()
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
        return stream.can_step and not self._scheduler.may_step(stream, now_s)

    def _fail_all(self, error: StreamTTSError) -> None:
        streams = self._roster.everybody
        for stream in streams:
            self._roster.fail(stream, error)
        self._runner.reset()
