"""The adapter against a real broker, a broker that says no, and one that talks nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from support.bridges import until
from support.mosquitto import GUARD_S, MOSQUITTO, Device, Mosquitto

from streamtts.mqtt.adapter import Session
from streamtts.mqtt.broker import Broker, Inbound, Will
from streamtts.mqtt.keeping import keep

MakeDevice = Callable[..., Device]
VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


class Kept:
    """A session that keeps what it gets."""

    def __init__(self, port: int, name: str, version: str = "5", **options: Any) -> None:
        self.got: list[Inbound] = []
        self.ups: list[bool] = []
        self.downs = 0
        options.setdefault("receive_maximum", 20)
        self.session = Session(
            Broker(host="127.0.0.1", port=port, version=version, **options.pop("login", {})),
            name,
            on_message=self.got.append,
            on_up=self.ups.append,
            on_down=self._down,
            **options,
        )

    def _down(self) -> None:
        self.downs += 1

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Session]:
        task = asyncio.create_task(self.session.run())
        try:
            await until(lambda: self.session.ready)
            yield self.session
        finally:
            task.cancel()
            await asyncio.wait([task])

    def payloads(self) -> list[bytes]:
        return [inbound.payload for inbound in self.got]


@VERSIONS
def test_what_is_not_acknowledged_comes_again(
    broker: Mosquitto, device: MakeDevice, version: str
) -> None:
    name = f"ack-{version}"
    sender = device(broker.port, f"{name}/nothing")

    async def main() -> None:
        first = Kept(broker.port, name, version)
        first.session.subscribe(f"{name}/x")
        async with first.running():
            for number in range(4):
                sender.say(f"{name}/x", number)
            await until(lambda: len(first.got) == 4)
            assert not any(inbound.again for inbound in first.got)
            first.got[2].ack()  # in any order
            first.got[0].ack()
        again = Kept(broker.port, name, version)
        async with again.running():
            await until(lambda: len(again.got) == 2)
            assert again.ups == [True]
            assert again.payloads() == [b"1", b"3"]
            assert all(inbound.again for inbound in again.got)
            for inbound in again.got:
                inbound.ack()
            first.got[1].ack()  # of a connection that is gone: nothing happens
        last = Kept(broker.port, name, version)
        last.session.subscribe(f"{name}/y")
        async with last.running():
            sender.say(f"{name}/y", b"end")
            await until(lambda: last.got)
            assert last.payloads() == [b"end"]

    asyncio.run(main())


def test_receive_maximum_holds_back_what_is_too_much(broker: Mosquitto, device: MakeDevice) -> None:
    sender = device(broker.port, "rm/nothing")

    async def main() -> None:
        kept = Kept(broker.port, "rm", receive_maximum=3)
        other = Kept(broker.port, "rm-other")
        kept.session.subscribe("rm/x")
        other.session.subscribe("rm/x")
        async with kept.running(), other.running():
            for number in range(5):
                sender.say("rm/x", number)
            await until(lambda: len(other.got) == 5)
            assert kept.payloads() == [b"0", b"1", b"2"]
            kept.got[1].ack()
            await until(lambda: len(kept.got) > 3)  # Mosquitto 2.0.11 sends more than one now
            assert kept.payloads()[3] == b"3"

    asyncio.run(main())


@VERSIONS
def test_a_fresh_session_forgets_what_an_earlier_process_left(
    broker: Mosquitto, device: MakeDevice, version: str
) -> None:
    name = f"fresh-{version}"
    sender = device(broker.port, f"{name}/nothing")

    async def main() -> None:
        first = Kept(broker.port, name, version)
        first.session.subscribe(f"{name}/x")
        async with first.running():
            sender.say(f"{name}/x", b"old")
            await until(lambda: first.got)
        second = Kept(broker.port, name, version, fresh=True)
        second.session.subscribe(f"{name}/y")
        async with second.running():
            sender.say(f"{name}/y", b"new")
            await until(lambda: second.got)
            assert second.ups == [False]
            assert second.payloads() == [b"new"]

    asyncio.run(main())


@VERSIONS
def test_it_comes_back_after_a_restart_and_nothing_of_qos_1_is_lost(
    own_broker: Mosquitto, device: MakeDevice, version: str
) -> None:
    async def main() -> None:
        kept = Kept(own_broker.port, "back", version, jitter=lambda: 0.0)
        kept.session.subscribe("back/in")
        async with kept.running() as session:
            listener = device(own_broker.port, "back/out", v5=version == "5")
            own_broker.stop()
            await until(lambda: kept.downs == 1)
            assert not session.publish("back/out", b"sound")  # QoS 0: gone
            assert session.publish("back/out", b"event 1", qos=1)
            assert session.publish("back/out", b"event 2", qos=1)
            own_broker.start()
            await until(lambda: session.ready)
            assert kept.ups == [False, True]
            assert await session.flushed(10)
            await asyncio.to_thread(listener.wait, lambda got: len(got) >= 2)
            listener.say("back/in", b"hello")
            await until(lambda: kept.got)
        assert [got.payload for got in listener.got] == [b"event 1", b"event 2"]

    asyncio.run(main())


@VERSIONS
def test_a_session_that_began_fresh_outlives_a_restart_of_the_broker(
    own_broker: Mosquitto, device: MakeDevice, version: str
) -> None:
    async def main() -> None:
        kept = Kept(own_broker.port, "young", version, fresh=True)
        kept.session.subscribe("young/in")
        async with kept.running():
            pass
        own_broker.stop()
        own_broker.start()
        sender = device(own_broker.port, "young/in")
        sender.say("young/in", b"meanwhile")
        await asyncio.to_thread(sender.wait, lambda got: got)
        async with kept.running():
            await until(lambda: kept.got)
            assert kept.ups == [False, True]
            assert kept.payloads() == [b"meanwhile"]

    asyncio.run(main())


@VERSIONS
def test_an_acknowledgement_that_is_lost_brings_nothing_twice(
    own_broker: Mosquitto, device: MakeDevice, version: str
) -> None:
    async def main() -> None:
        kept = Kept(own_broker.port, "once", version, jitter=float)
        kept.session.subscribe("once/x")
        async with kept.running() as session:
            sender = device(own_broker.port, "once/nothing", v5=version == "5")
            sender.say("once/x", b"acknowledged")
            sender.say("once/x", b"waits")
            await until(lambda: len(kept.got) == 2)
            own_broker.stop()
            kept.got[0].ack()  # does not get there
            await until(lambda: kept.downs == 1)
            own_broker.start()
            await until(lambda: session.ready)
            await until(lambda: len(kept.got) == 3)
            kept.got[2].ack()
            sender.say("once/x", b"acknowledged")  # another one of the same words
            await until(lambda: len(kept.got) == 4)
            kept.got[3].ack()
        assert kept.ups == [False, True]
        assert kept.payloads() == [b"acknowledged", b"waits", b"waits", b"acknowledged"]
        assert [inbound.again for inbound in kept.got] == [False, False, True, False]
        async with kept.running():  # nothing is owed any more
            sender.say("once/x", b"end")
            await until(lambda: len(kept.got) > 4)
            assert kept.payloads()[4:] == [b"end"]

    asyncio.run(main())


@VERSIONS
def test_a_session_that_began_fresh_outlives_a_crash_of_a_broker_that_saves_each_change(
    tmp_path: Path, device: MakeDevice, version: str
) -> None:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    options = "allow_anonymous true\nautosave_on_changes true\nautosave_interval 1"
    crashing = Mosquitto(tmp_path, options)
    crashing.start()

    async def main() -> None:
        kept = Kept(crashing.port, "tough", version, fresh=True)
        kept.session.subscribe("tough/in")
        async with kept.running():
            pass
        sender = device(crashing.port, "tough/nothing")
        sender.say("tough/in", b"meanwhile")
        await until(lambda: b"meanwhile" in (tmp_path / "mosquitto.db").read_bytes())
        assert crashing._process is not None
        crashing._process.kill()
        crashing.stop()
        crashing.start()
        async with kept.running():
            await until(lambda: kept.got)
            assert kept.ups == [False, True]
            assert kept.payloads() == [b"meanwhile"]

    try:
        asyncio.run(main())
    finally:
        crashing.stop()


def test_a_session_that_the_broker_has_forgotten_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    forgetful = Mosquitto(tmp_path)
    forgetful.start()

    async def main() -> None:
        kept = Kept(forgetful.port, "lost")
        async with kept.running():
            pass
        assert "has forgotten" not in caplog.text
        forgetful.stop()
        (tmp_path / "mosquitto.db").unlink()
        forgetful.start()
        async with kept.running():
            assert kept.ups == [False, False]

    try:
        asyncio.run(main())
    finally:
        forgetful.stop()
    assert "the broker has forgotten session=lost" in caplog.text


def test_what_may_be_lost_takes_no_place_from_what_may_not(
    broker: Mosquitto, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamtts.mqtt.adapter._QUEUE_SLACK", 0)
    sender = device(broker.port, "places/nothing")

    async def main() -> None:
        kept = Kept(broker.port, "places")
        kept.session.subscribe("places/x")
        async with kept.running():
            sender.say("places/x", b"of qos 0", qos=0)
            for number in range(20):
                sender.say("places/x", number)
            await until(lambda: len(kept.got) == 20)
            assert kept.payloads() == [str(number).encode() for number in range(20)]

    asyncio.run(main())


def test_properties_of_mqtt_5(broker: Mosquitto, device: MakeDevice) -> None:
    listener = device(broker.port, "props/out")

    async def main() -> None:
        kept = Kept(broker.port, "props")
        kept.session.subscribe("props/in")
        async with kept.running() as session:
            session.publish("props/out", b"x", expiry_s=5, correlation=b"\0\1")
            await asyncio.to_thread(listener.wait, lambda got: got)
            listener.say("props/in", b"y", response_topic="props/r", correlation=b"c")
            await until(lambda: kept.got)
            assert (kept.got[0].response_topic, kept.got[0].correlation) == ("props/r", b"c")

    asyncio.run(main())
    assert listener.got[0].correlation == b"\0\1"
    assert listener.got[0].expiry_s in (4, 5)


def test_the_will_speaks_for_a_client_that_vanishes(broker: Mosquitto, device: MakeDevice) -> None:
    listener = device(broker.port, "will/#")

    async def main() -> None:
        kept = Kept(broker.port, "will", will=Will("will/state", b"offline"), lasting=False)
        async with kept.running() as session:
            session.publish("will/state", b"online", qos=1, retain=True)
            await asyncio.to_thread(listener.wait, lambda got: got)
            assert session._client is not None
            session._client._sock_close()  # no DISCONNECT
            await asyncio.to_thread(listener.wait, lambda got: got[-1].payload == b"offline")

    asyncio.run(main())
    late = device(broker.port, "will/#")
    assert late.wait(lambda got: got)
    assert (late.got[0].payload, late.got[0].retained) == (b"offline", True)


def test_a_handler_that_fails_costs_one_message(
    broker: Mosquitto, device: MakeDevice, caplog: pytest.LogCaptureFixture
) -> None:
    sender = device(broker.port, "fails/nothing")
    got: list[bytes] = []

    def on_message(inbound: Inbound) -> None:
        if inbound.payload == b"bad":
            raise RuntimeError("a bug")
        got.append(inbound.payload)
        inbound.ack()

    async def main() -> None:
        session = Session(
            Broker(host="127.0.0.1", port=broker.port),
            "fails",
            receive_maximum=1,
            on_message=on_message,
        )
        session.subscribe("fails/x")
        task = asyncio.create_task(session.run())
        await until(lambda: session.ready)
        sender.say("fails/x", b"bad")
        sender.say("fails/x", b"good")
        await until(lambda: got)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
    assert got == [b"good"]
    assert "a message failed and is dropped" in caplog.text


def test_a_wrong_password_is_one_clear_line_and_no_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = shutil.which("mosquitto_passwd")
    if MOSQUITTO is None or program is None:
        pytest.skip("mosquitto is not installed")
    passwords = tmp_path / "passwords"
    subprocess.run([program, "-c", "-b", str(passwords), "tts", "right"], check=True)
    passwords.chmod(0o644)
    guarded = Mosquitto(tmp_path / "b", f"allow_anonymous false\npassword_file {passwords}")
    guarded.start()

    async def main() -> None:
        wrong = Kept(
            guarded.port, "w", login={"username": "tts", "password": "secret-1"}, jitter=float
        )
        task = asyncio.create_task(wrong.session.run())
        await until(lambda: caplog.text.count("refuses us") >= 2)  # it goes on trying
        assert not wrong.session.connected
        task.cancel()
        await asyncio.wait([task])
        right = Kept(guarded.port, "r", login={"username": "tts", "password": "right"})
        async with right.running():
            assert right.ups == [False]

    try:
        asyncio.run(main())
    finally:
        guarded.stop()
    assert "Not authorized" in caplog.text
    assert "secret-1" not in caplog.text
    assert "secret-1" not in repr(Broker(host="h", port=1, password="secret-1"))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x20\xff\xff\xff\xff",
        b"\xff" * 64,
        b"\x20\x02",
        b"\x20\x03\0\0\0\xe0\x02\x8e\0",
    ],
    ids=["hangs up", "http", "bad length", "noise", "cut", "taken over at once"],
)
def test_a_broker_that_talks_nonsense_is_left_and_tried_again(
    answer: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamtts.mqtt.adapter.CONNECT_TIMEOUT_S", 0.2)
    monkeypatch.setattr("streamtts.mqtt.keeping.FIRST_BACKOFF_S", 0.1)
    caplog.set_level(logging.INFO)
    visitors: list[asyncio.StreamWriter] = []

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visitors.append(writer)
        await reader.read(100)
        writer.write(answer)
        if not answer:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(visit, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        kept = Kept(port, "x", jitter=float)
        task = asyncio.create_task(kept.session.run())
        await until(lambda: len(visitors) >= 2)
        assert not kept.session.connected
        task.cancel()
        await asyncio.wait([task])
        for writer in visitors:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        server.close()

    asyncio.run(main())
    assert "session=x" in caplog.text


def test_nobody_there_is_one_clear_line(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        kept = Kept(1, "x", lasting=False)
        await kept.session.run()
        assert kept.downs == 0

    asyncio.run(main())
    assert "broker 127.0.0.1:1 session=x: [Errno 111] Connection refused" in caplog.text


def test_a_cancellation_that_the_library_swallows_ends_it_all_the_same(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter = aiomqtt.Client.__aenter__

    async def swallow(client: aiomqtt.Client) -> aiomqtt.Client:
        task = asyncio.current_task()
        assert task is not None
        await enter(client)
        task.cancel()  # in the moment in which the broker says yes
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        return client

    monkeypatch.setattr(aiomqtt.Client, "__aenter__", swallow)

    async def main() -> None:
        kept = Kept(broker.port, "swallowed")
        task = asyncio.create_task(kept.session.run())
        done, _ = await asyncio.wait([task], timeout=GUARD_S)
        assert done
        assert task.cancelled()
        assert kept.ups == []

    asyncio.run(main())


def test_what_is_kept_up_ends_when_its_work_swallows_the_cancellation() -> None:
    async def work() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def main() -> None:
        kept = keep(work, lambda error, again: None, lasting=True, jitter=float)
        task = asyncio.create_task(kept)
        await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=GUARD_S)
        assert done
        assert task.cancelled()

    asyncio.run(main())
