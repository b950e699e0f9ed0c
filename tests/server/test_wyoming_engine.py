"""The Wyoming port on the real service and its threads, with a tiny voice."""

from __future__ import annotations

import asyncio
from typing import Any

from support.real_service import TINY, load
from support.wyoming_live import wyoming_server
from support.wyoming_wire import types_until
from wyoming.audio import AudioChunk
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop

from streamtts import settings
from streamtts.events import Cancelled, Done

WORDS = "one two three four five six seven eight nine ten "


def pcm(found: list[Any]) -> bytes:
    return b"".join(AudioChunk.from_event(e).audio for e in found if e.type == "audio-chunk")


def test_a_stream_gives_the_sound_that_the_whole_text_gives() -> None:
    async def main() -> None:
        service, voices = await asyncio.to_thread(load)
        async with wyoming_server(service=service, voices=voices) as live:
            async with live.client() as one, live.client() as two:
                await one.write_event(Synthesize(text=WORDS).event())
                whole = pcm(await types_until(one, "audio-stop"))
                await two.write_event(SynthesizeStart().event())
                for i in range(0, len(WORDS), 3):
                    await two.write_event(SynthesizeChunk(text=WORDS[i : i + 3]).event())
                early = await types_until(two, "audio-chunk")  # before its text has ended
                await two.write_event(Synthesize(text=WORDS).event())
                await two.write_event(SynthesizeStop().event())
                late = await types_until(two, "synthesize-stopped")
            assert len(whole) > 2 * TINY.sample_rate
            assert pcm(early + late) == whole

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_closed_connection_frees_its_slot_at_the_next_step() -> None:
    """What is made of a long text after the close is a step or two, not the rest of it."""

    async def main() -> None:
        service, voices = await asyncio.to_thread(load)
        ends: list[Any] = []
        opened = service.open

        def watched(given: settings.ContextSettings, on_event: Any, **options: Any) -> Any:
            def listen(event: Any) -> None:
                if isinstance(event, Done | Cancelled):
                    ends.append(event)
                on_event(event)

            return opened(given, listen, **options)

        service.open = watched  # type: ignore[method-assign]
        async with wyoming_server(service=service, voices=voices) as live:
            client = live.client()
            await client.connect()
            await client.write_event(Synthesize(text=WORDS * 100).event())
            await types_until(client, "audio-chunk")
            await client.disconnect()
            await live.gone()
            assert await asyncio.to_thread(service.wait_idle, 10)
            (cancelled,) = ends
            assert isinstance(cancelled, Cancelled)
            assert service.stats().streams == 0
            assert cancelled.generated_samples < 60 * TINY.sample_rate

    asyncio.run(asyncio.wait_for(main(), 60))


def test_text_that_cannot_be_spoken_is_a_short_silence() -> None:
    async def main() -> None:
        service, voices = await asyncio.to_thread(load)
        async with wyoming_server(service=service, voices=voices) as live:
            async with live.client() as client:
                for text in ("...", " ", ""):
                    await client.write_event(Synthesize(text=text).event())
                    sound = pcm(await types_until(client, "audio-stop"))
                    assert sound == bytes(2 * TINY.sample_rate // 5), text

    asyncio.run(asyncio.wait_for(main(), 60))
