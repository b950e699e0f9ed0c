"""A real server and real clients, in front of a service that is faked."""

from __future__ import annotations

import asyncio

import pytest
from support.fake_service import CHUNK_SAMPLES, FakeContext, FakeService
from support.live_server import LiveServer, client
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from streamtts import events
from streamtts.errors import StreamStuck

CHUNK_BYTES = 2 * CHUNK_SAMPLES


def last(service: FakeService) -> FakeContext:
    return service.contexts[-1]


def test_a_context_from_open_to_done(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            ready = await c.receive()
            await c.send("open", context_id="a")
            await c.send("text", context_id="a", text="Hello ")
            await c.send("text", context_id="a", text="there.")
            await c.send("flush", context_id="a", flush_id="f")
            await c.send("end", context_id="a")
            done = await c.until("done")
            kinds = [x["type"] if isinstance(x, dict) else x.seq for x in c.order]
            assert kinds == ["ready", "opened", "started", 0, 1, "flushed", 2, "done"]
            assert isinstance(ready, dict)
            assert ready["limits"]["chars_per_context"] == 20_000
            assert "ssml" not in ready["capabilities"]["text_formats"]
            assert ready["voices"][0]["id"] == "fake"
            (opened,) = c.of("opened")
            assert opened["audio"] == {
                "encoding": "pcm_s16le",
                "sample_rate": 16000,
                "channels": 1,
                "frame_ms": 40,
            }
            assert "mel" not in opened
            assert [h.handle for h, _ in c.chunks] == [opened["handle"]] * 3
            assert done["samples"] == sum(len(data) for _, data in c.chunks) // 2
            assert done["chars"] == 12

    asyncio.run(main())


BAD_FRAMES: list[tuple[str | bytes, str]] = [
    ("", "bad_json"),
    ("{", "bad_json"),
    ("[1]", "bad_json"),
    ("[" * 50_000, "bad_json"),
    ('{"type":"sing"}', "unknown_type"),
    ("{}", "unknown_type"),
    (b"\x00\x01\x02", "unknown_type"),
    ('{"type":"text","context_id":"bad","text":7}', "bad_field"),
    ('{"type":"text","text":"x"}', "bad_field"),
    ('{"type":"open","context_id":"","text":"x"}', "bad_field"),
    ('{"type":"open","context_id":"b1","text_format":"ssml"}', "bad_field"),
    ('{"type":"open","context_id":"b2","speaker":"amy"}', "bad_field"),
    ('{"type":"open","context_id":"b3","speed":9}', "bad_field"),
    ('{"type":"open","context_id":"b4","audio":{"encoding":"aiff"}}', "bad_field"),
    ('{"type":"open","context_id":"b5","audio":{"sample_rate":12345}}', "bad_field"),
    ('{"type":"open","context_id":"b6","streams":[]}', "bad_field"),
    ('{"type":"open","context_id":"b7","seed":99999999999999999999999}', "bad_field"),
    ('{"type":"open","context_id":"b8","voice":"nobody"}', "unknown_voice"),
    ('{"type":"open","context_id":"b9","on_conflict":"never"}', "bad_field"),
    ('{"type":"flush","context_id":"none"}', "unknown_context"),
    ('{"type":"end","context_id":"none"}', "unknown_context"),
    ('{"type":"cancel","context_id":"none"}', "unknown_context"),
    ('{"type":"playback","context_id":"none","played_samples":1}', "unknown_context"),
    ('{"type":"hello","lead_ms":-1}', "bad_field"),
]


def test_bad_frames_are_answered_and_everything_goes_on(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="good", text="one ", on_conflict="parallel")
            await c.until("started")
            for frame, code in BAD_FRAMES:
                await c.socket.send(frame)
                error = await c.until("error")
                assert error["code"] == code, (frame[:80], error)
                assert error["message"]
            await c.send("text", context_id="good", text="two")
            await c.send("end", context_id="good")
            done = await c.until("done", context_id="good")
            assert done["samples"] == 3 * CHUNK_SAMPLES

    asyncio.run(main())


def test_errors_name_what_is_allowed(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("open", context_id="a", voice="nobody")
            error = await c.until("error", context_id="a", final=True)
            assert "fake, other" in error["message"]
            await c.send("open", context_id="b", text_format="ssml")
            error = await c.until("error", context_id="b", final=True)
            assert "plain" in error["message"]

    asyncio.run(main())


def test_settings_reach_the_service(server: LiveServer, service: FakeService) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("hello", audio={"sample_rate": 8000}, timestamps=["word"], lead_ms=0)
            audio = {"encoding": "mulaw", "frame_ms": 20}
            await c.send("open", context_id="a", voice="other", speed=1.25, seed=3, audio=audio)
            await c.until("opened")
            settings = last(service).settings
            assert settings.voice == "other"
            assert (settings.speed, settings.seed, settings.lead_ms) == (1.25, 3, 0)
            assert settings.audio.encoding == "mulaw"
            assert (settings.audio.sample_rate, settings.audio.frame_ms) == (8000, 20)
            assert settings.timestamps == ("word",)
            await c.send("open", context_id="a", voice="other", speed=1.25, audio=audio)
            await c.send("text", context_id="a", text="", pitch=2)
            warning = await c.until("warning", code="settings_ignored")
            assert warning["message"].startswith("pitch:")

    asyncio.run(main())


def test_voice_defaults_named_explicitly_are_no_change(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("open", context_id="a")
            await c.send("open", context_id="a", voice="fake", audio={"sample_rate": 16000})
            await c.barrier()
            assert c.of("warning") == []

    asyncio.run(main())


def test_after_cancelled_nothing_more_comes(server: LiveServer, service: FakeService) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="endless")
            await c.until_chunks(5)
            await c.send("cancel", context_id="a", played_samples=700)
            cancelled = await c.until("cancelled", context_id="a")
            total = sum(len(data) for _, data in c.chunks) // 2
            assert cancelled["sent_samples"] == total
            assert cancelled["generated_samples"] >= total
            assert cancelled["spoken"] == {"chars": 1, "words": 0, "text": "e"}
            before = len(c.order)
            for type_ in ("cancel", "flush", "end"):
                await c.send(type_, context_id="a")
            last(service).tell(events.Flushed("late", 1))
            await c.barrier()
            assert len(c.order) == before + 1  # the barrier's own pong

    asyncio.run(main())


def test_an_error_ends_its_context_only(server: LiveServer, service: FakeService) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="one", on_conflict="parallel")
            await c.until("started", context_id="a")
            doomed = last(service)
            await c.send("text", context_id="b", text="one", on_conflict="parallel")
            await c.until("started", context_id="b")
            doomed.fail(StreamStuck("no step for 10 s"))
            error = await c.until("error", context_id="a")
            assert (error["code"], error["final"]) == ("stuck", True)
            await c.send("end", context_id="b")
            await c.until("done", context_id="b")

    asyncio.run(main())


def test_an_idle_context_ends_and_the_socket_stays(
    server: LiveServer, service: FakeService
) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="one")
            await c.until("started")
            last(service).tell(events.Done("idle", 640, 3, 1, 1, 1, 1, 0, 0))
            assert (await c.until("done"))["reason"] == "idle"
            await c.send("text", context_id="a", text="again")
            await c.until("opened", context_id="a")
            await c.until_chunks(2)

    asyncio.run(main())


def test_text_too_long_is_refused_whole(server: LiveServer, service: FakeService) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="x" * 2000)
            error = await c.until("error", context_id="a")
            assert error["code"] == "text_too_long"
            assert error["final"] is False
            assert error["retry_after_ms"] == 500
            await c.send("text", context_id="a", text="short")
            await c.send("end", context_id="a")
            assert (await c.until("done"))["chars"] == 5

    asyncio.run(main())


def test_handles_are_not_reused(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            for _ in range(20):
                await c.send("open", context_id="same")
                await c.send("end", context_id="same")
                await c.until("done")
            handles = [m["handle"] for m in c.of("opened")]
            assert handles == list(range(1, 21))

    asyncio.run(main())


def test_surrogate_halves_are_joined(server: LiveServer, service: FakeService) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.socket.send(r'{"type":"text","context_id":"a","text":"smile \ud83d"}')
            await c.socket.send(r'{"type":"text","context_id":"a","text":"\ude00!"}')
            await c.send("end", context_id="a")
            await c.until("done")
            fed = [value for name, value in last(service).calls if name == "feed"]
            assert fed == ["smile ", "😀!"]

    asyncio.run(main())


def test_playback_is_handed_on(server: LiveServer, service: FakeService) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="one")
            await c.send("playback", context_id="a", played_samples=320)
            await c.barrier()
            assert ("playback", 320) in last(service).calls

    asyncio.run(main())


def test_a_vanished_client_frees_its_contexts(server: LiveServer, service: FakeService) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="endless")
            await c.send("text", context_id="b", text="held")
            await c.until_chunks(1)
            c.socket.transport.abort()
        await asyncio.to_thread(service.wait_alive, 0)

    asyncio.run(main())


def test_other_paths_have_no_socket(server: LiveServer) -> None:
    async def main() -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(server.ws + "ing", proxy=None):
                pass
        assert refused.value.response.status_code == 403

    asyncio.run(main())


def test_subprotocols(server: LiveServer) -> None:
    async def negotiate(offered: list[str] | None) -> str | None:
        async with client(server, subprotocols=offered) as c:
            await c.receive()
            return c.socket.subprotocol

    assert asyncio.run(negotiate(["streamtts.v1"])) == "streamtts.v1"
    assert asyncio.run(negotiate(["other", "streamtts.v1"])) == "streamtts.v1"
    assert asyncio.run(negotiate(["other"])) is None
    assert asyncio.run(negotiate(None)) is None
