"""Something that a loudspeaker says itself: whole, or piece by piece as the text comes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

from speaker_site import Loudspeaker
from speaker_wire import Event, Publication, Topics

from streamtts.errors import StreamTTSError

NOBODY_S = 5.0  # without any server on the broker
PATIENCE_S = 15.0  # for a word about the request after the broker was away
CONFIRM_S = 3.0  # for `cancelled`
UNSPOKEN_CHARS = 8000  # sent ahead of what is spoken
_LOOK_S = 0.05
_UNSPOKEN_WAIT_S = 10.0


class Talk:
    """One request, from `say` to its last sample.

    Args:
        id_: its name.
        topics: of the site.
        loudspeaker: plays it.
        publish: waits until there is room for the message on its way to the broker.
        connected: whether the broker is there.
    """

    def __init__(
        self,
        id_: str,
        topics: Topics,
        loudspeaker: Loudspeaker,
        publish: Callable[[Publication], Awaitable[None]],
        connected: Callable[[], bool],
    ) -> None:
        self.id = id_
        self._topics = topics
        self._loudspeaker = loudspeaker
        self._publish = publish
        self._connected = connected
        self._alone_s = _now_s()
        self._text = ""
        self._spoken_chars = 0
        self._words = asyncio.Event()
        self._accepted = asyncio.Event()
        self._last: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._heard_s = 0.0
        self._back_s: float | None = None
        self._fed = True

    @property
    def cancellable(self) -> bool:
        """It is not over yet, the sound in the buffer included."""
        return not self._last.done() or self._loudspeaker.find(self.id) is not None

    def on_event(self, event: Event) -> None:
        """Takes what the server tells."""
        if event.id != self.id:
            return
        self._heard_s = _now_s()
        if event.type == "accepted":
            self._accepted.set()
        elif event.type == "words":
            self._spoken_chars = max(item.char_end for item in event.items)
            self._words.set()
        elif event.type == "warning" or (event.type == "error" and not event.final):
            print(f"{event.code}: {event.message}", file=sys.stderr)
        elif event.is_last and not self._last.done():
            self._last.set_result(event)

    def on_over(self, id_: str) -> None:
        """A request has been played to its end."""
        if id_ == self.id:
            self._over.set()

    def on_reconnect(self) -> None:
        """The broker was away: what it said meanwhile may be lost."""
        self._back_s = _now_s()

    async def run(
        self, text: str | AsyncIterator[str], settings: dict[str, object], cancel_after_s: float
    ) -> None:
        """Says it and waits until it was heard, or cancels it in the middle.

        Args:
            text: whole, or in pieces.
            settings: further fields of `say`.
            cancel_after_s: of its sound.

        Raises:
            StreamTTSError: it was refused, or nobody speaks.
        """
        feeding = None
        if isinstance(text, str):
            self._text = text
            await self._publish(self._topics.say(self.id, text, settings))
        else:
            self._fed = False
            await self._publish(self._topics.say(self.id, None, settings))
            feeding = asyncio.create_task(self._feed(text), name="speaker text")
        try:
            while self.cancellable:
                await asyncio.wait([self._last], timeout=_LOOK_S)
                if self._last.done():  # then it is about the sound in the buffer
                    self._check_end(self._last.result())
                    await asyncio.sleep(_LOOK_S / 5)
                self._check_alive()
                if self._loudspeaker.played_s(self.id) >= cancel_after_s:
                    await self.cancel()
                    return
        finally:
            if feeding is not None:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)

    async def cancel(self) -> None:
        """Falls silent and prints what was heard."""
        utterance = self._loudspeaker.find(self.id)
        samples = self._loudspeaker.silence(self.id)
        await self._publish(self._topics.cancel(self.id, samples))
        if not self._last.done():
            await asyncio.wait([self._last], timeout=CONFIRM_S)
        last = self._last.result() if self._last.done() else None
        if last is not None and last.spoken is not None:
            heard = last.spoken.text
        else:  # everything had been sent: this side alone knows what was heard of it
            heard = "" if utterance is None else utterance.heard(self._text, samples)
        rate = 0 if utterance is None else utterance.buffer.rate
        seconds = samples / rate if rate else 0.0
        print(f"{self.id}: silent after {seconds:.2f} s; heard:", file=sys.stderr)
        print(heard, flush=True)
        if utterance is not None:  # the fade is still to be played
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), CONFIRM_S)

    async def _feed(self, pieces: AsyncIterator[str]) -> None:
        await self._accepted.wait()
        async for piece in pieces:
            while len(self._text) - self._spoken_chars > UNSPOKEN_CHARS:
                self._words.clear()
                try:
                    await asyncio.wait_for(self._words.wait(), _UNSPOKEN_WAIT_S)
                except TimeoutError:  # nothing in it that could be spoken
                    break
            self._text += piece
            await self._publish(self._topics.delta(self.id, piece))
        await self._publish(self._topics.end(self.id))
        self._fed = True
        self._heard_s = _now_s()

    def _check_end(self, last: Event) -> None:
        if last.type == "error":
            raise StreamTTSError(f"refused: {last.code}: {last.message}")
        if last.type == "done" and not self._accepted.is_set():
            raise StreamTTSError("it was spoken, but not to us: the broker was away meanwhile")

    def _check_alive(self) -> None:
        now_s = _now_s()
        if self._loudspeaker.servers or not self._connected():
            self._alone_s = now_s
        if self._last.done() or not self._connected():
            return
        if not self._accepted.is_set():
            if now_s - self._alone_s > NOBODY_S:
                raise StreamTTSError(
                    "no streamtts server is online on this broker: start one with [mqtt] host in "
                    "its configuration, and the same prefix"
                )
        elif self._back_s is not None and self._fed:
            if now_s - max(self._back_s, self._heard_s) > PATIENCE_S:
                raise StreamTTSError(
                    "the broker was away, and since then nothing has been heard of the request"
                )


def _now_s() -> float:
    return asyncio.get_running_loop().time()
