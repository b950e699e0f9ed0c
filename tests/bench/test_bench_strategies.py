from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import numpy as np
import pytest
from bench import strategy_wire
from bench.strategy_sentences import Cutter, Sentences
from support.tiny import tiny_acoustic, tiny_vocoder

from streamtts.client import Audio, Cancelled, Done, connect

TEXT = 'It cost 3.5 pounds. "Really?" she asked. No'
SENTENCES = ["It cost 3.5 pounds. ", '"Really?" ', "she asked. ", "No"]
RATE = 16_000
LIMIT_S = 20.0


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_sentences_are_the_same_however_the_text_is_cut(size: int) -> None:
    cutter = Cutter()
    deltas = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    found = [sentence for delta in deltas for sentence in cutter.feed(delta)]
    assert found == SENTENCES[:3]
    assert cutter.end() == SENTENCES[3:]
    assert cutter.end() == []


def test_a_sentence_of_a_batch_is_what_it_is_alone() -> None:
    voice = SimpleNamespace(
        acoustic=tiny_acoustic(), vocoder=tiny_vocoder(), manifest=SimpleNamespace(sample_rate=RATE)
    )
    maker = Sentences(voice)
    texts = ["Yes.", "A longer sentence, with a comma in it.", "...", "Four words are here."]
    together = maker.make(texts)
    alone = [maker.make([text])[0] for text in texts]
    assert [len(a) for a in together] == [len(b) for b in alone]
    assert all(len(a) > RATE // 10 for a in alone[:2])
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


class Echo:
    """A strategy that says one sample for every character, delta by delta."""

    sample_rate = RATE

    def __init__(self) -> None:
        self.cancelled: asyncio.Queue[str] = asyncio.Queue()

    async def __aenter__(self) -> Echo:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None

    async def speak(self, request: strategy_wire.Request) -> None:
        try:
            async for delta in request.deltas():
                await request.send(np.full(len(delta), 0.5, np.float32))
        except asyncio.CancelledError:
            self.cancelled.put_nowait(request.context_id)
            raise


def served(check: Callable[[str, Echo], Awaitable[None]]) -> None:
    async def run() -> None:
        strategy = Echo()
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        server = asyncio.create_task(strategy_wire.serve(strategy, 0, port.set_result))
        try:
            async with asyncio.timeout(LIMIT_S):
                await check(f"ws://127.0.0.1:{await port}", strategy)
        finally:
            server.cancel()
            await asyncio.gather(server, return_exceptions=True)

    asyncio.run(run())


def test_the_projects_own_client_hears_a_strategy() -> None:
    async def check(url: str, strategy: Echo) -> None:
        async with connect(url) as tts:
            for _ in range(2):
                events = [event async for event in tts.speak(["Hello ", "you."])]
                sounds = [event for event in events if isinstance(event, Audio)]
                assert [len(event.samples) for event in sounds] == [6, 4]
                assert [event.first_sample for event in sounds] == [0, 6]
                assert np.allclose(sounds[0].samples, 0.5, atol=1e-4)
                assert isinstance(events[-1], Done)
                assert (events[-1].samples, events[-1].chars) == (10, 10)

    served(check)


def test_a_cancel_and_a_closed_connection_end_what_was_spoken() -> None:
    async def check(url: str, strategy: Echo) -> None:
        async def endless(over: asyncio.Event):  # type: ignore[no-untyped-def]
            yield "Hello "
            await over.wait()

        async with connect(url) as tts:
            last = None
            async with tts.speak(endless(asyncio.Event())) as utterance:
                async for event in utterance:
                    last = event
                    if isinstance(event, Audio):
                        await utterance.cancel()
            assert isinstance(last, Cancelled)
            assert last.sent_samples == 6
            assert await strategy.cancelled.get() == utterance.context_id
            async for event in tts.speak(endless(asyncio.Event())):
                if isinstance(event, Audio):
                    break
        assert await strategy.cancelled.get() != utterance.context_id

    served(check)
