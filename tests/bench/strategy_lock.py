"""S1: one lock, whole sentences.

The way of wyoming-piper (Home Assistant's usual voice server): text is cut into sentences, one lock
lets one sentence be made at a time, its sound is sent when all of it is there. Better made than
most of its kind: the sentence is made on a thread, so the event loop goes on reading and writing,
and the lock is given back between sentences, in turn, so that nobody waits for a whole text.
"""

import asyncio

from strategy_sentences import Cutter, Sentences, load


class OneLock:
    """S1."""

    def __init__(self):
        self._sentences = Sentences(load())
        self.sample_rate = self._sentences.sample_rate
        self._lock = asyncio.Lock()  # whoever waits longest gets it

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        return None

    async def speak(self, request):
        cutter = Cutter()
        async for delta in request.deltas():
            for sentence in cutter.feed(delta):
                await self._speak(request, sentence)
        for sentence in cutter.end():
            await self._speak(request, sentence)

    async def _speak(self, request, sentence):
        async with self._lock:
            sounds = await asyncio.to_thread(self._sentences.make, [sentence])
        await request.send(sounds[0])
