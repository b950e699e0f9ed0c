"""Clients that stop reading, flood, or are met by our own bugs."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from support.fake_service import CHUNK_SAMPLES, FakeContext, FakeService
from support.live_server import LiveServer, client
from websockets.exceptions import ConnectionClosed


def last(service: FakeService) -> FakeContext:
    return service.contexts[-1]


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


def test_a_flood_in_one_piece_keeps_its_order(serve: Callable[..., LiveServer]) -> None:
    service = FakeService()
    raw = handshake(serve(service=service), 65536)
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
    chunks = received.count(bytes([0x82, 126]) + (16 + 2 * CHUNK_SAMPLES).to_bytes(2, "big"))
    assert cancelled["sent_samples"] == chunks * CHUNK_SAMPLES


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
    raw = handshake(server, 65536)
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
