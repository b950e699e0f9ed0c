"""Rhasspy's satellites against a bridge and a real broker."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.bridges import bridge, until
from support.fake_door import FakeDoor
from support.fake_service import CHUNK_SAMPLES, FakeService
from support.mosquitto import Device, Got, Mosquitto

from streamtts.mqtt.backend import LocalBackend

MakeDevice = Callable[..., Device]


def samples(payload: bytes) -> NDArray[np.int16]:
    with wave.open(io.BytesIO(payload)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
        return np.frombuffer(file.readframes(1 << 30), "<i2")


def find(topic: str, **fields: Any) -> Callable[[list[Got]], Got | None]:
    """Looks for a message with some fields."""

    def look(got: list[Got]) -> Got | None:
        same = [one for one in got if one.topic == topic]
        return next((one for one in same if not fields or fields.items() <= one.json.items()), None)

    return look


def test_one_wav_then_finished(broker: Mosquitto, device: MakeDevice) -> None:
    hall = device(broker.port, "hermes/#")
    say = {"text": "One two", "id": "7", "siteId": "hall", "sessionId": "s1", "volume": 0.5}
    played = "hermes/audioServer/hall/playBytes/7"

    async def main() -> None:
        async with bridge(broker.port, prefix="h1", hermes=True) as running:
            hall.say("hermes/tts/say", say)
            got = await asyncio.to_thread(hall.wait, find(played))
            sound = samples(got.payload)
            assert len(sound) == 3 * CHUNK_SAMPLES
            assert set(sound[CHUNK_SAMPLES:]) == {0x0101 // 2, 0x0202 // 2}
            assert not running.sites.idle  # until the speaker says so
            hall.say("hermes/audioServer/hall/playFinished", {"id": "7", "siteId": "hall"})
            finished = await asyncio.to_thread(hall.wait, find("hermes/tts/sayFinished"))
            assert finished.json == {"id": "7", "siteId": "hall", "sessionId": "s1"}
            await until(lambda: running.sites.idle)

    asyncio.run(main())


def test_no_word_from_the_speaker_counts_as_finished(
    broker: Mosquitto, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamtts.mqtt.turn.GRACE_S", 0.1)
    den = device(broker.port, "hermes/#")

    async def main() -> None:
        async with bridge(broker.port, prefix="h2", hermes=True):
            for name in ("x", "y"):
                den.say("hermes/tts/say", {"text": "a b c d e", "id": name, "siteId": "den"})
            await asyncio.to_thread(
                den.wait, find("hermes/tts/sayFinished", id="y", siteId="den", sessionId=None)
            )

    asyncio.run(main())
    first, second = (den.wait(find(f"hermes/audioServer/den/playBytes/{n}")) for n in "xy")
    assert second.at_s - first.at_s > 6 * 0.04  # one after the other


def test_streams_of_small_wavs(broker: Mosquitto, device: MakeDevice) -> None:
    attic = device(broker.port, "hermes/#")
    say = {"text": "word " * 12, "id": "st", "siteId": "attic"}

    async def main() -> None:
        async with bridge(
            broker.port, prefix="h3", hermes=True, hermes_streaming_sites=("attic",)
        ) as running:
            attic.say("hermes/tts/say", say)
            last = "hermes/audioServer/attic/playBytesStreaming/st/12/1"
            await asyncio.to_thread(attic.wait, find(last))
            attic.say("hermes/audioServer/attic/streamFinished", {"id": "st", "siteId": "attic"})
            await asyncio.to_thread(attic.wait, find("hermes/tts/sayFinished", id="st"))
            await until(lambda: running.sites.idle)

    asyncio.run(main())
    chunks = [got for got in attic.got if "/playBytesStreaming/" in got.topic]
    assert [int(got.topic.split("/")[-2]) for got in chunks] == list(range(13))
    assert [got.topic[-1] for got in chunks] == ["0"] * 12 + ["1"]
    assert all(len(samples(got.payload)) == CHUNK_SAMPLES for got in chunks)
    assert chunks[-1].at_s - chunks[0].at_s > 0.15  # 300 of 520 ms at once, the rest in time


def test_voices_and_errors(broker: Mosquitto, device: MakeDevice) -> None:
    shed = device(broker.port, "hermes/#", "rhasspy/#")
    bad: list[object] = [
        b"junk",
        {"siteId": "shed"},
        {"text": "x", "siteId": "a/b"},
        {"text": "x", "volume": "loud"},
        {"text": "", "siteId": "shed", "sessionId": "s"},
        {"text": "y" * 100_000, "siteId": "shed", "sessionId": "t"},
    ]

    async def main() -> None:
        async with bridge(broker.port, prefix="h4", hermes=True) as running:
            shed.say("rhasspy/tts/getVoices", {"id": "1", "siteId": "shed"})
            got = await asyncio.to_thread(shed.wait, find("rhasspy/tts/voices"))
            assert [voice["voiceId"] for voice in got.json["voices"]] == ["fake", "other"]
            for payload in bad:
                shed.say("hermes/tts/say", payload)
            await asyncio.to_thread(shed.wait, find("hermes/error/tts", sessionId="t"))
            shed.say("hermes/audioServer/shed/playFinished", b"junk")
            shed.say("hermes/tts/say", {"text": "Fine", "siteId": "shed", "sessionId": "last"})
            await asyncio.to_thread(shed.wait, find("hermes/tts/sayFinished", sessionId="last"))
            await until(lambda: running.sites.idle)

    asyncio.run(main())
    errors = [got.json for got in shed.got if got.topic == "hermes/error/tts"]
    assert len(errors) == len(bad)
    assert "100000 characters" in errors[-1]["error"]
    assert find("hermes/tts/sayFinished", sessionId="s")(shed.got)


def test_requests_without_an_id_are_spoken_each_time(broker: Mosquitto, device: MakeDevice) -> None:
    barn = device(broker.port, "hermes/#")

    async def main() -> None:
        async with bridge(broker.port, prefix="h5", hermes=True):
            for _ in range(2):
                barn.say("hermes/tts/say", {"text": "Again", "siteId": "barn"})
            await asyncio.to_thread(
                barn.wait, lambda got: sum("/barn/playBytes/" in one.topic for one in got) == 2
            )

    asyncio.run(main())


def test_requests_without_an_id_are_spoken_once_over_a_restart_of_the_broker(
    own_broker: Mosquitto, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamtts.mqtt.keeping.FIRST_BACKOFF_S", 0.2)
    monkeypatch.setattr("streamtts.mqtt.turn.GRACE_S", 0.0)
    service = FakeService()
    same = {"text": "Again", "siteId": "yard"}
    long = {"text": "word " * 400, "siteId": "yard", "id": "long"}

    async def main() -> None:
        backend = LocalBackend(FakeDoor(service), 20_000)
        async with bridge(own_broker.port, backend, prefix="h8", hermes=True) as running:
            yard = device(own_broker.port, "hermes/tts/sayFinished")
            for say in (long, same, same):
                yard.say("hermes/tts/say", say)
            await until(lambda: running.sites.waiting == 2)
            own_broker.stop()
            await until(lambda: not running.connected)
            own_broker.start()
            await until(lambda: running.connected)
            yard.say("h8/yard/cancel", {"id": "long"})
            await until(lambda: running.sites.idle)
        async with bridge(own_broker.port, backend, prefix="h8", hermes=True):  # nothing is owed
            yard.say("hermes/tts/say", {"text": "The end", "siteId": "yard", "id": "end"})
            await until(lambda: len(service.contexts) > 3)

    asyncio.run(main())
    texts = [context.text for context in service.contexts]
    assert texts == [long["text"], "Again", "Again", "The end"]


def test_a_native_cancel_stops_a_hermes_site(broker: Mosquitto, device: MakeDevice) -> None:
    porch = device(broker.port, "hermes/#")

    async def main() -> None:
        async with bridge(broker.port, prefix="h6", hermes=True):
            porch.say("hermes/tts/say", {"text": "word " * 100, "id": "p", "siteId": "porch"})
            await asyncio.to_thread(porch.wait, find("hermes/audioServer/porch/playBytes/p"))
            porch.say("h6/porch/cancel", {"id": "*"})
            await asyncio.to_thread(porch.wait, find("hermes/tts/sayFinished", id="p"), 3.0)

    asyncio.run(main())


@pytest.mark.parametrize("fleet", [False, True])
def test_hermes_is_shared_in_a_fleet(broker: Mosquitto, device: MakeDevice, fleet: bool) -> None:
    roof = device(broker.port, "hermes/#")
    prefix = f"h7{fleet}"

    async def main() -> None:
        async with (
            bridge(broker.port, prefix=prefix, server_id="one", hermes=True, fleet=fleet),
            bridge(broker.port, prefix=prefix, server_id="two", hermes=True, fleet=fleet),
        ):
            roof.say("hermes/tts/say", {"text": "Hi", "id": prefix, "siteId": "roof"})
            wanted = find("hermes/tts/sayFinished", id=prefix)
            await asyncio.to_thread(roof.wait, wanted)

    asyncio.run(main())
    wavs = [got for got in roof.got if got.topic.endswith(f"/playBytes/{prefix}")]
    assert len(wavs) == (1 if fleet else 2)
