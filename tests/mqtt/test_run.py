"""Passwords, certificates, names, and the command."""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.bridges import until
from support.fake_door import FakeDoor
from support.fake_service import VOICES, FakeService
from support.live_server import live_server
from support.mosquitto import MOSQUITTO, Device, Mosquitto

from streamtts import cli
from streamtts.config import Config, MqttConfig, parse
from streamtts.errors import ConfigError
from streamtts.mqtt.run import PASSWORD, local_bridge, make_broker, server_id

MakeDevice = Callable[..., Device]


def test_the_password_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from-file\n")
    both = MqttConfig(host="h", username="u", password_file=str(file))
    assert make_broker(both, {PASSWORD: "from-environment"}).password == "from-file"
    plain = MqttConfig(host="h", username="u")
    assert make_broker(plain, {PASSWORD: "from-environment"}).password == "from-environment"
    assert make_broker(plain, {}).password == ""
    with pytest.raises(ConfigError, match=r"mqtt\.password_file: .*No such file"):
        make_broker(MqttConfig(host="h", password_file=str(tmp_path / "none")), {})


def test_a_password_without_a_name_is_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    assert make_broker(MqttConfig(host="h"), {PASSWORD: "hush-hush"}).password == ""
    assert "username" in caplog.text
    assert "hush-hush" not in caplog.text


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mqtt\.ca_file"):
        make_broker(MqttConfig(host="h", tls=True, ca_file=str(tmp_path / "none")), {})
    with pytest.raises(ConfigError, match=r"mqtt\.tls = true"):
        make_broker(MqttConfig(host="h", ca_file="x"), {})


def test_names() -> None:
    assert server_id(MqttConfig(server_id="attic")) == "attic"
    assert server_id(MqttConfig(server_id="attic"), "2") == "attic-2"
    assert server_id(MqttConfig())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[mqtt]\nprefix = "a/+"', "mqtt.prefix"),
        ('[mqtt]\nprefix = ""', "mqtt.prefix"),
        ('[mqtt]\nprefix = "a/"', "mqtt.prefix"),
        ('[mqtt]\nserver_id = "a/b"', "mqtt.server_id"),
        ('[mqtt]\nversion = "4"', "allowed: 5, 3.1.1"),
        ('[mqtt]\nfleet = true\nversion = "3.1.1"', "mqtt.version 5"),
        ("[mqtt]\npassword = 'x'", "did you mean `password_file`"),
    ],
)
def test_a_wrong_configuration_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text)


@pytest.mark.parametrize("prefix", ["a", "a/b", "home one"])
def test_prefixes(prefix: str) -> None:
    assert parse(f'[mqtt]\nprefix = "{prefix}"').mqtt.prefix == prefix


def test_no_broker_no_bridge() -> None:
    assert local_bridge(Config(), FakeDoor()) is None


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    key_file.chmod(0o644)
    return cert_file, key_file


# paho leaves the socket of a handshake that failed to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_tls_and_a_certificate_that_is_not_trusted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    cert, key = certificate(tmp_path)
    broker = Mosquitto(tmp_path / "b", listener=f"certfile {cert}\nkeyfile {key}")
    broker.start()
    trusting = MqttConfig(host="localhost", port=broker.port, tls=True, ca_file=str(cert))
    wary = MqttConfig(host="localhost", port=broker.port, tls=True)

    async def main() -> None:
        caplog.set_level(logging.INFO)
        doubt = local_bridge(Config(mqtt=wary), FakeDoor(), suffix="w")
        assert doubt is not None
        await doubt.start()
        await until(lambda: "CERTIFICATE_VERIFY_FAILED" in caplog.text)
        assert not doubt.connected
        await doubt.close()
        trust = local_bridge(Config(mqtt=trusting), FakeDoor())
        assert trust is not None
        await trust.start()
        await until(lambda: trust.connected)
        await trust.close()

    try:
        asyncio.run(main())
    finally:
        broker.stop()


def test_the_command_speaks_drains_and_ends(
    broker: Mosquitto, device: MakeDevice, tmp_path: Path
) -> None:
    house = device(broker.port, "command/#")
    config = tmp_path / "bridge.toml"
    config.write_text('[mqtt]\nprefix = "command"\nserver_id = "far"\n')
    with live_server(lambda: (FakeService(), VOICES)) as server:
        command = [sys.executable, "-m", "streamtts", "bridge", str(config)]
        command += ["--server", server.ws, "--broker", "127.0.0.1"]
        command += ["--broker-port", str(broker.port)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
        try:
            house.wait(lambda got: any(b'"fake"' in one.payload for one in got))
            house.say("command/kitchen/say", {"id": "a", "text": "word " * 20})
            house.event("a", "started")
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, log
    assert house.events("a")[-1] == "done"
    assert house.wait(lambda got: got[-1].json["state"] == "offline")
    assert "word" not in log  # what people have said is nobody's business


def test_the_command_wants_a_broker(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bridge"]) == 1
    assert "mqtt.host: name the broker" in capsys.readouterr().err


def test_the_bridge_loads_no_torch() -> None:
    code = "import sys, streamtts.mqtt.run, streamtts.client; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
