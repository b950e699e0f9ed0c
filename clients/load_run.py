"""One load run, from the first connection to the report."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import load_arrivals
import load_host
import load_wire
import msgspec
from load_arrivals import Arrival
from load_line import Line, Lines
from load_server import Watch
from load_stream import Stream
from load_summary import Ended, summarise
from load_tally import Tally
from load_texts import SENTENCES

from streamtts.client import ConnectionLost
from streamtts.errors import StreamTTSError

if TYPE_CHECKING:
    from load_spec import LoadReport, LoadSpec

_PACE_LIMIT_S = 60.0
_SILENCE_S = 1.0  # after a connection broke, without a sign of life: is the server still there?
_DIALS = 50  # at a time, before a burst
_FAR_S = 3600.0  # the window of a burst begins when all its streams are connected
_LOOK_TICKS = 20  # between two looks at the server's memory


async def run(spec: LoadSpec, *, stop: asyncio.Event | None = None) -> LoadReport:
    """Loads a server and tells how it went.

    Args:
        spec: what to do.
        stop: ends the run early when it is set; the report is marked as partial then.

    Raises:
        BadField: a number of the spec makes no sense, or the address is none.
        StreamTTSError: the server cannot be reached, or does not take a first stream.
    """
    spec.check()
    pace = spec.s_per_char
    if pace:
        await _greet(spec)
    else:
        pace = await speaking_pace(spec)
    watch = Watch(spec.pid, spec.url, spec.key)
    with load_host.undisturbed(spec.priority) as priority:
        return await _Run(spec, pace, watch, priority, stop or asyncio.Event()).go()


async def speaking_pace(spec: LoadSpec) -> float:
    """Seconds of speech a character, from one utterance that is made as fast as it can be.

    Raises:
        StreamTTSError: the server cannot be reached, or refuses it.
    """
    over = asyncio.Event()
    now_s = time.monotonic()
    text = " ".join((spec.sentences or SENTENCES)[:4])
    alone = msgspec.structs.replace(spec, lead_ms=0, text="whole", per_connection=1)
    stream = Stream(0, Arrival(0.0, (text,)), alone, 1.0, Tally(now_s, now_s))
    lines = Lines(alone, lambda _: over.set(), over.set)
    try:
        line = await lines.take(stream)
        stream.give(time.monotonic(), line.post)
        async with asyncio.timeout(_PACE_LIMIT_S):
            await over.wait()
    except TimeoutError:
        why = f"the first stream was not spoken within {_PACE_LIMIT_S:g} s"
        raise ConnectionLost(why) from None
    finally:
        await lines.close()
    if stream.refused:
        raise StreamTTSError(f"the server refused the first stream: {stream.refused}")
    if stream.error or not stream.audio_s:
        raise ConnectionLost(f"the first stream failed: {stream.error or 'it had no sound'}")
    return stream.audio_s / len(text)


async def _greet(spec: LoadSpec) -> None:
    """Connects once, so that what is wrong with the server is said before anything is counted."""
    line = Line(lambda _: None, lambda: None)
    try:
        await line.open(load_wire.target(spec.url), spec.key, None)
    finally:
        line.close()
        await line.closed()


class _Run:
    def __init__(
        self, spec: LoadSpec, pace: float, watch: Watch, priority: str, stop: asyncio.Event
    ) -> None:
        self._spec = spec
        self._pace = pace
        self._watch = watch
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._plan = load_arrivals.plan(spec, pace)
        self._lines = Lines(spec, self._on_spoken, self._on_lost)
        self._tally = Tally(0.0, 0.0)
        self._streams: list[Stream] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._halt = asyncio.Event()
        self._all_begun = False
        self._ticks = 0
        self._broken_s: float | None = None
        self._ended = Ended(spec=spec, pace=pace, priority=priority, rate=self._plan.rate_per_s)

    async def go(self) -> LoadReport:
        dialling_s = _FAR_S if self._spec.arrival == "burst" else 0.0
        self._place_window(time.monotonic() + self._spec.ramp_s + dialling_s)
        ticker = load_host.Ticker(self._on_tick)
        try:
            if self._spec.arrival == "burst":
                await self._burst()
            bracket = self._spawn(self._bracket(), "load window")
            if self._spec.arrival == "poisson":
                await self._poisson()
            await self._halt.wait()
            await bracket
        finally:
            ticker.stop()
            await self._leave()
        self._ended.lags = ticker.between(self._tally.begin_s, self._tally.end_s)
        return summarise(self._ended, self._tally, self._streams, self._watch)

    # -- how streams come

    async def _poisson(self) -> None:
        for arrival in self._plan.arrivals:
            if not await self._until(self._tally.begin_s + arrival.at_s):
                return
            stream = self._stream(arrival)
            self._spawn(self._serve(stream), "load stream")

    async def _burst(self) -> None:
        """Connects first: what comes at once is the text."""
        room = asyncio.Semaphore(_DIALS)
        lines: dict[Stream, Line] = {}

        async def connect(stream: Stream) -> None:
            async with room:
                if line := await self._take(stream):
                    lines[stream] = line

        streams = [self._stream(arrival) for arrival in self._plan.arrivals]
        dialled = asyncio.gather(*(self._spawn(connect(x), "load connection") for x in streams))
        halted = asyncio.create_task(self._halt.wait(), name="load halt")
        either: set[asyncio.Future[Any]] = {dialled, halted}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        halted.cancel()
        if self._halt.is_set():
            dialled.cancel()
            return
        self._place_window(time.monotonic())
        for stream in streams:
            stream.due_s = self._tally.begin_s
            if stream in lines:
                self._spawn(self._give(stream, lines[stream]), "load stream")
        self._all_begun = True

    def _stream(self, arrival: Arrival) -> Stream:
        stream = Stream(len(self._streams), arrival, self._spec, self._pace, self._tally)
        self._streams.append(stream)
        return stream

    async def _serve(self, stream: Stream) -> None:
        line = await self._take(stream)
        if line is not None:
            await self._give(stream, line)

    async def _take(self, stream: Stream) -> Line | None:
        try:
            return await self._lines.take(stream)
        except StreamTTSError as error:
            stream.fail(time.monotonic(), error.code, str(error))
            if isinstance(error, ConnectionLost):
                self._on_lost()
            return None

    async def _give(self, stream: Stream, line: Line) -> None:
        began_s = time.monotonic()
        stream.give(began_s, line.post)
        for number in range(1, len(stream.pieces)):
            due_s = began_s + number / self._spec.tokens_per_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            if stream.spoken:
                return
            stream.give_piece(number, line.post)

    # -- how they end

    def _on_spoken(self, stream: Stream) -> None:
        end_s = stream.end_s
        self._loop.call_later(max(0.0, end_s - time.monotonic()), stream.heard, end_s)

    def _on_lost(self) -> None:
        if self._broken_s is None:
            self._broken_s = time.monotonic()

    def _on_tick(self, now_s: float) -> None:
        tally = self._tally
        self._ticks += 1
        if self._ticks % _LOOK_TICKS == 0:
            self._watch.look()
        if self._stop.is_set():
            self._end_early(now_s, "interrupted")
        elif now_s >= tally.end_s + self._spec.tail_s or (now_s >= tally.end_s and self._quiet()):
            self._halt.set()
        elif self._all_begun and all(x.spoken and x.end_s <= now_s for x in self._streams):
            tally.end_s = min(tally.end_s, now_s)
            self._halt.set()
        if self._broken_s is not None and tally.life_s > self._broken_s:
            self._broken_s = None
        if self._broken_s is not None and now_s - self._broken_s > _SILENCE_S:
            self._broken_s = None
            self._spawn(self._knock(), "load knock")

    def _quiet(self) -> bool:
        """Whether no stream of the window waits for its first sound any more."""
        return all(x.answered for x in self._streams if self._tally.inside(x.due_s))

    async def _knock(self) -> None:
        try:
            await _greet(self._spec)
        except ConnectionLost as gone:
            self._end_early(time.monotonic(), f"the server went away: {gone}")
        except StreamTTSError:
            return  # it is there, and has no room

    def _end_early(self, now_s: float, why: str) -> None:
        if not self._halt.is_set() and now_s < self._tally.end_s:
            self._ended.partial = why
            self._tally.end_s = max(self._tally.begin_s, now_s)
        self._halt.set()

    async def _bracket(self) -> None:
        """Reads the clocks at both ends of the window."""
        ended = self._ended
        if not await self._until(self._tally.begin_s):
            return
        await self._watch.begin()
        cpu_s, waited_s = time.thread_time(), load_host.waited_s()
        await self._until(self._tally.end_s)
        ended.cpu_s = time.thread_time() - cpu_s
        ended.waited_s = load_host.waited_s() - waited_s
        await self._watch.end()

    async def _leave(self) -> None:
        now_s = self._ended.at_s = time.monotonic()
        for stream in self._streams:
            if self._tally.inside(stream.due_s) and not stream.answered:
                self._ended.unanswered += 1
            stream.stop(now_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._lines.close()

    # -- inside

    def _place_window(self, begin_s: float) -> None:
        self._tally.begin_s = begin_s
        self._tally.end_s = begin_s + self._spec.seconds

    async def _until(self, at_s: float) -> bool:
        """Waits for a moment; False when the run has ended before."""
        wait_s = at_s - time.monotonic()
        if wait_s > 0 and not self._halt.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._halt.wait()
        return not self._halt.is_set()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
