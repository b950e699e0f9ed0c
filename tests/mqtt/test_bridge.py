"""A bridge, a real broker, and devices: what goes over the topics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from support.bridges import bridge, until
from support.fake_door import FakeDoor
from support.fake_service import CHUNK_SAMPLES, FakeService
from support.mosquitto import Device, Got, Mosquitto
from support.real_service import load

from streamtts.events import FLAG_FADED, FLAG_FIRST, FLAG_LAST
from streamtts.mqtt.backend import LocalBackend

MakeDevice = Callable[..., Device]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_say(broker: Mosquitto, device: MakeDevice, version: str) -> None:
    prefix = f"say-{version}"
    kitchen = device(broker.port, f"{prefix}/#", v5=version == "5")

    async def main() -> None:
        async with bridge(broker.port, prefix=prefix, version=version):
            kitchen.say(f"{prefix}/kitchen/say", {"id": "a", "text": "Two words"})
            done = await asyncio.to_thread(kitchen.event, "a", "done")
            assert done["samples"] == 3 * CHUNK_SAMPLES
            assert done["chars"] == 9

    asyncio.run(main())
    assert kitchen.events("a") == ["accepted", "words", "started", "words", "done"]
    accepted = kitchen.event("a", "accepted")
    assert accepted["server"] == "one"
    assert accepted["audio"]["sample_rate"] == 16000
    chunks = kitchen.chunks("a")
    assert [chunk.header.seq for chunk in chunks] == [0, 1, 2]
    assert [chunk.header.first_sample for chunk in chunks] == [0, 640, 1280]
    assert [chunk.header.flags for chunk in chunks] == [FLAG_FIRST, 0, FLAG_LAST]
    assert {chunk.header.handle for chunk in chunks} == {accepted["handle"]}
    assert all(len(chunk.sound) == 1280 for chunk in chunks)
    assert {chunk.expiry_s for chunk in chunks} <= ({5, 4} if version == "5" else {None})


def test_text_that_comes_in_pieces_after_accepted(broker: Mosquitto, device: MakeDevice) -> None:
    kitchen = device(broker.port, "pieces/kitchen/#")

    async def main() -> None:
        async with bridge(broker.port, prefix="pieces") as running:
            kitchen.say("pieces/kitchen/say", {"id": "a", "stream": True})
            await asyncio.to_thread(kitchen.event, "a", "accepted")
            text = "pieces/kitchen/text/a"
            kitchen.say(text, {"delta": "One "})
            kitchen.say(text, {"delta": "two", "flush": "f"})
            flushed = await asyncio.to_thread(kitchen.event, "a", "flushed")
            assert flushed == {"type": "flushed", "id": "a", "flush_id": "f", "sample": 1280}
            for bad in (b"no", {"delta": 1}, {}, [1]):
                kitchen.say(text, bad)
            kitchen.say(text, {"end": True})
            await asyncio.to_thread(kitchen.event, "a", "done")
            await until(lambda: running.sites.idle)

    asyncio.run(main())
    errors = [got.json for got in kitchen.got if b'"error"' in got.payload]
    assert [error["code"] for error in errors] == ["bad_json", "bad_field", "bad_field", "bad_json"]
    assert not any(error["final"] for error in errors)
    assert [header.flags for header in (c.header for c in kitchen.chunks("a"))] == [1, 0, 2]


def test_answers_go_where_the_request_says(broker: Mosquitto, device: MakeDevice) -> None:
    kitchen = device(broker.port, "answers/kitchen/#")

    async def main() -> None:
        async with bridge(broker.port, prefix="answers"):
            kitchen.say(
                "answers/kitchen/say",
                {"id": "a", "text": "Yes"},
                response_topic="answers/kitchen/inbox/7",
                correlation=b"\0c",
            )
            await asyncio.to_thread(kitchen.wait, lambda got: got and b'"done"' in got[-1].payload)
            for topic in ("answers/hall/inbox", "answers/kitchen/say", "x", "answers/kitchen/+"):
                kitchen.say(
                    "answers/kitchen/say",
                    {"id": f"b{len(topic)}", "text": "No"},
                    response_topic=topic,
                    correlation=b"d",
                )
                error = await asyncio.to_thread(kitchen.event, f"b{len(topic)}", "error")
                assert (error["code"], error["final"]) == ("bad_field", True)
                assert "response_topic" in error["message"]

    asyncio.run(main())
    answers = [got for got in kitchen.got if got.topic == "answers/kitchen/inbox/7"]
    assert [one.json["type"] for one in answers][-1] == "done"
    assert {one.correlation for one in answers} == {b"\0c"}
    assert kitchen.chunks("a")
    assert not kitchen.events("a")


BAD = [
    (b"\xff\xfe", "bad_json", None),
    (b"not json", "bad_json", None),
    (b'["a"]', "bad_json", None),
    (b"[" * 100_000, "bad_json", None),
    ({"text": "no id"}, "id", None),
    ({"id": 5, "text": "x"}, "id", None),
    ({"id": "a/b", "text": "x"}, "id", None),
    ({"id": "a+", "text": "x"}, "id", None),
    ({"id": "#", "text": "x"}, "id", None),
    ({"id": "a\0", "text": "x"}, "id", None),
    ({"id": "\ud800", "text": "x"}, "id", None),
    ({"id": "*", "text": "x"}, "id", None),
    ({"id": "x" * 129, "text": "x"}, "id", None),
    ({"id": "e1"}, "text", "bad_field"),
    ({"id": "e2", "text": 5}, "text", "bad_field"),
    ({"id": "e3", "text": "x" * 100_000}, "100000 characters", "text_too_long"),
    ({"id": "e4", "text": "x", "priority": 10}, "priority", "bad_field"),
    ({"id": "e5", "text": "x", "voice": "nobody"}, "nobody", "unknown_voice"),
    ({"id": "e6", "text": "x", "speed": 9}, "speed", "bad_field"),
    ({"id": "e7", "text": "x", "audio": {"encoding": "mp3"}}, "encoding", "bad_field"),
    ({"id": "e8", "text": "x", "audio": {"frame_ms": 100}}, "frame_ms", "bad_field"),
    ({"id": "e9", "text": "x", "audio": {"sample_rate": 11}}, "sample_rate", "bad_field"),
    (
        {"id": "e10", "text": "x", "audio": {"sample_rate": 48000, "frame_ms": 60}},
        "5776 bytes",
        "bad_field",
    ),
    ({"id": "e11", "text": "x", "audio": "loud"}, "audio", "bad_field"),
]


def test_bad_requests_get_a_clear_line_and_others_go_on(
    broker: Mosquitto, device: MakeDevice, caplog: pytest.LogCaptureFixture
) -> None:
    kitchen = device(broker.port, "bad/kitchen/#")
    hall = device(broker.port, "bad/hall/#")

    async def main() -> None:
        async with bridge(broker.port, prefix="bad") as running:
            hall.say("bad/hall/say", {"id": "h", "text": "one two " * 10})
            for payload, said, code in BAD:
                caplog.clear()
                kitchen.say("bad/kitchen/say", payload)
                if code is None:
                    await until(lambda said=said: said in caplog.text)
                    continue
                id_ = payload["id"]  # type: ignore[index, call-overload]
                error = await asyncio.to_thread(kitchen.event, id_, "error")
                assert (error["code"], error["final"]) == (code, True), payload
                assert said in error["message"]
                assert f"code={code}" in caplog.text
            for topic in ("bad/kitchen/cancel", "bad/kitchen/playback"):
                for junk in (b"", b"[]", {"id": 7}, {"id": "a", "played_samples": -1}, {"x": 1}):
                    kitchen.say(topic, junk)
            kitchen.say("bad/status/say", {"id": "s", "text": "x"})
            kitchen.say("bad/kitchen/say", {"id": "last", "text": "fine"})
            await asyncio.to_thread(kitchen.event, "last", "done")
            await asyncio.to_thread(hall.event, "h", "done")
            await until(lambda: running.sites.idle)

    asyncio.run(main())
    assert set(hall.events("h")) == {"accepted", "started", "words", "done"}
    assert len(hall.chunks("h")) == 21


def test_a_retained_request_is_not_spoken_at_every_reconnect(
    broker: Mosquitto, device: MakeDevice, caplog: pytest.LogCaptureFixture
) -> None:
    kitchen = device(broker.port, "retained/kitchen/#")
    kitchen.say("retained/kitchen/say", {"id": "old", "text": "Boo"}, retain=True)

    async def main() -> None:
        async with bridge(broker.port, prefix="retained"):
            await until(lambda: "a retained request is ignored" in caplog.text)
            kitchen.say("retained/kitchen/say", {"id": "new", "text": "Hello"})
            await asyncio.to_thread(kitchen.event, "new", "done")

    asyncio.run(main())
    assert kitchen.events("old") == []


def test_a_retained_piece_of_text_is_not_spoken_at_every_reconnect(
    broker: Mosquitto, device: MakeDevice, caplog: pytest.LogCaptureFixture
) -> None:
    kitchen = device(broker.port, "stale/kitchen/#")
    kitchen.say("stale/kitchen/text/a", {"delta": "Boo "}, retain=True)

    async def main() -> None:
        async with bridge(broker.port, prefix="stale"):
            kitchen.say("stale/kitchen/say", {"id": "a", "stream": True})
            await until(lambda: "a retained message is ignored" in caplog.text)
            kitchen.say("stale/kitchen/text/a", {"delta": "Hello", "end": True}, retain=True)
            done = await asyncio.to_thread(kitchen.event, "a", "done")
            assert done["chars"] == 5

    asyncio.run(main())


def test_a_request_without_a_slot_waits_with_the_broker(
    broker: Mosquitto, device: MakeDevice
) -> None:
    house = device(broker.port, "slots/#")
    service = FakeService(capacity=1)

    async def main() -> None:
        backend = LocalBackend(FakeDoor(service), 20_000)
        async with bridge(broker.port, backend, prefix="slots") as running:
            house.say("slots/kitchen/say", {"id": "a", "stream": True})
            await asyncio.to_thread(house.event, "a", "accepted")
            house.say("slots/hall/say", {"id": "b", "text": "Me too"})
            await until(lambda: running.sites.waiting == 1)
            assert house.events("b") == []
            house.say("slots/kitchen/text/a", {"delta": "done", "end": True})
            await asyncio.to_thread(house.event, "b", "done")
            assert running.sites.waiting == 0

    asyncio.run(main())
    assert house.events("b").count("accepted") == 1


def test_cancel_stops_one_site_and_tells_what_was_heard(
    broker: Mosquitto, device: MakeDevice
) -> None:
    house = device(broker.port, "stop/#")

    async def main() -> None:
        async with bridge(broker.port, prefix="stop"):
            for site in ("kitchen", "hall"):
                house.say(f"stop/{site}/say", {"id": site, "text": "abcdefgh " * 15})
            await asyncio.to_thread(house.wait, lambda got: len(house.chunks("kitchen")) > 3)
            house.say("stop/kitchen/playback", {"id": "kitchen", "played_samples": 1300}, qos=0)
            house.say("stop/kitchen/cancel", {"id": "kitchen", "played_samples": 1300})
            cancelled = await asyncio.to_thread(house.event, "kitchen", "cancelled")
            sent = sum(len(chunk.sound) // 2 for chunk in house.chunks("kitchen"))
            assert cancelled["reason"] == "cancel"
            assert cancelled["sent_samples"] == sent
            last = house.chunks("kitchen")[-1].header
            assert last.flags & (FLAG_LAST | FLAG_FADED) == FLAG_LAST | FLAG_FADED
            await asyncio.to_thread(house.event, "hall", "done")

    asyncio.run(main())


def test_the_state_is_retained_and_says_good_bye(broker: Mosquitto, device: MakeDevice) -> None:
    watcher = device(broker.port, "state/status/+")

    async def main() -> None:
        async with bridge(broker.port, prefix="state"):
            await asyncio.to_thread(watcher.wait, lambda got: got)

    asyncio.run(main())
    watcher.wait(lambda got: got[-1].json["state"] == "offline")
    states = [got.json for got in watcher.got]
    assert states[0] == {"state": "online", "voices": ["fake", "other"], "slots": 100}
    assert [state["state"] for state in states] == ["online", "draining", "offline"]
    late = device(broker.port, "state/status/+")
    assert late.wait(lambda got: got)[0].retained


def test_what_was_heard_is_told_to_the_word(broker: Mosquitto, device: MakeDevice) -> None:
    kitchen = device(broker.port, "exact/kitchen/#")
    service, voices = load()
    text = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi"

    async def main() -> None:
        backend = LocalBackend(FakeDoor(service, voices), 20_000)
        async with bridge(broker.port, backend, prefix="exact"):
            kitchen.say("exact/kitchen/say", {"id": "a", "text": text})
            await asyncio.to_thread(kitchen.wait, lambda got: len(ends(got)) >= 3)
            third = sorted(ends(kitchen.got).values())[2]
            await asyncio.to_thread(
                kitchen.wait, lambda got: len(kitchen.chunks("a")) * 640 > third
            )
            kitchen.say("exact/kitchen/cancel", {"id": "a", "played_samples": third})
            cancelled = await asyncio.to_thread(kitchen.event, "a", "cancelled")
            assert cancelled["sent_samples"] >= third
            assert cancelled["spoken"] == {"chars": 16, "words": 3, "text": "alpha beta gamma"}
            kitchen.say("exact/kitchen/say", {"id": "b", "text": text})
            await asyncio.to_thread(kitchen.event, "b", "started")
            kitchen.say("exact/kitchen/cancel", {"id": "b", "played_samples": 0})
            cancelled = await asyncio.to_thread(kitchen.event, "b", "cancelled")
            assert cancelled["spoken"] == {"chars": 0, "words": 0, "text": ""}

    def ends(got: list[Got]) -> dict[int, int]:
        words = [one.json for one in got if b'"words"' in one.payload]
        items = [item for word in words for item in word["items"]]
        return {item["index"]: item["end"] for item in items if "end" in item}

    try:
        asyncio.run(main())
    finally:
        service.close()
