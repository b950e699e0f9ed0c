"""Clients that stop reading, flood, or are met by our own bugs."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable

import numpy as np
import pytest
from support.fake_service import CHUNK_SAMPLES, FakeContext, FakeService
from support.live_server import LiveServer, client
from support.raw_client import frames, handshake, send_text, until
from websockets.exceptions import ConnectionClosed

from streamtts.events import FLAG_FADED, FLAG_LAST

FADE_SAMPLES = 80  # 5 ms at 16 kHz


def last(service: FakeService) -> FakeContext:
    return service.contexts[-1]


def test_a_flood_in_one_piece_keeps_its_order(serve: Callable[..., LiveServer]) -> None:
    service = FakeService()
    raw = handshake(serve(service=service).port)
    numbers = [str(i) for i in range(3000)]
    frames = b""
    for number in numbers:
        payload = json.dumps({"type": "text", "context_id": "a", "text": number}).encode()
        frames += bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload
    raw.sendall(frames)
    send_text(raw, type="cancel", context_id="a", played_samples=1)
    service.wait_alive(1)
    last(service).wait_for(("cancel", 1))
    assert [value for name, value in last(service).calls if name == "feed"] == numbers
    raw.close()
    service.wait_alive(0)


def test_a_client_that_stops_reading(serve: Callable[..., LiveServer]) -> None:
    service = FakeService()
    server = serve("[server]\nslow_reader_s = 0.6\noutbox_bytes = 8192", service)
    raw = handshake(server.port, 4096)
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
    raw = handshake(server.port, 4096)
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
    raw = handshake(server.port, 4096)
    send_text(raw, type="text", context_id="slow", text="endless")
    service.wait_alive(1)
    (slow,) = service.contexts
    slow.wait_for(("set_paused", True))
    send_text(raw, type="cancel", context_id="slow")
    service.wait_alive(0)
    send_text(raw, type="ping", t="end")
    got = until(frames(raw), "pong", "cancelled")
    raw.close()
    chunks = [frame for frame in got if isinstance(frame, tuple)]
    header, fade = chunks[-1]
    assert [h.seq for h, _ in chunks] == list(range(len(chunks)))
    assert header.flags == FLAG_LAST | FLAG_FADED
    assert header.first_sample == (len(chunks) - 1) * CHUNK_SAMPLES
    assert len(fade) == 2 * FADE_SAMPLES
    # it goes on with the chunk that was dropped, from its full height down to nothing
    height = int.from_bytes(bytes([header.seq % 256]) * 2, "little", signed=True)
    expected = np.rint(height * np.linspace(1.0, 0.0, FADE_SAMPLES))
    assert np.abs(np.frombuffer(fade, "<i2") - expected).max() <= 1
    (cancelled,) = [f for f in got if isinstance(f, dict) and f["type"] == "cancelled"]
    assert cancelled["sent_samples"] == header.first_sample + FADE_SAMPLES
    assert cancelled["sent_samples"] < cancelled["generated_samples"]
    assert ("cancel", cancelled["sent_samples"]) in slow.calls


def test_thousands_of_small_messages(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            for i in range(3000):
                await c.send("text", context_id="a", text="x " if i % 100 == 0 else "")
            await c.send("end", context_id="a")
            assert (await c.until("done"))["samples"] == 31 * CHUNK_SAMPLES

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


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x82\0\0\0\0\xff\xfe", 1007),  # text that is not UTF-8
        (b"\x81\x02hi", 1002),  # not masked
        (b"\xf1\x82\0\0\0\0hi", 1002),  # reserved bits
    ],
)
def test_broken_frames_close_their_own_socket(
    server: LiveServer, frame: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    raw = handshake(server.port, 65536)
    raw.sendall(frame)
    tail = b""
    while piece := raw.recv(65536):
        tail += piece
    raw.close()
    assert code.to_bytes(2, "big") in tail[-80:]
    assert not [record for record in caplog.records if record.exc_info]  # no traceback

    async def main() -> None:
        async with client(server) as c:
            await c.say("a", "one")

    asyncio.run(main())


def test_noise_is_no_request(server: LiveServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        raw.sendall(bytes(range(256)) + b"\r\n\r\n")
        assert raw.recv(4096).startswith(b"HTTP/1.1 400")


def test_our_own_bug_closes_with_1011_and_the_server_goes_on(
    serve: Callable[..., LiveServer],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = FakeService()
    server = serve(service=service)

    def broken(context: FakeContext, samples: int) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(FakeContext, "playback", broken)

    async def main() -> None:
        async with client(server) as other, client(server) as c:
            await c.send("text", context_id="a", text="one")
            await c.until("started")
            await c.send("playback", context_id="a", played_samples=1)
            with pytest.raises(ConnectionClosed) as closed:
                await c.until("nothing")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1011
            await asyncio.to_thread(service.wait_alive, 0)
            await other.send("text", context_id="a", text="one")
            await other.send("end", context_id="a")
            await other.until("done")

    asyncio.run(main())
    assert "connection failed session=" in caplog.text
