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
from streamtts.engine.roster import Roster, internal_error
from streamtts.engine.runner import DROPPED_FRAMES, Runner
from streamtts.engine.sink import Sink, StreamRequest
from streamtts.engine.stream import CHUNK_FRAMES, SPARE_FRAMES, Stream
from streamtts.engine.tallies import Tallies
from streamtts.engine.turn import Turns
from streamtts.errors import Overloaded, StreamTTSError
from streamtts.text.symbols import Symbol

MAX_COMMANDS = 4096
_COMMAND_WAIT_S = 10.0

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
        self._commands = Commands(MAX_COMMANDS, _COMMAND_WAIT_S)
        self._broken = False  # the runner could not be reset
        self._thread: threading.Thread | None = None
        self._numbers = itertools.count(1)
        self.tallies = Tallies()
        self._admission = Admission(
            NO_COSTS,
            steps_per_s=1 / self.step_s,
            frames_per_s=1 / self._frame_s,
            slots=runner.slots,
            clock=clock,
        )
        self._roster = Roster(
            runner,
            self._admission,
            self.tallies,
            queue=config.queue,
            queue_s=config.queue_s,
            clock=clock,
        )
        self._turns = Turns(
            runner,
            self._roster,
            self._admission,
            self.tallies,
            beside=config.threads > 1,
            stuck_s=config.stuck_s,
            is_called=lambda: self._commands.waiting,
            clock=clock,
            cost_clock=cost_clock,
        )
        self.compute_s = 0.0
        self._refusals = 0  # at submission, before the engine's thread has seen it
        self._refusals_lock = threading.Lock()

    # --- from any thread --------------------------------------------------------------------

    @property
    def runner(self) -> Runner:
        """The model; its sizes may be read from any thread."""
        return self._runner

    @property
    def steps(self) -> int:
        """Decoder steps so far, of the batch."""
        return self._turns.steps

    @property
    def stream_steps(self) -> int:
        """Decoder steps so far, of all streams together."""
        return self._turns.stream_steps

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

    @property
    def refused(self) -> int:
        """Streams that found no place in the queue."""
        return self._refusals + self.tallies.refused

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
        try:
            self._roster.check_room()
        except Overloaded:
            with self._refusals_lock:
                self._refusals += 1
            raise
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
        self._put(stream, lambda: self._roster.enter(stream))
        return stream

    def feed(self, stream: Stream, symbols: Sequence[Symbol]) -> None:
        """More symbols, whole words and pauses.

        Raises:
            Overloaded: the engine has not kept up for seconds.
        """
        now_s = self._clock()
        self._put(stream, lambda: stream.feed(symbols, now_s))

    def flush(self, stream: Stream) -> None:
        """What was fed so far is spoken without waiting for more; then as `feed`."""
        now_s = self._clock()
        self._put(stream, lambda: stream.flush(now_s))

    def end(self, stream: Stream) -> None:
        """No more symbols; then as `feed`."""
        now_s = self._clock()
        self._put(stream, lambda: stream.end(now_s))

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
        self._commands.stop()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._turns.close()
        self._apply_commands()
        for stream in self._roster.everybody:
            stream.cancel_requested = True
        self._drop_cancelled()

    def _put(self, stream: Stream, command: Command) -> None:
        self._commands.put(lambda: self._obey(stream, command), wait=self._thread is not None)

    # --- the engine's thread ----------------------------------------------------------------

    def run(self) -> None:
        """Measures the model, then steps until `close`, and sleeps while nothing can move."""
        self._admission.costs = self._runner.measure()
        self._turns.begin()
        while not self._commands.stopped:
            if not self.step():
                self._commands.sleep(self._nap_s())

    def _nap_s(self) -> float:
        now_s = self._clock()
        wakes = (self._turns.wake_s(now_s), self._roster.expires_s())
        until_s = min((w for w in wakes if w is not None), default=math.inf)
        return min(max(0.0, until_s - now_s), self._config.stuck_s)

    def step(self) -> bool:
        """One turn: commands, cancels, admission, one decoder step, one vocoder call.

        Returns:
            whether anything moved.
        """
        begun_s = self._cost_clock()
        if self._broken and not self._reset():
            self._apply_commands()
            self._fail_all(StreamTTSError("internal error: the model is gone"))
            return False
        try:
            events = self._apply_commands()
            self._turns.land_for_cancels()
            events += self._drop_cancelled()
            events += self._roster.expire()
            events += self._roster.admit()
            moved = self._turns.advance(begun_s)
        except Exception as error:
            _logger.exception("the engine failed; every stream is ended")
            self._turns.abandon()
            self._fail_all(internal_error(error))
            self._reset()
            moved, events = True, 0
        self.compute_s += self._cost_clock() - begun_s + self._turns.beside_s
        self._turns.beside_s = 0.0
        return moved or bool(events)

    def _apply_commands(self) -> int:
        commands = self._commands.take()
        for command in commands:
            command()
        return len(commands)

    def _obey(self, stream: Stream, command: Command) -> None:
        """A command that fails ends its own stream and nobody else's."""
        try:
            command()
        except Exception as error:
            _logger.exception("a command failed; its stream is ended")
            self._roster.fail(stream, internal_error(error))

    def _drop_cancelled(self) -> int:
        gone = [s for s in self._roster.everybody if s.cancel_requested]
        for stream in gone:
            self._roster.remove(stream)
            if stream.cancel_asked_s:
                self.tallies.cancel_s.add(self._clock() - stream.cancel_asked_s)
            self._roster.tell(stream, stream.sink.cancelled, stream.stats())
        return len(gone)

    def _fail_all(self, error: StreamTTSError) -> None:
        for stream in self._roster.everybody:
            self._roster.fail(stream, error)

    def _reset(self) -> bool:
        """Empties the runner; when that fails it is tried again at the next turn."""
        try:
            self._runner.reset()
        except Exception:
            _logger.exception("the model could not be reset")
            self._broken = True
        else:
            self._broken = False
        return not self._broken
