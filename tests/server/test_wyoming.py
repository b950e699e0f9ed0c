"""The Wyoming port, driven by the package's own client as Home Assistant drives it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import tracemalloc
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest
from support.fake_service import CHUNK_SAMPLES, RATE, FakeService
from support.wyoming_live import Live, wyoming_server
from support.wyoming_wire import ev, types_until, wire
from wyoming.audio import AudioChunk, AudioStart
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeVoice,
)

from streamtts import events
from streamtts.errors import ConfigError, StreamStuck
from streamtts.protocol.wyoming import WyomingSession
from streamtts.server import wyoming_connection
from streamtts.server.wyoming import WyomingServer, bind

# The fake service speaks it until it is cancelled.
ENDLESS = wire(SynthesizeStart().event()) + wire(SynthesizeChunk(text="endless").event())


async def endless(client: AsyncTcpClient) -> None:
    await client.write_event(SynthesizeStart().event())
    await client.write_event(SynthesizeChunk(text="endless").event())


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


def types(found: list[Event]) -> list[str]:
    """The types, with runs of chunks as one."""
    names = [event.type for event in found]
    return [n for i, n in enumerate(names) if n != "audio-chunk" or names[i - 1] != n]


def audio(found: list[Event]) -> bytes:
    return b"".join(AudioChunk.from_event(e).audio for e in found if e.type == "audio-chunk")


def samples(found: list[Event]) -> int:
    return len(audio(found)) // 2


def wait_opened(service: FakeService, number: int) -> None:
    with service.changed:
        assert service.changed.wait_for(lambda: len(service.contexts) >= number, 10)


async def answer(live: Live, *sent: bytes) -> list[dict[str, Any]]:
    """Everything that comes back to raw bytes, up to the end: the lines only, no data."""
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    for piece in sent:
        writer.write(piece)
        await writer.drain()
    got = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    found = []
    while got:
        line, _, got = got.partition(b"\n")
        fields = json.loads(line)
        data = got[: fields.get("data_length", 0)]
        got = got[len(data) + fields.get("payload_length", 0) :]
        found.append({"type": fields["type"], **json.loads(data or b"{}")})
    return found


def test_describe() -> None:
    async def main() -> None:
        async with wyoming_server() as live, live.client() as client:
            await client.write_event(Describe().event())
            (event,) = await types_until(client, "info")
            (program,) = Info.from_event(event).tts
            assert program.supports_synthesize_streaming
            assert [voice.name for voice in program.voices] == ["fake", "other"]
            assert program.voices[0].languages == ["en-US"]
            await client.write_event(Ping(text="still there?").event())
            (event,) = await types_until(client, "pong")
            assert Pong.from_event(event).text == "still there?"

    run(main())


def test_synthesize() -> None:
    async def main() -> None:
        async with wyoming_server() as live, live.client() as client:
            voice = SynthesizeVoice(name="other")
            await client.write_event(Synthesize(text="one two", voice=voice).event())
            found = await types_until(client, "audio-stop")
            assert types(found) == ["audio-start", "audio-chunk", "audio-stop"]
            start = AudioStart.from_event(found[0])
            assert (start.rate, start.width, start.channels) == (RATE, 2, 1)
            assert samples(found) == 3 * CHUNK_SAMPLES
            stamps = [AudioChunk.from_event(e).timestamp for e in found[1:-1]]
            assert stamps == [0, 40, 80]
            (context,) = live.service.contexts
            assert context.settings.voice == "other"
            assert context.settings.lead_ms == 0
            assert context.settings.audio.encoding == "pcm_s16le"
            await client.write_event(Synthesize(text="again").event())
            assert samples(await types_until(client, "audio-stop")) == 2 * CHUNK_SAMPLES

    run(main())


def test_a_stream_sounds_while_its_text_is_still_coming() -> None:
    async def main() -> None:
        async with wyoming_server() as live, live.client() as client:
            await client.write_event(SynthesizeStart().event())
            await client.write_event(SynthesizeChunk(text="one ").event())
            early = await types_until(client, "audio-chunk")
            assert types(early) == ["audio-start", "audio-chunk"]
            await client.write_event(SynthesizeChunk(text="two").event())
            await client.write_event(Synthesize(text="one two").event())
            await client.write_event(SynthesizeStop().event())
            late = await types_until(client, "synthesize-stopped")
            assert types(late) == ["audio-chunk", "audio-stop", "synthesize-stopped"]
            assert samples(early + late) == 3 * CHUNK_SAMPLES
            (context,) = live.service.contexts  # the copy was not spoken
            assert context.text == "one two"

    run(main())


def test_the_configuration_reaches_the_context() -> None:
    async def main() -> None:
        config = '[audio]\nencoding = "mulaw"\nsample_rate = 8000\n[wyoming]\nlead_ms = 500\n'
        config += 'text_format = "markdown"'
        async with wyoming_server(config) as live, live.client() as client:
            await client.write_event(Synthesize(text="one").event())
            found = await types_until(client, "audio-stop")
            assert AudioStart.from_event(found[0]).rate == 8000
            (context,) = live.service.contexts
            assert context.settings.lead_ms == 500
            assert context.settings.text_format == "markdown"
            assert context.settings.audio.encoding == "pcm_s16le"

    run(main())


def test_a_closed_connection_cancels() -> None:
    async def main() -> None:
        service = FakeService()
        async with wyoming_server(service=service) as live:
            client = live.client()
            await client.connect()
            await endless(client)
            await types_until(client, "audio-chunk")
            await client.disconnect()
            await asyncio.to_thread(service.wait_alive, 0)
            assert ("cancel", None) in service.contexts[0].calls
            await live.gone()

    run(main())


def test_a_closed_connection_cancels_what_waits_its_turn_as_well() -> None:
    async def main() -> None:
        service, go_on = FakeService(), threading.Event()
        async with wyoming_server(service=service) as live:
            service.worker.submit(go_on.wait)
            client = live.client()
            await client.connect()
            await client.write_event(Synthesize(text="one").event())
            await client.write_event(Synthesize(text="two").event())
            await asyncio.to_thread(service.wait_alive, 2)
            await client.disconnect()
            await live.gone()
            go_on.set()
            await asyncio.to_thread(service.wait_alive, 0)
            assert all(("cancel", None) in context.calls for context in service.contexts)

    run(main())


def test_requests_of_one_connection_are_spoken_in_their_order() -> None:
    async def main() -> None:
        async with wyoming_server() as live, live.client() as client:
            for text in ("one", "one two", "one two three"):
                await client.write_event(Synthesize(text=text).event())
            for number in (2, 3, 4):
                found = await types_until(client, "audio-stop")
                assert types(found) == ["audio-start", "audio-chunk", "audio-stop"]
                assert samples(found) == number * CHUNK_SAMPLES

    run(main())


def test_two_clients_at_once() -> None:
    async def main() -> None:
        async with wyoming_server() as live, live.client() as one, live.client() as two:
            await endless(one)
            await types_until(one, "audio-chunk")
            await two.write_event(SynthesizeStart().event())
            for _ in range(20):
                await two.write_event(SynthesizeChunk(text="x ").event())
            await two.write_event(SynthesizeStop().event())
            found = await types_until(two, "synthesize-stopped")
            assert samples(found) == 21 * CHUNK_SAMPLES
            await types_until(one, "audio-chunk")  # goes on

    run(main())


def test_no_text_and_an_unknown_voice() -> None:
    async def main() -> None:
        async with wyoming_server() as live, live.client() as client:
            await client.write_event(Synthesize(text="").event())
            found = await types_until(client, "audio-stop")
            assert types(found) == ["audio-start", "audio-chunk", "audio-stop"]
            voice = SynthesizeVoice(name="nobody")
            await client.write_event(Synthesize(text="one", voice=voice).event())
            found = await types_until(client, "audio-stop")
            assert types(found) == ["error", "audio-start", "audio-chunk", "audio-stop"]
            error = Error.from_event(found[0])
            assert error.code == "unknown_voice"
            assert 'no voice "nobody"; there is fake (en-US), other (en-US)' in error.text

    run(main())


def test_a_text_that_is_too_long() -> None:
    async def main() -> None:
        service = FakeService(chars_per_context=1000)
        async with wyoming_server(service=service) as live:
            async with live.client() as client:
                await client.write_event(Synthesize(text="x" * 100_000).event())
                (event,) = await types_until(client, "error")
                assert Error.from_event(event).code == "text_too_long"
                assert await client.read_event() is None  # what Home Assistant understands
            await asyncio.to_thread(service.wait_alive, 0)
            async with live.client() as client:
                await client.write_event(SynthesizeStart().event())
                for text in ("one ", "x" * 1001, "lost"):
                    await client.write_event(SynthesizeChunk(text=text).event())
                await client.write_event(SynthesizeStop().event())
                found = await types_until(client, "synthesize-stopped")
                assert [e.type for e in found if not e.type.startswith("audio")] == [
                    "error",
                    "synthesize-stopped",
                ]
                assert service.contexts[-1].text == "one "

    run(main())


def test_no_room_and_an_engine_that_gives_up() -> None:
    async def main() -> None:
        service = FakeService(capacity=1)
        async with wyoming_server(service=service) as live:
            async with live.client() as one, live.client() as two:
                await one.write_event(SynthesizeStart().event())
                await one.write_event(SynthesizeChunk(text="one").event())
                await types_until(one, "audio-chunk")
                await two.write_event(Synthesize(text="no room").event())
                (event,) = await types_until(two, "error")
                assert Error.from_event(event).code == "capacity"
                assert await two.read_event() is None
                service.contexts[0].fail(StreamStuck("no progress"))
                assert types(await types_until(one, "error"))[-1] == "error"
                assert await one.read_event() is None
            async with live.client() as client:
                await client.write_event(Synthesize(text="again").event())
                await types_until(client, "audio-stop")

    run(main())


def test_a_stream_that_pauses_longer_than_its_context_lives() -> None:
    async def main() -> None:
        service = FakeService()
        async with wyoming_server(service=service) as live, live.client() as client:
            await client.write_event(SynthesizeStart().event())
            await client.write_event(SynthesizeChunk(text="one").event())
            await types_until(client, "audio-chunk")
            idle = events.Done("idle", CHUNK_SAMPLES, 3, 1.0, 0.1, 0.0, 1, 0, 0.0)
            service.contexts[0].tell(idle)
            await asyncio.to_thread(service.wait_alive, 0)
            await client.write_event(SynthesizeChunk(text="two").event())
            await client.write_event(SynthesizeStop().event())
            found = await types_until(client, "synthesize-stopped")
            assert types(found) == ["audio-chunk", "audio-stop", "synthesize-stopped"]
            assert [context.text for context in service.contexts] == ["one", "two"]

    run(main())


@pytest.mark.parametrize(
    ("sent", "code", "message"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "bad_json", "not JSON"),
        (bytes(range(128, 256)) * 50 + b"\n", "bad_json", "not JSON"),
        (b'{"type":"synthesize","data":{"text":5}}\n', "bad_field", "text: must be a string"),
        (b'{"type":"synthesize","data_length":9}\n{"text":"x"}\n', "bad_json", "data is not JSON"),
        (b'{"type":"a","payload_length":1000000000}\n' + bytes(99_999), "bad_field", "1000000000"),
        (b"x" * 300_000, "bad_field", "a line of more than"),
        (b'{"type":"synthesize-stop"}\n', "unknown_context", "no synthesize-start"),
    ],
)
def test_what_is_not_wyoming_is_cut_off(sent: bytes, code: str, message: str) -> None:
    async def main() -> None:
        async with wyoming_server() as live, live.client() as other:
            (error,) = await answer(live, sent)
            assert (error["type"], error["code"]) == ("error", code)
            assert message in error["text"]
            await other.write_event(Synthesize(text="one").event())  # nobody else notices
            await types_until(other, "audio-stop")

    run(main())


def test_a_gigabyte_that_is_announced_and_sent_costs_no_memory() -> None:
    async def main() -> None:
        async with wyoming_server() as live:
            tracemalloc.start()
            try:
                raw = live.raw()
                raw.sendall(b'{"type":"synthesize","payload_length":1000000000}\n')
                piece, sent = bytes(65_536), 0

                def pour() -> int:
                    nonlocal sent
                    try:
                        while sent < 10**9:
                            sent += raw.send(piece)
                    except OSError:
                        pass
                    return sent

                poured = await asyncio.to_thread(pour)
                raw.close()
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            await live.gone()
            assert poured < 20_000_000  # was cut off
            assert peak < 1_000_000

    run(main())


def test_who_is_cut_off_has_time_to_read_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wyoming_connection, "LINGER_S", 30.0)

    async def main() -> None:
        async with wyoming_server() as live:
            raw = live.raw()
            raw.sendall(b"nonsense\n")
            got = b""
            while piece := await asyncio.to_thread(raw.recv, 65536):
                got += piece
            assert b"bad_json" in got
            assert not live.gateway.quiet.is_set()  # no reset, which could swallow it
            raw.sendall(b"more" * 1000)
            raw.close()
            await live.gone()

    run(main())


def test_a_flood_of_small_messages_lets_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No more than a burst is taken between two turns of the loop."""
    turn, taken = 0, Counter[int]()
    receive = WyomingSession.receive

    def counted(self: WyomingSession[Any], event: Event) -> Any:
        taken[turn] += 1
        return receive(self, event)

    monkeypatch.setattr(WyomingSession, "receive", counted)

    async def main() -> None:
        async def turns() -> None:
            nonlocal turn
            while True:
                turn += 1
                await asyncio.sleep(0)

        async with wyoming_server() as live:
            turning = asyncio.create_task(turns())
            found = await answer(live, b'{"type":"x"}\n' * 3000 + b"nonsense\n")
            assert [event["type"] for event in found] == ["error"]
            turning.cancel()

    run(main())
    assert taken.total() == 3000
    assert max(taken.values()) <= wyoming_connection.BURST


def test_a_truncated_message_is_cut_off_in_time() -> None:
    async def main() -> None:
        config = "[server]\nheader_timeout_s = 0.3\n"
        async with wyoming_server(config) as live:
            for sent in (b'{"type":"synth', b'{"type":"a","data_length":9}\n{"te'):
                (error,) = await answer(live, sent)
                assert (error["type"], error["code"]) == ("error", "bad_field")
                assert "no whole message within 0.3 s" in error["text"]
            await live.gone()

    run(main())


def test_a_header_cut_short_by_the_end_of_the_connection() -> None:
    async def main() -> None:
        async with wyoming_server() as live:
            raw = live.raw()
            raw.sendall(wire(Synthesize(text="never").event())[:-3])
            raw.shutdown(socket.SHUT_WR)
            assert await asyncio.to_thread(raw.recv, 10) == b""
            raw.close()
            await live.gone()
            assert live.service.contexts == []

    run(main())


def test_a_client_with_nothing_to_say_is_closed() -> None:
    async def main() -> None:
        async with wyoming_server("[wyoming]\nidle_s = 0.3") as live:
            async with live.client() as client, live.client() as streaming:
                await streaming.write_event(SynthesizeStart().event())
                assert await asyncio.wait_for(client.read_event(), 20) is None
                assert await asyncio.wait_for(streaming.read_event(), 20) is None
            await live.gone()

    run(main())


def test_a_client_that_does_not_read() -> None:
    async def main() -> None:
        service = FakeService()
        config = "[server]\nslow_reader_s = 0.6\noutbox_bytes = 8192\n"
        async with wyoming_server(config, service) as live, live.client() as other:
            raw = live.raw(receive_buffer=4096)
            raw.sendall(ENDLESS)
            await asyncio.to_thread(service.wait_alive, 1)
            (slow,) = service.contexts
            await asyncio.to_thread(slow.wait_for, ("set_paused", True))  # descheduled
            await other.write_event(Synthesize(text="one two three").event())
            found = await types_until(other, "audio-stop")
            assert samples(found) == 4 * CHUNK_SAMPLES
            await asyncio.to_thread(slow.wait_for, ("cancel", None))  # and closed
            assert live.gateway.metrics.slow_closes == 1
            raw.close()

    run(main())


def test_a_client_that_reads_again_is_served_again() -> None:
    async def main() -> None:
        service = FakeService()
        async with wyoming_server("[server]\noutbox_bytes = 8192\n", service) as live:
            raw = live.raw(receive_buffer=4096)
            raw.sendall(ENDLESS)
            await asyncio.to_thread(service.wait_alive, 1)
            (slow,) = service.contexts
            await asyncio.to_thread(slow.wait_for, ("set_paused", True))
            while ("set_paused", False) not in slow.calls:
                assert await asyncio.to_thread(raw.recv, 65536)
            raw.close()
            await asyncio.to_thread(service.wait_alive, 0)

    run(main())


def test_what_is_begun_while_nothing_is_read_waits_as_well() -> None:
    async def main() -> None:
        service = FakeService()
        async with wyoming_server("[server]\noutbox_bytes = 8192\n", service) as live:
            raw = live.raw(receive_buffer=4096)
            raw.sendall(ENDLESS)
            await asyncio.to_thread(service.wait_alive, 1)
            await asyncio.to_thread(service.contexts[0].wait_for, ("set_paused", True))
            raw.sendall(ENDLESS)  # ends the first stream, whose sound has not been read yet
            await asyncio.to_thread(wait_opened, service, 2)
            await asyncio.to_thread(service.contexts[1].wait_for, ("set_paused", True))
            raw.close()
            await asyncio.to_thread(service.wait_alive, 0)

    run(main())


def test_a_flood_of_pings_that_nobody_reads_is_bounded() -> None:
    async def main() -> None:
        config = "[server]\nslow_reader_s = 0.5\noutbox_bytes = 4096\n"
        async with wyoming_server(config) as live, live.client() as other:
            raw = live.raw(receive_buffer=4096)
            flood = wire(Ping(text="x" * 1000).event()) * 100

            def pour() -> None:
                try:
                    while True:
                        raw.sendall(flood)
                except OSError:
                    pass

            pouring = asyncio.create_task(asyncio.to_thread(pour))
            await other.write_event(Synthesize(text="one").event())
            await types_until(other, "audio-stop")
            await asyncio.wait_for(pouring, 20)
            raw.close()

    run(main())


def test_too_many_connections() -> None:
    async def main() -> None:
        async with wyoming_server("[wyoming]\nconnections = 1") as live:
            async with live.client() as first:
                await first.write_event(Describe().event())
                await types_until(first, "info")
                (error,) = await answer(live)
                assert (error["type"], error["code"]) == ("error", "capacity")
                await first.write_event(Synthesize(text="one").event())
                await types_until(first, "audio-stop")
            await live.gone()
            async with live.client() as next_one:
                await next_one.write_event(Describe().event())
                await types_until(next_one, "info")

    run(main())


def test_a_drain_lets_what_is_said_be_said() -> None:
    async def main() -> None:
        service = FakeService()
        async with wyoming_server(service=service) as live:
            async with live.client() as busy, live.client() as idle:
                await busy.write_event(SynthesizeStart().event())
                await busy.write_event(SynthesizeChunk(text="one ").event())
                await types_until(busy, "audio-chunk")
                await idle.write_event(Ping().event())
                await types_until(idle, "pong")
                live.server.drain()
                live.gateway.drain()
                assert await asyncio.wait_for(idle.read_event(), 20) is None
                with pytest.raises(OSError):  # noqa: PT011 - refused, or reset
                    await live.client().connect()
                await busy.write_event(SynthesizeChunk(text="two").event())
                await busy.write_event(SynthesizeStop().event())
                found = await types_until(busy, "synthesize-stopped")
                assert samples(found) == 2 * CHUNK_SAMPLES
                assert await asyncio.wait_for(busy.read_event(), 20) is None
            await live.gone()

    run(main())


def test_a_server_that_closes_cancels() -> None:
    async def main() -> None:
        service = FakeService()
        async with wyoming_server(service=service) as live, live.client() as client:
            await endless(client)
            await types_until(client, "audio-chunk")
            await live.server.close()
            with pytest.raises((AssertionError, OSError, asyncio.IncompleteReadError)):
                await types_until(client, "audio-stop")
            await asyncio.to_thread(service.wait_alive, 0)

    run(main())


def test_our_own_bug_ends_its_connection_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with wyoming_server() as live, live.client() as other:

            def broken(*args: Any, **options: Any) -> None:
                raise ZeroDivisionError("ours")

            with monkeypatch.context() as patched:
                patched.setattr(live.service, "open", broken)
                (error,) = await answer(live, wire(Synthesize(text="x").event()))
            assert (error["type"], error["code"]) == ("error", "internal")
            await other.write_event(Synthesize(text="one").event())
            await types_until(other, "audio-stop")

    run(main())
    assert "ZeroDivisionError" in caplog.text


def test_text_of_users_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with wyoming_server() as live, live.client() as client:
            await client.write_event(Synthesize(text="secret").event())
            await types_until(client, "audio-stop")
            await answer(live, b'{"type":"synthesize","data":"secret"}\n')

    caplog.set_level("INFO")
    run(main())
    assert "code=bad_field" in caplog.text
    assert "wyoming listening" in caplog.text


def test_a_port_in_use_is_one_clear_line() -> None:
    async def main() -> None:
        async with wyoming_server() as live:
            config = live.gateway.config
            taken = msgspec.structs.replace(
                config, wyoming=msgspec.structs.replace(config.wyoming, port=live.port)
            )
            with pytest.raises(ConfigError, match=rf"wyoming\.port: .*:{live.port} is in use"):
                bind(taken)

    run(main())


def test_unknown_events_are_ignored() -> None:
    async def main() -> None:
        async with wyoming_server() as live, live.client() as client:
            await client.write_event(ev("transcribe", language="en"))
            await client.write_event(Event("audio-chunk", {"rate": 1}, bytes(5000)))
            await client.write_event(Synthesize(text="one").event())
            found = await types_until(client, "audio-stop")
            assert types(found) == ["audio-start", "audio-chunk", "audio-stop"]

    run(main())


def test_a_drain_that_comes_before_or_within_the_start() -> None:
    async def main() -> None:
        async with wyoming_server() as live:
            for within in (False, True):
                server = WyomingServer(live.gateway, bind(live.gateway.config))
                port = server.port
                starting = asyncio.create_task(server.start())
                if within:
                    await asyncio.sleep(0)  # it has begun
                server.drain()
                await starting
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", port)
                await server.close()

    run(main())
