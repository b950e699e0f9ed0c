"""S3: request-level dynamic batches.

The way of Triton's dynamic batcher and of Ray Serve's `@serve.batch`: sentences of whatever clients
are collected until there are `MOST` of them or the first has waited `WAIT_S`; the batch is run to
its end, and only then is the sound of its sentences sent; meanwhile the next batch is collected.
Rows that are over leave the batch (padding to the longest, as many do, would cost more).
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from strategy_sentences import Cutter, Sentences, load

MOST = 32
WAIT_S = 0.01  # Ray's own default


class DynamicBatches:
    """S3."""

    def __init__(self):
        self._sentences = Sentences(load())
        self.sample_rate = self._sentences.sample_rate
        self._waiting = asyncio.Queue()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batch")
        self._task = None

    async def __aenter__(self):
        self._task = asyncio.create_task(self._run(), name="batches")
        return self

    async def __aexit__(self, *error):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._pool.shutdown(cancel_futures=True)

    async def speak(self, request):
        cutter = Cutter()
        async for delta in request.deltas():
            for sentence in cutter.feed(delta):
                await self._speak(request, sentence)
        for sentence in cutter.end():
            await self._speak(request, sentence)

    async def _speak(self, request, sentence):
        sound = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((sentence, sound))
        await request.send(await sound)

    async def _run(self):
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._collect(loop)
            texts = [sentence for sentence, _ in batch]
            try:
                sounds = await loop.run_in_executor(self._pool, self._sentences.make, texts)
            except Exception as error:
                for _, sound in batch:
                    if not sound.done():
                        sound.set_exception(error)
                continue
            for (_, sound), samples in zip(batch, sounds, strict=True):
                if not sound.done():
                    sound.set_result(samples)

    async def _collect(self, loop):
        """The next batch, without those whose client has gone."""
        batch = [await self._waiting.get()]
        until_s = loop.time() + WAIT_S
        while len(batch) < MOST:
            try:
                async with asyncio.timeout_at(until_s):
                    batch.append(await self._waiting.get())
            except TimeoutError:
                break
        return [item for item in batch if not item[1].done()] or await self._collect(loop)
