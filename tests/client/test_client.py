import asyncio
import http
import json
import logging

import numpy as np
import pytest
from support.scripted_server import FIRST, LAST, MEL, READY, scripted

from streamtts import errors
from streamtts.client import (
    Audio,
    Cancelled,
    ConnectionLost,
    Done,
    Mel,
    Opened,
    Overrun,
    Refused,
    Started,
    Words,
    connect,
)

LIMIT_S = 10


def run(main):
    async def guarded():
        async with asyncio.timeout(LIMIT_S):
            await main()

    asyncio.run(guarded())


def word(index, text, start, char_start):
    return {"index": index, "text": text, "start": start, "char_start": char_start,
            "char_end": char_start + len(text)}  # fmt: skip


async def gather(utterance):
    return [event async for event in utterance]


def test_text_goes_out_in_order_and_events_come_back_typed():
    async def script(peer):
        opening, text = await peer.hear_text()
        assert opening["voice"] == "v1"
        assert opening["speed"] == 1.5
        assert opening["timestamps"] == ["word"]
        assert "pitch" not in opening or opening["pitch"] is None
        assert text == "Hello world."
        name = opening["context_id"]
        await peer.open(name, 7)
        await peer.say("started", name, ttfa_ms=12.5, queue_ms=0)
        await peer.say("words", name, items=[word(0, "Hello", 0, 0)])
        await peer.sound(7, 0, 0, [0, 16384], FIRST)
        await peer.sound(7, 1, 2, [-32768], LAST)
        await peer.done(name, 3, 12)
        await peer.gone()

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            assert tts.ready.voices[0].id == "v1"
            events = await gather(tts.speak(["Hel", "lo ", "world."], voice="v1", speed=1.5))
        kinds = [type(event) for event in events]
        assert kinds == [Opened, Started, Words, Audio, Audio, Done]
        sound = np.concatenate([event.samples for event in events if isinstance(event, Audio)])
        assert sound.tolist() == [0, 0.5, -1]
        assert events[3].is_first
        assert events[4].is_last
        assert (events[4].first_sample, events[4].sample_rate) == (2, 16000)
        assert events[-1].samples == 3

    run(main)


def test_deltas_may_be_a_string_an_iterable_or_an_async_iterable():
    async def script(peer):
        for _ in range(3):
            opening, text = await peer.hear_text()
            assert text == "One two."
            await peer.done(opening["context_id"])
        await peer.gone()

    async def tokens():
        for token in ("One", " two."):
            yield token

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            for deltas in ("One two.", ["One", " two."], tokens()):
                assert [type(event) for event in await gather(tts.speak(deltas))] == [Done]

    run(main)


def test_by_hand_the_context_opens_with_the_first_text():
    async def script(peer):
        assert (await peer.hear("open"))["context_id"] == "mine"
        assert (await peer.hear("text"))["text"] == "Yes"
        assert (await peer.hear("flush"))["flush_id"] == "f1"
        await peer.say("flushed", "mine", flush_id="f1", sample=5)
        assert (await peer.hear("playback"))["played_samples"] == 3
        await peer.hear("end")
        await peer.done("mine")
        await peer.gone()

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            utterance = tts.speak(context_id="mine")
            await utterance.send("Yes")
            await utterance.flush("f1")
            assert (await anext(utterance)).flush_id == "f1"
            await utterance.playback(3)
            await utterance.end()
            assert utterance.text == "Yes"
            assert len(await gather(utterance)) == 1
            await utterance.playback(4)  # after the end: nothing is sent, nothing raised

    run(main)


def test_contexts_in_parallel_keep_their_own_sound():
    async def script(peer):
        names = {}
        while len(names) < 2:
            message = await peer.hear("open", "text", "end")
            if message["type"] == "end":
                names[message["context_id"]] = len(names) + 10
        for name, handle in names.items():
            await peer.open(name, handle)
        for seq in range(3):
            for name, handle in names.items():
                await peer.sound(handle, seq, seq, [int(name[1:]) * 100 + seq])
        for name in names:
            await peer.done(name)
        await peer.gone()

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            first = tts.speak("a", context_id="n1")
            second = tts.speak("b", context_id="n2")
            results = await asyncio.gather(gather(first), gather(second))
        for number, events in zip((1, 2), results, strict=True):
            sound = [event.samples for event in events if isinstance(event, Audio)]
            expected = [number * 100 + seq for seq in range(3)]
            assert (np.concatenate(sound) * 32768).tolist() == expected

    run(main)


def test_a_handle_of_an_ended_context_reaches_nobody():
    async def script(peer):
        opening, _ = await peer.hear_text()
        await peer.open(opening["context_id"], 3)
        await peer.done(opening["context_id"])
        opening, _ = await peer.hear_text()
        await peer.sound(3, 1, 0, [1])  # late
        await peer.open(opening["context_id"], 4)
        await peer.sound(4, 0, 0, [2])
        await peer.done(opening["context_id"])
        await peer.say("pong", t=(await peer.hear("ping"))["t"], server_t=0)
        await peer.gone()

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            await gather(tts.speak("a"))
            events = await gather(tts.speak("b"))
            await tts.ping()
        sound = [event.data for event in events if isinstance(event, Audio)]
        assert sound == [b"\x02\x00"]

    run(main)


def test_cancel_waits_for_the_answer_and_lets_no_sound_through():
    async def script(peer):
        opening = await peer.hear("open")
        name = opening["context_id"]
        await peer.hear("text")
        await peer.open(name)
        await peer.sound(1, 0, 0, [1] * 100)
        await peer.sound(1, 1, 100, [1] * 100)
        message = await peer.hear("cancel")
        assert message["played_samples"] == 60
        await peer.sound(1, 2, 200, [1] * 100)  # crossed the cancel on its way
        await peer.cancelled(name, 5, 1, "Hello")
        await peer.gone()

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            utterance = tts.speak()
            await utterance.send("Hello world, this is long.")
            seen = []
            async for event in utterance:
                seen.append(event)
                if isinstance(event, Audio):
                    answer = await utterance.cancel(60)
                    assert isinstance(answer, Cancelled)
                    assert answer.spoken.text == "Hello"
            assert [type(event) for event in seen] == [Opened, Audio, Cancelled]
            assert await utterance.cancel() is answer

    run(main)


def test_leaving_the_block_cancels_and_stops_the_text():
    async def script(peer):
        opening = await peer.hear("open")
        while (await peer.hear("text", "cancel"))["type"] == "text":
            pass
        await peer.cancelled(opening["context_id"])
        opening, text = await peer.hear_text()
        assert text == "next"
        await peer.done(opening["context_id"])
        await peer.gone()

    stopped = []

    async def endless(sent):
        try:
            while True:
                yield "more "
                sent.set()
                await asyncio.Event().wait()
        finally:
            stopped.append(True)

    async def main():
        sent = asyncio.Event()
        async with scripted(script) as url, connect(url) as tts:
            deltas = endless(sent)
            async with tts.speak(deltas):
                await sent.wait()
            await deltas.aclose()
            assert stopped == [True]
            await gather(tts.speak("next"))

    run(main)


@pytest.mark.parametrize(("code", "kind"), [
    ("bad_field", errors.BadField), ("unknown_voice", errors.UnknownVoice),
    ("capacity", errors.Overloaded), ("loading", errors.Loading), ("stuck", errors.StreamStuck),
    ("context_limit", errors.ContextLimit), ("from_the_future", errors.StreamTTSError),
])  # fmt: skip
def test_a_final_error_is_raised_as_its_own_class(code, kind):
    async def script(peer):
        name = (await peer.hear("open"))["context_id"]
        await peer.say("error", name, code=code, message="because", retry_after_ms=250, final=True)
        await peer.gone()

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            utterance = tts.speak("Hello.")
            with pytest.raises(errors.StreamTTSError, match="because") as caught:
                await gather(utterance)
            assert type(caught.value) is kind
            assert caught.value.retry_after_ms == 250
            with pytest.raises(kind):
                await utterance.cancel()

    run(main)


def test_an_error_that_is_not_final_is_an_event():
    async def script(peer):
        name = (await peer.hear("open"))["context_id"]
        await peer.say("error", name, code="text_too_long", message="full", retry_after_ms=100)
        await peer.done(name)
        await peer.gone()

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            refused, done = await gather(tts.speak("Hello."))
        assert isinstance(refused, Refused)
        assert isinstance(refused.error, errors.TextTooLong)
        assert refused.error.retry_after_ms == 100
        assert isinstance(done, Done)

    run(main)


def test_an_error_of_the_source_of_the_text_reaches_the_listener_and_cancels():
    async def script(peer):
        await peer.hear("open")
        await peer.hear("text")
        await peer.hear("cancel")
        await peer.gone()

    def broken():
        yield "Hello "
        raise LookupError("the model went away")

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            with pytest.raises(LookupError, match="went away"):
                await gather(tts.speak(broken()))

    run(main)


def test_long_text_waits_for_the_words_that_make_room():
    text = "word " * 50  # 250 characters, the limit is 100

    async def main():
        full = asyncio.Event()

        async def script(peer):
            name = (await peer.hear("open"))["context_id"]
            for _ in range(5):
                await peer.hear("text")
            full.set()
            await peer.say("pong", t=(await peer.hear("ping"))["t"], server_t=0)
            await peer.say("words", name, items=[word(0, "word", 0, 16)])
            await peer.hear("text")
            await peer.say("words", name, items=[word(9, "word", 0, 96)])
            for _ in range(4):
                await peer.hear("text")
            await peer.say("words", name, items=[word(30, "word", 0, 176)])
            for _ in range(3):
                await peer.hear("text", "end")
            await peer.done(name, 0, len(text))
            await peer.gone()

        async with scripted(script) as url, connect(url) as tts:
            deltas = [text[at : at + 20] for at in range(0, len(text), 20)]
            utterance = tts.speak(deltas)
            await full.wait()
            await tts.ping()  # had the sixth delta been sent, it would be in front of the ping
            events = await gather(utterance)
        assert events[-1].chars == len(text)

    run(main)


def test_a_large_delta_is_cut_into_pieces():
    ready = READY | {"limits": READY["limits"] | {"chars_per_context": 20000}}
    text = "x" * 2500

    async def script(peer):
        name = (await peer.hear("open"))["context_id"]
        sizes = [len((await peer.hear("text"))["text"]) for _ in range(3)]
        assert sizes == [1000, 1000, 500]
        await peer.hear("end")
        await peer.done(name)
        await peer.gone()

    async def main():
        async with scripted(script, ready) as url, connect(url) as tts:
            await gather(tts.speak(text))

    run(main)


def test_an_utterance_that_nobody_listens_to_is_cancelled_alone():
    async def script(peer):
        deaf, alive = [(await peer.hear_text())[0]["context_id"] for _ in range(2)]
        await peer.open(deaf, 1)
        await peer.open(alive, 2)
        for seq in range(20):
            await peer.sound(1, seq, seq * 1000, [0] * 1000)
        assert (await peer.hear("cancel"))["context_id"] == deaf
        await peer.sound(2, 0, 0, [5])
        await peer.done(alive)
        await peer.gone()

    async def main():
        async with scripted(script) as url, connect(url, max_queued_bytes=10_000) as tts:
            deaf, alive = tts.speak("a"), None
            await asyncio.wait_for(deaf._pump, LIMIT_S)
            alive = tts.speak("b")
            assert isinstance((await gather(alive))[-1], Done)
            with pytest.raises(Overrun, match="not listened to"):
                await gather(deaf)

    run(main)


def test_text_for_an_ended_utterance_is_refused_here():
    async def script(peer):
        await peer.hear("open")
        name = (await peer.hear("text"))["context_id"]
        await peer.done(name, reason="idle")
        await peer.say("pong", t=(await peer.hear("ping"))["t"], server_t=0)  # and no text
        await peer.gone()

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            utterance = tts.speak()
            await utterance.send("Hello ")
            assert [event.reason async for event in utterance] == ["idle"]
            with pytest.raises(errors.UnknownContext, match="has ended"):
                await utterance.send("again")
            await utterance.flush()
            await utterance.end()
            await tts.ping()

    run(main)


def test_a_lost_connection_does_not_hide_what_happened_in_the_block():
    async def script(peer):
        await peer.hear("open")
        peer.socket.transport.abort()

    async def leave(tts):
        async with tts.speak() as utterance:
            await utterance.send("Hello ")
            await tts._reader
            utterance._ended = asyncio.get_running_loop().create_future()  # as if not yet noticed
            raise KeyError

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            with pytest.raises(KeyError):
                await leave(tts)

    run(main)


def test_mel_frames_are_arrays():
    frames = np.arange(8, dtype=np.float32).reshape(2, 4)

    async def script(peer):
        opening, _ = await peer.hear_text()
        assert opening["streams"] == ["audio", "mel"]
        name = opening["context_id"]
        await peer.open(name, 1, mel={"n_mels": 4, "hop_length": 200, "sample_rate": 16000})
        await peer.frame(1, 0, 0, frames.astype("<f2").tobytes(), MEL | FIRST)
        await peer.done(name)
        await peer.gone()

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            events = await gather(tts.speak("a", streams=["audio", "mel"]))
        (mel,) = [event for event in events if isinstance(event, Mel)]
        assert np.array_equal(mel.frames, frames)
        assert mel.frames.dtype == np.float32

    run(main)


def test_half_a_surrogate_pair_arrives_as_it_is():
    async def script(peer):
        await peer.hear("open")
        assert (await peer.hear("text"))["text"] == "a\ud83d"
        assert (await peer.hear("text"))["text"] == "\ude00"
        name = (await peer.hear("end"))["context_id"]
        await peer.done(name)
        await peer.gone()

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            await gather(tts.speak(["a\ud83d", "\ude00"]))

    run(main)


def test_ping_goes_there_and_back():
    async def script(peer):
        message = await peer.hear("ping")
        await peer.say("pong", t=message["t"], server_t=1.0)
        await peer.hear("ping")  # and leaves without an answer

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            assert await tts.ping() >= 0
            with pytest.raises(ConnectionLost):
                await tts.ping()

    run(main)


@pytest.mark.parametrize(("code", "kind"), [
    (1001, errors.Loading), (1013, errors.Overloaded), (1008, ConnectionLost),
    (1011, ConnectionLost),
])  # fmt: skip
def test_a_close_ends_every_utterance_with_its_reason(code, kind):
    async def script(peer):
        await peer.hear_text()
        await peer.socket.close(code, "so it is")

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            utterance = tts.speak("Hello.")
            with pytest.raises(errors.StreamTTSError, match="so it is") as caught:
                await gather(utterance)
            assert type(caught.value) is kind
            with pytest.raises(ConnectionLost):
                tts.speak("Again.")

    run(main)


def test_a_broken_connection_is_told():
    async def script(peer):
        await peer.hear_text()
        peer.socket.transport.abort()

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            with pytest.raises(ConnectionLost):
                await gather(tts.speak("Hello."))

    run(main)


def test_leaving_the_connection_ends_what_is_spoken():
    async def script(peer):
        await peer.hear_text()
        await peer.gone()

    async def main():
        async with scripted(script) as url:
            async with connect(url) as tts:
                utterance = tts.speak("Hello.")
                await asyncio.wait_for(utterance._pump, LIMIT_S)
            with pytest.raises(ConnectionLost):
                await gather(utterance)

    run(main)


def test_messages_of_tomorrow_are_passed_over(caplog):
    async def script(peer):
        opening, _ = await peer.hear_text()
        await peer.say("visemes", opening["context_id"], shapes=[])
        await peer.say("error", code="bad_json", message="about nobody")
        await peer.say("error", "ended", code="unknown_context", message="about the past")
        await peer.done(opening["context_id"])
        await peer.gone()

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            assert [type(event) for event in await gather(tts.speak("a"))] == [Done]

    with caplog.at_level(logging.WARNING):
        run(main)
    assert "about nobody" in caplog.text
    assert "about the past" not in caplog.text


def test_a_binary_frame_without_a_header_ends_the_connection():
    async def script(peer):
        await peer.hear_text()
        await peer.socket.send(b"abc")
        await peer.gone()

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            with pytest.raises(ConnectionLost, match="broke the protocol"):
                await gather(tts.speak("a"))

    run(main)


def test_two_utterances_of_one_name_are_refused():
    async def script(peer):
        await peer.gone()

    async def main():
        async with scripted(script) as url, connect(url) as tts:
            tts.speak(context_id="x")
            with pytest.raises(errors.BadField, match="'x' is in use"):
                tts.speak(context_id="x")

    run(main)


def test_the_key_and_the_path_and_the_lead_are_sent():
    async def script(peer):
        assert peer.headers["Authorization"] == "Bearer secret"
        assert peer.path == "/v1/stream"
        hello = await peer.hear("hello")
        assert hello["lead_ms"] == 0
        await peer.gone()

    async def main():
        async with scripted(script) as url, connect(url, token="secret", lead_ms=0):
            pass

    run(main)


@pytest.mark.parametrize(("status", "kind"), [
    (401, errors.Unauthorized), (503, errors.Loading), (404, ConnectionLost),
])  # fmt: skip
def test_a_refused_handshake_has_its_own_class(status, kind):
    def refuse(connection, request):
        return connection.respond(http.HTTPStatus(status), "not today\n")

    async def script(peer):
        raise AssertionError("no connection was to be made")

    async def main():
        async with scripted(script, process_request=refuse) as url:
            with pytest.raises(errors.StreamTTSError, match=f"{status}") as caught:
                async with connect(url):
                    pass
        assert type(caught.value) is kind

    run(main)


@pytest.mark.parametrize("first", ["hello there", json.dumps({"type": "pong", "t": 1})])
def test_another_protocol_is_recognised(first):
    async def script(peer):
        await peer.gone()

    async def main():
        async with scripted(script, ready=first) as url:
            with pytest.raises(ConnectionLost, match="no streamtts server"):
                async with connect(url):
                    pass

    run(main)


def test_an_error_in_place_of_ready_is_raised():
    refusal = {"type": "error", "code": "loading", "message": "still loading", "final": True}

    async def script(peer):
        await peer.gone()

    async def main():
        async with scripted(script, ready=refusal) as url:
            with pytest.raises(errors.Loading, match="still loading"):
                async with connect(url):
                    pass

    run(main)


def test_nobody_there_and_wrong_addresses_are_told():
    async def main():
        with pytest.raises(ConnectionLost, match="cannot connect"):
            async with connect("ws://127.0.0.1:9"):
                pass
        with pytest.raises(errors.BadField, match="no address"):
            async with connect("ftp://127.0.0.1"):
                pass

    run(main)
