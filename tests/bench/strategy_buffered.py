"""S5: text is collected until a sentence is complete; then it is spoken as it should be.

The way of every pipeline that puts a sentence splitter between a language model and its voice
(LiveKit, Pipecat and RealtimeTTS do with engines that take no partial text). What follows the
splitter is our own streaming synthesis with all its scheduling, so the difference is the wait.
"""

import asyncio
import contextlib
import threading

import numpy as np
from strategy_sentences import Cutter

from streamtts import config as schema
from streamtts.audio.formats import AudioFormat, from_bytes
from streamtts.events import AudioChunk, Cancelled, Done, Failed
from streamtts.service import ContextSettings
from streamtts.speech import build

SETTINGS = ContextSettings(audio=AudioFormat("pcm_f32le"))


class Buffered:
    """S5."""

    def __init__(self):
        self._service, manifest = build(schema.Config())
        self.sample_rate = manifest.sample_rate
        self._service.start()
        self._service.warm_up()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        await asyncio.to_thread(self._service.close)

    async def speak(self, request):
        loop = asyncio.get_running_loop()
        events = asyncio.Queue()

        def on_event(event):
            if threading.current_thread() is threading.main_thread():
                events.put_nowait(event)
            else:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(events.put_nowait, event)

        context = self._service.open(SETTINGS, on_event)
        text = asyncio.create_task(_feed(context, request.deltas()))
        try:
            while True:
                event = await events.get()
                if isinstance(event, AudioChunk):
                    samples = from_bytes(event.data, "pcm_f32le")
                    await request.send(np.asarray(samples, np.float32))
                elif isinstance(event, Failed):
                    raise RuntimeError(event.message)
                elif isinstance(event, (Done, Cancelled)):
                    return
        finally:
            text.cancel()
            context.cancel()


async def _feed(context, deltas):
    cutter = Cutter()
    async for delta in deltas:
        for sentence in cutter.feed(delta):
            context.feed(sentence)
    for sentence in cutter.end():
        context.feed(sentence)
    context.end()
