"""The client against the real server, in front of a service that makes a chunk of every word."""

import asyncio

import pytest
from support.fake_service import CHUNK_SAMPLES, VOICES, FakeService
from support.live_server import GUARD_S, live_server

from streamtts import errors
from streamtts.client import Audio, Cancelled, Done, Mel, Opened, Started, Words, connect
from streamtts.protocol.parts import AudioRequest


@pytest.fixture(scope="module")
def server():
    with live_server(lambda: (FakeService(), VOICES)) as running:
        yield running


def run(main):
    async def guarded():
        async with asyncio.timeout(GUARD_S):
            await main()

    asyncio.run(guarded())


async def gather(utterance):
    return [event async for event in utterance]


def test_an_utterance_from_open_to_done(server):
    async def main():
        async with connect(server.http, lead_ms=0) as tts:
            assert [voice.id for voice in tts.ready.voices] == ["fake", "other"]
            events = await gather(tts.speak(["Hello ", "world ", "\U0001f600."]))
        kinds = [type(event) for event in events]
        assert kinds[0] is Opened
        assert kinds.index(Started) < kinds.index(Audio)
        assert kinds.index(Words) < kinds.index(Audio)
        words = [item.text for event in events if isinstance(event, Words) for item in event.items]
        assert words == ["Hello", "world", "\U0001f600."]
        sound = [event for event in events if isinstance(event, Audio)]
        assert [event.seq for event in sound] == [0, 1, 2, 3]
        assert sound[0].is_first
        assert sound[-1].is_last
        assert sum(len(event.samples) for event in sound) == 4 * CHUNK_SAMPLES
        assert isinstance(events[-1], Done)
        assert events[-1].chars == 14

    run(main)


def test_parallel_utterances_and_a_ping(server):
    async def main():
        async with connect(server.ws) as tts:
            several = [tts.speak("one two three") for _ in range(5)]
            results, took_s = await asyncio.gather(
                asyncio.gather(*map(gather, several)), tts.ping()
            )
            assert took_s >= 0
        for events in results:
            assert [e.seq for e in events if isinstance(e, Audio)] == [0, 1, 2, 3]

    run(main)


def test_barge_in(server):
    async def main():
        async with connect(server.ws) as tts:
            utterance = tts.speak()
            await utterance.send("endless")
            async for event in utterance:
                if isinstance(event, Audio) and event.seq == 3:
                    answer = await utterance.cancel(played_samples=2 * CHUNK_SAMPLES)
                    assert isinstance(answer, Cancelled)
                    assert answer.spoken.text == "en"
            assert event is answer
            again = await gather(tts.speak("fine"))
            assert isinstance(again[-1], Done)

    run(main)


def test_mel_and_other_formats_are_asked_for(server):
    async def main():
        async with connect(server.ws) as tts:
            wanted = AudioRequest(encoding="pcm_f32le", sample_rate=8000, frame_ms=20)
            events = await gather(tts.speak("a", streams=["audio", "mel"], audio=wanted))
        opened = events[0]
        assert (opened.audio.encoding, opened.audio.sample_rate) == ("pcm_f32le", 8000)
        mel = [event for event in events if isinstance(event, Mel)]
        assert mel[0].frames.shape == (3, 80)

    run(main)


def test_what_is_wrong_is_raised_as_what_it_is(server):
    async def main():
        async with connect(server.ws) as tts:
            with pytest.raises(errors.UnknownVoice):
                await gather(tts.speak("a", voice="nobody"))
            with pytest.raises(errors.BadField, match="speed"):
                await gather(tts.speak("a", speed=99.0))
            assert isinstance((await gather(tts.speak("a")))[-1], Done)

    run(main)


def test_halves_of_a_surrogate_pair_are_taken(server):
    async def main():
        async with connect(server.ws) as tts:
            events = await gather(tts.speak(["a \ud83d", "\ude00 b"]))
        assert isinstance(events[-1], Done)

    run(main)


def test_keys():
    config = '[auth]\nkeys = ["a-good-key"]\n'
    with live_server(lambda: (FakeService(), VOICES), config) as server:

        async def main():
            for token in (None, "wrong"):
                with pytest.raises(errors.Unauthorized):
                    async with connect(server.ws, token=token):
                        pass
            async with connect(server.ws, token="a-good-key") as tts:
                assert isinstance((await gather(tts.speak("a")))[-1], Done)

        run(main)


def test_no_slot_is_told_with_a_time_to_come_back():
    with live_server(lambda: (FakeService(capacity=0), VOICES)) as server:

        async def main():
            async with connect(server.ws) as tts:
                with pytest.raises(errors.Overloaded) as caught:
                    await gather(tts.speak("a"))
                assert caught.value.retry_after_ms == 250

        run(main)
