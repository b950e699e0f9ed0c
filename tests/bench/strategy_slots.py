"""S4: fixed slots, a 2 ms poll, an unbounded queue.

The way of moshi-server (Kyutai's): a fixed number of slots, whoever comes later waits in a queue
without a bound; a thread steps all occupied slots together, as fast as it can, whether their
listeners need it yet or not, and when nothing can move it sleeps 2 ms and looks again. Text is
spoken as it comes. Slots, batched step and streaming vocoder are our own engine's, driven by hand,
so the difference is the strategy alone: no playout clock, nobody first, no admission, no bell.
"""

import asyncio
import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from strategy_sentences import WARM_UP, load

from streamtts.config import EngineConfig
from streamtts.engine import turn
from streamtts.engine.engine import Engine
from streamtts.engine.runner import Runner
from streamtts.engine.scheduler import Scheduler
from streamtts.engine.sink import StreamRequest
from streamtts.text.frontend import FrontEnd
from streamtts.text.phonemes import Pronouncer, load_lexicon

SLOTS = 64
POLL_S = 0.002
UNBOUNDED = 1_000_000  # streams that may wait, and seconds for which they may
REQUEST = StreamRequest(seed=0, speed=1.0, pitch=1.0, pitch_range=1.0, audio=True, mel=False,
                        lead_s=0.0, tail_s=0.0)  # fmt: skip


class AllTogether(Scheduler):
    """Whoever can move moves, in one batch, without regard to any listener."""

    def choose(self, streams, now_s):
        able = [s for s in streams if s.can_step and not s.paused and not s.frames_due]
        return sorted(able, key=lambda s: s.slot)[: self.batch_rows]

    def choose_sound(self, streams, now_s):
        due = [s for s in streams if s.frames_due]
        if not due:
            return []
        frames = due[0].frames_due
        rows = max(1, self.sound_frames // frames)
        return [s for s in due if s.frames_due == frames][:rows]

    def hurries(self, stream, now_s):
        return not stream.playout.started  # its first sound does not wait for a full call

    def somebody_hurries(self, streams, now_s):
        return False

    def rests(self, stream, now_s):
        return False


class _Sound:
    """Takes a stream's sound on the engine's thread; an unbounded queue brings it to the loop."""

    def __init__(self, loop, rate):
        self._loop = loop
        self._rate = rate
        self.queue = asyncio.Queue()

    def _put(self, item):
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self.queue.put_nowait, item)

    def deliver(self, chunk):
        self._put(chunk.samples)
        return len(chunk.samples) / self._rate

    def starved(self, symbols):
        pass

    def ended(self, stats):
        self._put(None)

    def cancelled(self, stats):
        self._put(None)

    def failed(self, error):
        self._put(error)


class FixedSlots:
    """S4."""

    def __init__(self):
        voice = load()
        self.sample_rate = voice.manifest.sample_rate
        runner = Runner(voice.acoustic, voice.vocoder, slots=SLOTS,
                        f0_mean_ln=voice.manifest.f0_mean_ln)  # fmt: skip
        config = EngineConfig(slots=SLOTS, queue=UNBOUNDED, queue_s=UNBOUNDED)
        turn.Scheduler = AllTogether
        # Turned by hand, it never measures its own costs: everything fits.
        self._engine = Engine(runner, config)
        self._pronouncer = Pronouncer(load_lexicon(), {})
        self._text = ThreadPoolExecutor(1, thread_name_prefix="text")
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="slots", daemon=True)

    async def __aenter__(self):
        self._thread.start()
        sound, stream = self._submit()
        await self._feed(stream, FrontEnd(self._pronouncer), WARM_UP)
        while await sound.queue.get() is not None:
            pass
        return self

    async def __aexit__(self, *error):
        self._stopping = True
        await asyncio.to_thread(self._thread.join)
        self._text.shutdown(cancel_futures=True)
        self._engine.close()

    def _run(self):
        while not self._stopping:
            if not self._engine.step():
                time.sleep(POLL_S)

    def _submit(self):
        sound = _Sound(asyncio.get_running_loop(), self.sample_rate)
        return sound, self._engine.submit(REQUEST, sound)

    async def _feed(self, stream, front_end, text, deltas=None):
        """Hands on a delta, or (with `deltas`) all of them, and then the end."""
        loop = asyncio.get_running_loop()
        if deltas is not None:
            async for delta in deltas:
                made = await loop.run_in_executor(self._text, front_end.feed, delta)
                self._engine.feed(stream, made.symbols)
        else:
            self._engine.feed(stream, front_end.feed(text).symbols)
        made = await loop.run_in_executor(self._text, front_end.end)
        self._engine.feed(stream, made.symbols)
        self._engine.end(stream)

    async def speak(self, request):
        sound, stream = self._submit()
        front_end = FrontEnd(self._pronouncer)
        text = asyncio.create_task(self._feed(stream, front_end, "", request.deltas()))
        try:
            while (samples := await sound.queue.get()) is not None:
                if isinstance(samples, Exception):
                    raise samples
                await request.send(samples)
        finally:
            text.cancel()
            self._engine.cancel(stream)
