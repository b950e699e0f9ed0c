"""A real server and real clients, in front of a service that is faked."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from support.fake_service import CHUNK_SAMPLES, FakeContext, FakeService
from support.live_server import LiveServer, client
from websockets.exceptions import ConnectionClosed

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


def test_capacity_is_told_with_a_time(serve: Callable[..., LiveServer]) -> None:
    server = serve(service=FakeService(capacity=1))

    async def main() -> None:
        async with client(server) as c:
            await c.send("open", context_id="a")
            await c.send("open", context_id="b", on_conflict="parallel")
            error = await c.until("error", context_id="b")
            assert (error["code"], error["final"], error["retry_after_ms"]) == (
                "capacity",
                True,
                250,
            )

    asyncio.run(main())


def test_contexts_of_one_connection_are_limited(serve: Callable[..., LiveServer]) -> None:
    server = serve("[limits]\ncontexts = 2")

    async def main() -> None:
        async with client(server) as c:
            for name in "abc":
                await c.send("open", context_id=name)
            error = await c.until("error", context_id="c")
            assert (error["code"], error["final"]) == ("context_limit", True)

    asyncio.run(main())


def test_queue_speaks_one_after_the_other(server: LiveServer, service: FakeService) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="one two")
            await c.send("text", context_id="b", text="three")
            await c.send("end", context_id="b")
            assert (await c.until("opened", context_id="b"))["queue_position"] == 1
            await c.barrier()
            assert ("release", None) not in last(service).calls
            await c.send("end", context_id="a")
            await c.until("done", context_id="b")
            handles = [header.handle for header, _ in c.chunks]
            assert handles == sorted(handles)
            assert [m["context_id"] for m in c.of("done")] == ["a", "b"]

    asyncio.run(main())


def test_preempt_cancels_what_is_spoken(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="endless")
            await c.until_chunks(3)
            await c.send("text", context_id="b", text="stop", on_conflict="preempt")
            await c.until("cancelled", context_id="a")
            await c.send("end", context_id="b")
            await c.until("done", context_id="b")

    asyncio.run(main())


def test_parallel_contexts_mix(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="endless")
            await c.send("text", context_id="b", text="one", on_conflict="parallel")
            await c.send("end", context_id="b")
            await c.until("done", context_id="b")
            await c.send("cancel", context_id="*")
            await c.until("cancelled", context_id="a")
            assert len({header.handle for header, _ in c.chunks}) == 2

    asyncio.run(main())


def test_base64_chunks_are_the_binary_ones(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("hello", transport="base64")
            await c.send("text", context_id="a", text="one two", streams=["audio", "mel"])
            await c.send("end", context_id="a")
            await c.until("done")
            assert c.chunks == []
            audio = [m for m in c.of("audio") if m["flags"] < 16]
            mel = [m for m in c.of("audio") if m["flags"] >= 16]
            assert [m["seq"] for m in audio] == [m["seq"] for m in mel] == [0, 1, 2]
            assert all(len(base64.b64decode(m["data"])) == CHUNK_BYTES for m in audio)

    asyncio.run(main())


def test_mel_and_alignment_are_pushed(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="one", streams=["mel", "alignment"])
            await c.send("end", context_id="a")
            await c.until("done")
            (opened,) = c.of("opened")
            assert opened["audio"] is None
            assert opened["mel"] == {"n_mels": 80, "hop_length": 200, "sample_rate": 16000}
            assert [header.flags for header, _ in c.chunks] == [16 + 1, 16 + 2]
            assert c.of("alignment")[0]["steps"][0]["position"] == 0

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


def test_a_message_that_is_too_big_closes_with_1009(serve: Callable[..., LiveServer]) -> None:
    server = serve("[limits]\nmessage_bytes = 2048")

    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="x" * 1900)
            await c.until("opened")
            await c.send("text", context_id="a", text="x" * 3_000_000)
            with pytest.raises(ConnectionClosed) as closed:
                await c.until("nothing")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009

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


def handshake(server: LiveServer, receive_buffer: int) -> socket.socket:
    """A WebSocket by hand, with a small window: the kernel would else swallow seconds of sound."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.settimeout(20)
    raw.connect(("127.0.0.1", server.port))
    raw.sendall(
        b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert raw.recv(12) == b"HTTP/1.1 101"
    return raw


def send_text(raw: socket.socket, **message: Any) -> None:
    payload = json.dumps(message).encode()
    assert len(payload) < 126
    raw.sendall(bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload)


def test_a_client_that_stops_reading(serve: Callable[..., LiveServer]) -> None:
    service = FakeService()
    server = serve("[server]\nslow_reader_s = 0.6\noutbox_bytes = 8192", service)
    raw = handshake(server, 4096)
    send_text(raw, type="text", context_id="slow", text="endless")
    service.wait_alive(1)
    (slow,) = service.contexts
    slow.wait_for(("set_paused", True))  # descheduled at once

    async def main() -> None:
        async with client(server) as c:
            for _ in range(20):  # nobody else notices
                await c.send("text", context_id="a", text="one two three")
                await c.send("end", context_id="a")
                await c.until("done")
            await asyncio.to_thread(slow.wait_for, ("cancel", None))
            await c.send("open", context_id="b")
            await c.until("opened", context_id="b")

    asyncio.run(main())
    tail = b""
    while piece := raw.recv(65536):  # what it finds when it reads again
        tail = (tail + piece)[-200:]
    raw.close()
    assert b"\x03\xf0slow reader: nothing was read for 0.6 s" in tail  # 0x03f0 is 1008


def test_a_client_that_reads_again_is_served_again(serve: Callable[..., LiveServer]) -> None:
    service = FakeService()
    server = serve("[server]\noutbox_bytes = 8192", service)
    raw = handshake(server, 4096)
    send_text(raw, type="text", context_id="slow", text="endless")
    service.wait_alive(1)
    (slow,) = service.contexts
    slow.wait_for(("set_paused", True))
    while ("set_paused", False) not in slow.calls:
        assert raw.recv(65536)
    raw.close()
    service.wait_alive(0)


def test_a_context_that_is_cancelled_while_its_sound_waits(
    serve: Callable[..., LiveServer],
) -> None:
    """What waits in the outbox is dropped, and the client is told what went out."""
    service = FakeService()
    server = serve("[server]\noutbox_bytes = 8192", service)
    raw = handshake(server, 4096)
    send_text(raw, type="text", context_id="slow", text="endless")
    service.wait_alive(1)
    (slow,) = service.contexts
    slow.wait_for(("set_paused", True))
    send_text(raw, type="cancel", context_id="slow")
    service.wait_alive(0)
    send_text(raw, type="ping", t="end")
    received = b""
    while b'"pong"' not in received or b'"cancelled"' not in received:
        piece = raw.recv(65536)
        assert piece
        received += piece
    raw.close()
    start = received.index(b'{"type":"cancelled"')
    cancelled = json.loads(received[start : received.index(b"}}", start) + 2])
    assert cancelled["sent_samples"] < cancelled["generated_samples"]
    assert cancelled["sent_samples"] % CHUNK_SAMPLES == 0
    chunks = received.count(bytes([0x82, 126]) + (16 + CHUNK_BYTES).to_bytes(2, "big"))
    assert cancelled["sent_samples"] == chunks * CHUNK_SAMPLES


def test_thousands_of_small_messages(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            for i in range(3000):
                await c.send("text", context_id="a", text="x " if i % 100 == 0 else "")
            await c.send("end", context_id="a")
            assert (await c.until("done"))["samples"] == 31 * CHUNK_SAMPLES

    asyncio.run(main())
