"""clients/speaker.py with a real broker, a bridge and the real service with a tiny voice."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import mqtt.conftest as brokers
import numpy as np
import pytest
import soundfile
from support import real_service
from support.bridges import bridge, until
from support.certificate import write_certificate
from support.client_modules import CLIENTS, client_module
from support.fake_door import FakeDoor
from support.mosquitto import GUARD_S, MOSQUITTO, Mosquitto, free_port

from streamtts.errors import StreamTTSError
from streamtts.mqtt.backend import LocalBackend
from streamtts.protocol.frames import HEADER_BYTES

speaker = client_module("speaker")
talk = client_module("speaker_talk")
broker, own_broker, device = brokers.broker, brokers.own_broker, brokers.device
TEXT = "one two three four five six seven eight nine"
LONG = f"{TEXT} " * 3


@pytest.fixture(scope="module")
def voice():
    """A backend over the real service."""
    service, voices = real_service.load()
    yield LocalBackend(FakeDoor(service, voices), 20_000)
    service.close()


def options(port, site, *words):
    given = ["--port", str(port), "--prefix", "p", "--site", site, "--buffer-ms", "1000", *words]
    return speaker.parser().parse_args(given)


def run(main):
    async def guarded():
        async with asyncio.timeout(GUARD_S):
            return await main()

    return asyncio.run(guarded())


def sound(chunks):
    """Float samples of what a device was sent."""
    return np.frombuffer(b"".join(c.payload[HEADER_BYTES:] for c in chunks), "<i2") / 32768


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_text_is_heard_whole_and_never_overfills_the_buffer(
    broker, device, voice, tmp_path, capsys, version
):
    house = device(broker.port, "p/#")
    path = tmp_path / "said.wav"

    async def main():
        async with bridge(broker.port, voice, prefix="p", version=version) as running:
            words = ("--say", TEXT, "-o", str(path), "--json", "--mqtt", version)
            assert await speaker.run(options(broker.port, "whole", *words)) == 0
            return running.sites.largest_s

    assert run(main) <= 0.8
    heard, rate = soundfile.read(path)
    (report,) = map(json.loads, capsys.readouterr().out.splitlines())
    sent = sound(house.chunks(report["id"]))
    assert rate == 16000
    assert len(heard) > 1.5 * rate
    assert np.array_equal(heard, sent)
    assert report["seconds"] == round(len(heard) / rate, 3)
    assert (report["end"], report["lost_ms"], report["dropped_ms"]) == ("done", 0, 0)
    assert 300 < report["peak_ms"] <= report["buffer_ms"] == 1000
    told = [g.json for g in house.got if g.topic == "p/whole/playback"]
    assert all(one["buffer_ms"] == 800 for one in told)
    played = [one["played_samples"] for one in told if "id" in one]
    assert len(played) > 4
    assert played == sorted(played)
    assert os.listdir(tmp_path) == ["said.wav"]


def test_a_cancel_prints_exactly_what_was_heard(broker, device, voice, tmp_path, capsys):
    house = device(broker.port, "p/#")
    path = tmp_path / "cut.wav"

    async def main():
        async with bridge(broker.port, voice, prefix="p"):
            words = ("--say", LONG, "-o", str(path), "--cancel-after", "0.6")
            assert await speaker.run(options(broker.port, "cut", *words)) == 0

    run(main)
    heard, _ = soundfile.read(path)
    (cancel,) = [g.json for g in house.got if g.topic == "p/cut/cancel"]
    id_ = cancel["id"]
    assert len(heard) == cancel["played_samples"] >= 0.6 * 16000
    assert np.array_equal(heard[:-80], sound(house.chunks(id_))[: len(heard) - 80])
    items = [g.json["items"] for g in house.got
             if g.topic == f"p/cut/event/{id_}" and g.json["type"] == "words"]  # fmt: skip
    words = {item["index"]: item for batch in items for item in batch}
    ends = [w["char_end"] for w in words.values() if w.get("end", 1 << 60) <= len(heard)]
    printed = capsys.readouterr().out.removesuffix("\n")
    assert printed == LONG[: max(ends)]
    assert printed == house.event(id_, "cancelled")["spoken"]["text"]
    assert TEXT.startswith(printed)


def test_text_from_standard_input_is_spoken_as_it_comes(broker, device, voice, monkeypatch, capsys):
    monkeypatch.setattr(talk, "UNSPOKEN_CHARS", 8)
    reading, writing = os.pipe()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(fileno=lambda: reading))
    house = device(broker.port, "p/pipe/#")

    async def main():
        async with bridge(broker.port, voice, prefix="p"):
            words = ("--stream", "--json", "--speed", "2", "--priority", "3")
            task = asyncio.create_task(speaker.run(options(broker.port, "pipe", *words)))
            os.write(writing, b"One two three ")
            await asyncio.to_thread(house.wait, lambda got: any("/audio/" in g.topic for g in got))
            os.write(writing, b"four. ")
            await asyncio.to_thread(house.wait, lambda got: any(b"four" in g.payload for g in got))
            os.write(writing, b"Five.")
            os.close(writing)
            assert await task == 0

    run(main)
    os.close(reading)
    report = json.loads(capsys.readouterr().out)
    (say,) = [g.json for g in house.got if g.topic == "p/pipe/say"]
    assert say == {"id": report["id"], "stream": True, "speed": 2.0, "priority": 3}
    texts = [g.json for g in house.got if "/text/" in g.topic]
    assert texts == [
        {"delta": "One two three "}, {"delta": "four. "}, {"delta": "Five."}, {"end": True},
    ]  # fmt: skip
    assert house.event(report["id"], "done")["chars"] == 25


def test_control_c_leaves_a_whole_file_and_says_what_was_heard(broker, device, voice, tmp_path):
    house = device(broker.port, "p/#")
    path = tmp_path / "left.wav"

    def far_enough(got):
        return any(g.topic == "p/left/playback" and g.json.get("played_samples", 0) > 6000
                   for g in got)  # fmt: skip

    def interrupt():
        command = [sys.executable, str(CLIENTS / "speaker.py"), "--port", str(broker.port)]
        command += ["--prefix", "p", "--site", "left", "--say", LONG, "-o", str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            house.wait(far_enough)
            process.send_signal(signal.SIGINT)
            printed, _ = process.communicate(timeout=GUARD_S)
        finally:
            process.kill()
            process.wait()
        return process.returncode, printed

    async def main():
        async with bridge(broker.port, voice, prefix="p"):
            return await asyncio.to_thread(interrupt)

    code, printed = run(main)
    assert code == 130
    heard, _ = soundfile.read(path)
    (cancel,) = [g.json for g in house.got if g.topic == "p/left/cancel"]
    assert len(heard) == cancel["played_samples"] > 6000
    assert printed.strip()
    assert TEXT.startswith(printed.strip())
    assert os.listdir(tmp_path) == ["left.wav"]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_it_comes_back_with_the_broker(own_broker, device, voice, version, capsys):
    async def main():
        async with bridge(own_broker.port, voice, prefix="p") as running:
            words = ("--count", "2", "--json", "--mqtt", version)
            task = asyncio.create_task(speaker.run(options(own_broker.port, "back", *words)))
            house = device(own_broker.port, "p/#")
            await asyncio.to_thread(house.wait, lambda got: any("playback" in g.topic for g in got))
            house.say("p/back/say", {"id": "a", "text": "one"})
            await asyncio.to_thread(house.event, "a", "done")
            own_broker.stop()
            await until(lambda: not running.connected)
            own_broker.start()
            await until(lambda: "the broker is back" in capsys.readouterr().err)
            await until(lambda: running.connected)
            house.say("p/back/say", {"id": "b", "text": "two"})
            assert await task == 0

    run(main)


def test_what_it_says_itself_goes_on_when_the_broker_is_back(own_broker, device, voice, capsys):
    async def main():
        async with bridge(own_broker.port, voice, prefix="p") as running:
            words = ("--say", TEXT, "--json")
            task = asyncio.create_task(speaker.run(options(own_broker.port, "torn", *words)))
            house = device(own_broker.port, "p/torn/#")
            await asyncio.to_thread(
                house.wait, lambda got: any(b"played" in g.payload for g in got)
            )
            own_broker.stop()
            await until(lambda: not running.connected)
            own_broker.start()
            assert await task == 0

    run(main)
    said = capsys.readouterr()
    assert "trying again" in said.err
    assert "the broker is back" in said.err
    assert json.loads(said.out)["end"] == "done"


def test_a_listener_that_is_not_allowed_is_told():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"\x20\x02\x00\x00")  # connected
                number = peer.recv(1000)[2:4]
                peer.sendall(b"\x90\x05" + number + b"\x80\x01\x01")  # the first one: no
                while peer.recv(1000):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        with pytest.raises(StreamTTSError, match="does not let us listen to p/kitchen/audio"):
            run(lambda: speaker.run(options(port, "kitchen", "--mqtt", "3.1.1", "--say", "x")))
        thread.join()


def test_tls(tmp_path, capsys, monkeypatch):
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    monkeypatch.setattr(talk, "NOBODY_S", 0.05)
    cert, key = write_certificate(tmp_path)
    key.chmod(0o644)
    lines = f"certfile {cert}\nkeyfile {key}"
    safe = Mosquitto(tmp_path / "b", listener=lines)
    safe.start()
    given = ["--host", "localhost", "--port", str(safe.port), "--say", "x", "--tls"]
    try:
        command = [sys.executable, str(CLIENTS / "speaker.py"), *given]  # paho leaks its socket
        doubts = subprocess.run(command, capture_output=True, text=True, timeout=GUARD_S)
        assert doubts.returncode == 1
        assert "certificate verify failed" in doubts.stderr
        assert doubts.stderr.count("\n") == 1
        assert speaker.main([*given, "--ca-file", str(cert)]) == 1
        assert "no streamtts server is online" in capsys.readouterr().err  # it is connected
    finally:
        safe.stop()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\xff\xff\xff"])
def test_something_else_on_the_port(answer, capsys, monkeypatch):
    monkeypatch.setattr(speaker, "CONNECT_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert speaker.main(["--port", str(listener.getsockname()[1]), "--say", "x"]) == 1
        thread.join()
    line = capsys.readouterr().err
    assert line.startswith("speaker.py: no broker at ")
    assert line.count("\n") == 1


def test_a_refusal_is_told(broker, voice):
    async def main():
        async with bridge(broker.port, voice, prefix="p"):
            words = ("--say", "x", "--voice", "nobody")
            with pytest.raises(StreamTTSError, match=r"refused: unknown_voice: .*nobody"):
                await speaker.run(options(broker.port, "refused", *words))

    run(main)


def test_without_a_server_it_says_so(broker, device, monkeypatch):
    monkeypatch.setattr(talk, "NOBODY_S", 0.1)
    with pytest.raises(StreamTTSError, match="no streamtts server is online on this broker"):
        run(lambda: speaker.run(options(broker.port, "nobody", "--say", "x")))


def test_a_broker_that_is_away(capsys):
    assert speaker.main(["--port", str(free_port()), "--say", "x"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("speaker.py: no broker at 127.0.0.1:")
    assert "refused" in said


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_wrong_password(tmp_path, capsys, monkeypatch, version):
    program = shutil.which("mosquitto_passwd")
    if MOSQUITTO is None or program is None:
        pytest.skip("mosquitto is not installed")
    passwords = tmp_path / "passwords"
    subprocess.run([program, "-c", "-b", str(passwords), "me", "right"], check=True)
    passwords.chmod(0o644)
    (tmp_path / "wrong").write_text("wrong\n")
    guarded = Mosquitto(tmp_path / "b", f"allow_anonymous false\npassword_file {passwords}")
    guarded.start()
    monkeypatch.setattr(talk, "NOBODY_S", 0.05)
    given = ["--port", str(guarded.port), "--say", "x", "--mqtt", version]
    try:
        assert speaker.main(given) == 1
        wrong = ["--username", "me", "--password-file", str(tmp_path / "wrong")]
        assert speaker.main([*given, *wrong]) == 1
        refusals = capsys.readouterr().err
        monkeypatch.setenv("STREAMTTS_MQTT_USERNAME", "me")
        monkeypatch.setenv("STREAMTTS_MQTT_PASSWORD", "right")
        assert speaker.main(given) == 1
    finally:
        guarded.stop()
    assert refusals.count("refuses the login") == 2
    assert "--password-file or STREAMTTS_MQTT_PASSWORD" in refusals
    assert "wrong" not in refusals
    assert "no streamtts server is online" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--buffer-ms", "50"], "--buffer-ms: 100 to 10000"),
        (["--play", "-o", "a.wav"], "not both"),
        (["--cancel-after", "1"], "with --say or --stream"),
        (["--ca-file", "x"], "with --tls only"),
        (["--tls", "--ca-file", "/nonexistent"], "--ca-file /nonexistent: "),
        (["--password-file", "/nonexistent"], "--password-file: "),
        (["-o", "a.txt"], "a.txt: the ending"),
        (["--site", "a/b"], "--site 'a/b'"),
        (["--host", ""], "--host: is empty"),
        (["--port", "70000"], "--port: 1 to 65535"),
    ],
)
def test_a_wrong_option_is_one_clear_line(words, said, capsys):
    assert speaker.main(["--port", "1", *words]) == 1
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1


def test_it_plays_on_a_sound_card(broker, voice, monkeypatch, capsys):
    cards = []

    class FakeCard:
        """Takes sound at once."""

        def __init__(self, rate):
            self.rate, self.samples, self.closed = rate, 0, False
            self.queued_s = 0.0
            cards.append(self)

        @property
        def played_samples(self):
            return self.samples

        def write(self, samples):
            self.samples += len(samples)

        def close(self):
            self.closed = True

    monkeypatch.setattr(client_module("speaker_output"), "Player", FakeCard)

    async def main():
        async with bridge(broker.port, voice, prefix="p"):
            words = ("--say", "one two", "--play", "--json")
            assert await speaker.run(options(broker.port, "card", *words)) == 0

    run(main)
    report = json.loads(capsys.readouterr().out)
    (card,) = cards
    assert card.closed
    assert card.samples == pytest.approx(report["seconds"] * card.rate, abs=card.rate / 1000)
