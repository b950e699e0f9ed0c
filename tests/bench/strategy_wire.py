"""The part of the native WebSocket protocol that a load client needs, for the serving strategies.

`text` and `end` in; `ready`, `opened`, `started`, binary frames and `done` out; `cancel` too. The
messages are built by the real protocol's own codec, so that one client drives all servers alike.
Everything else that a client may send is ignored.
"""

import asyncio
import contextlib
import time
from http import HTTPStatus

from websockets.asyncio.server import serve as listen
from websockets.exceptions import ConnectionClosed

from streamtts.audio.formats import to_bytes
from streamtts.protocol import messages, parts
from streamtts.protocol.codec import decode_client, encode
from streamtts.protocol.frames import FIRST, LAST, pack_header

ENCODING = "pcm_s16le"
BIGGEST_MESSAGE = 2**21


class Request:
    """One context, as a strategy sees it: text comes, sound goes.

    Args:
        websocket: of the client.
        context_id: of the context.
        handle: its number in binary frames.
        sample_rate: of the sound.
    """

    def __init__(self, websocket, context_id, handle, sample_rate):
        self.context_id = context_id
        self._websocket = websocket
        self._handle = handle
        self._sample_rate = sample_rate
        self._deltas = asyncio.Queue()
        self._first_text_s = None
        self._ttfa_ms = None
        self._seq = 0
        self._chars = 0
        self.samples = 0

    async def open(self):
        audio = parts.AudioInfo(encoding=ENCODING, sample_rate=self._sample_rate)
        await self._tell(
            messages.Opened(context_id=self.context_id, handle=self._handle, audio=audio)
        )

    def feed(self, delta):
        """Takes a delta; None is the end."""
        if self._first_text_s is None:
            self._first_text_s = time.monotonic()
        self._chars += len(delta or "")
        self._deltas.put_nowait(delta)

    async def deltas(self):
        """Text as it comes."""
        while (delta := await self._deltas.get()) is not None:
            yield delta

    async def send(self, samples, *, last=False):
        """Sends sound, float32 (S,), as one binary frame."""
        if self._ttfa_ms is None and len(samples):
            self._ttfa_ms = (time.monotonic() - self._first_text_s) * 1000
            await self._tell(
                messages.Started(context_id=self.context_id, ttfa_ms=self._ttfa_ms, queue_ms=0.0)
            )
        flags = (FIRST if self._seq == 0 else 0) | (LAST if last else 0)
        header = pack_header(flags, self._handle, self._seq, self.samples)
        self._seq += 1
        self.samples += len(samples)
        await self._websocket.send(header + to_bytes(samples, ENCODING))

    async def done(self):
        metrics = parts.Metrics(ttfa_ms=self._ttfa_ms or 0.0, rtf=0.0, queue_ms=0.0, steps=0,
                                underruns=0, starved_ms=0.0)  # fmt: skip
        await self._tell(messages.Done(context_id=self.context_id, reason="end",
                                       samples=self.samples, chars=self._chars,
                                       metrics=metrics))  # fmt: skip

    async def cancelled(self):
        spoken = parts.Spoken(chars=0, words=0, text="")
        await self._tell(
            messages.Cancelled(context_id=self.context_id, generated_samples=self.samples,
                               sent_samples=self.samples, spoken=spoken)
        )  # fmt: skip

    async def _tell(self, message):
        await self._websocket.send(encode(message))


class Connection:
    """One client of one strategy."""

    def __init__(self, strategy, websocket):
        self._strategy = strategy
        self._websocket = websocket
        self._requests = {}
        self._tasks = {}
        self._handle = 0

    async def run(self):
        """Serves until the client is gone; what is left then is cancelled."""
        try:
            await self._websocket.send(encode(_ready(self._strategy)))
            async for frame in self._websocket:
                await self._take(decode_client(frame))
        except ConnectionClosed:
            pass
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, message):
        match message:
            case messages.Text():
                request = self._requests.get(message.context_id)
                if request is None:
                    request = await self._open(message.context_id)
                request.feed(message.text)
            case messages.End():
                if message.context_id in self._requests:
                    self._requests[message.context_id].feed(None)
            case messages.Cancel():
                every = message.context_id == messages.EVERY
                for context_id in [*self._requests] if every else [message.context_id]:
                    await self._cancel(context_id)
            case messages.Ping():
                await self._websocket.send(encode(messages.Pong(t=message.t, server_t=time.time())))

    async def _open(self, context_id):
        self._handle += 1
        rate = self._strategy.sample_rate
        request = Request(self._websocket, context_id, self._handle, rate)
        self._requests[context_id] = request
        await request.open()
        self._tasks[context_id] = asyncio.create_task(self._speak(request), name=context_id)
        return request

    async def _speak(self, request):
        try:
            with contextlib.suppress(ConnectionClosed):
                await self._strategy.speak(request)
                await request.done()
        finally:
            self._requests.pop(request.context_id, None)
            self._tasks.pop(request.context_id, None)

    async def _cancel(self, context_id):
        request, task = self._requests.get(context_id), self._tasks.get(context_id)
        if request is None or task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await request.cancelled()


def _ready(strategy):
    rate = strategy.sample_rate
    return messages.Ready(
        session_id="0",
        server=type(strategy).__name__,
        voices=(parts.VoiceInfo(id="ours", sample_rate=rate),),
        audio=parts.AudioInfo(encoding=ENCODING, sample_rate=rate),
        limits=parts.Limits(contexts=1024, chars_per_context=2**31,
                            message_bytes=BIGGEST_MESSAGE, idle_s=3600.0),
        capabilities=parts.Capabilities(encodings=(ENCODING,), sample_rates=(rate,)),
    )  # fmt: skip


def _answer(connection, request):
    """Plain HTTP: is it there?"""
    if request.path in ("/readyz", "/healthz"):
        return connection.respond(HTTPStatus.OK, "ok\n")
    return None


async def serve(strategy, port, on_listening=lambda port: None):
    """Serves a strategy on a port of loopback until it is cancelled; 0 takes a free one."""
    async with strategy:

        async def handle(websocket):
            await Connection(strategy, websocket).run()

        async with listen(handle, "127.0.0.1", port, compression=None, max_size=BIGGEST_MESSAGE,
                          process_request=_answer, ping_interval=None) as server:  # fmt: skip
            on_listening(server.sockets[0].getsockname()[1])
            await server.serve_forever()
