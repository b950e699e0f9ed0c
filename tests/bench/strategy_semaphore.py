"""S2: a semaphore of four, threads.

The way of Kokoro-FastAPI: text is cut into sentences, up to four of them (of whomever) are made at
the same time, each on a thread of its own with a batch of one, and sent when they are there. Torch
gets one thread a call: with more, four calls would fight for the same cores.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from strategy_sentences import Cutter, Sentences, load

AT_ONCE = 4


class Semaphore:
    """S2."""

    def __init__(self):
        self._sentences = Sentences(load())
        self.sample_rate = self._sentences.sample_rate
        self._semaphore = asyncio.Semaphore(AT_ONCE)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sentence")

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        self._pool.shutdown(cancel_futures=True)

    async def speak(self, request):
        cutter = Cutter()
        async for delta in request.deltas():
            for sentence in cutter.feed(delta):
                await self._speak(request, sentence)
        for sentence in cutter.end():
            await self._speak(request, sentence)

    async def _speak(self, request, sentence):
        loop = asyncio.get_running_loop()
        async with self._semaphore:
            sounds = await loop.run_in_executor(self._pool, self._sentences.make, [sentence])
        await request.send(sounds[0])
