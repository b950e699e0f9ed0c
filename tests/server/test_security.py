"""Who may connect, from the functions up to real handshakes."""

from __future__ import annotations

import asyncio
import datetime
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.live_server import LiveServer, WatchedGateway, client
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamtts import config
from streamtts.errors import ConfigError
from streamtts.server.lifecycle import make_server
from streamtts.server.security import (
    Keys,
    choose_subprotocol,
    load_keys,
    origin_allowed,
    shown_keys,
)

KEY = "a-key-of-ours"
SECURED = f'[auth]\nkeys = ["another-key", "{KEY}"]'


@pytest.mark.parametrize(
    ("origin", "host", "listen", "allowed", "expected"),
    [
        (None, "127.0.0.1:8765", "127.0.0.1", (), True),
        ("http://127.0.0.1:8765", "127.0.0.1:8765", "127.0.0.1", (), True),
        ("http://localhost:8765", "localhost:8765", "127.0.0.1", (), True),
        ("http://[::1]:8765", "[::1]:8765", "::1", (), True),
        ("http://evil.example", "127.0.0.1:8765", "127.0.0.1", (), False),
        ("http://127.0.0.1:9999", "127.0.0.1:8765", "127.0.0.1", (), False),
        ("null", "127.0.0.1:8765", "127.0.0.1", (), False),
        ("", "127.0.0.1:8765", "127.0.0.1", (), False),
        ("http://[bad", "127.0.0.1:8765", "127.0.0.1", (), False),
        # A name that a hostile name server has given our address.
        ("http://evil.example:8765", "evil.example:8765", "127.0.0.1", (), False),
        ("http://tts.lan:8765", "tts.lan:8765", "0.0.0.0", (), True),
        ("http://tts.lan", "tts.lan:80", "0.0.0.0", (), True),
        ("https://app.example", "tts.lan:8765", "0.0.0.0", ("https://app.example",), True),
        ("https://app.example.evil", "tts.lan", "0.0.0.0", ("https://app.example",), False),
        ("https://whoever.example", "tts.lan:8765", "0.0.0.0", ("*",), True),
    ],
)
def test_origins(
    origin: str | None, host: str, listen: str, allowed: tuple[str, ...], expected: bool
) -> None:
    got = origin_allowed(origin, host=host, secure=False, listen=listen, allowed=allowed)
    assert got is expected


@pytest.mark.parametrize(
    ("headers", "subprotocols", "expected"),
    [
        ({}, [], []),
        ({"authorization": f"Bearer {KEY}"}, [], [KEY]),
        ({"authorization": f"token {KEY}"}, [], [KEY]),
        ({"authorization": f"Basic {KEY}"}, [], []),
        ({"xi-api-key": KEY}, [], [KEY]),
        ({}, ["streamtts.v1", f"bearer.{KEY}"], [KEY]),
        ({}, ["token", KEY], [KEY]),
        ({}, ["token"], []),
    ],
)
def test_shown_keys(headers: dict[str, str], subprotocols: list[str], expected: list[str]) -> None:
    assert shown_keys(headers, subprotocols) == expected


def test_keys() -> None:
    keys = Keys([KEY, "another-key"])
    assert keys.accept([KEY])
    assert keys.accept(["wrong", "another-key"])
    assert not keys.accept([])
    assert not keys.accept([KEY + "x", KEY[:-1], "", "\udcff"])
    assert Keys([]).accept([])
    assert KEY not in repr(vars(keys))


def test_subprotocol_answers() -> None:
    assert choose_subprotocol(["bearer.x", "streamtts.v1"]) == "streamtts.v1"
    assert choose_subprotocol(["token", "x"]) == "token"
    assert choose_subprotocol(["bearer.x"]) == "bearer.x"
    assert choose_subprotocol(["graphql"]) is None
    assert choose_subprotocol([]) is None


def test_keys_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# ours\n\n  first-key-1 \nsecond-key-2\n")
    parsed = config.parse(f'[auth]\nkeys = ["own-key-123"]\nkeys_file = "{path}"')
    assert load_keys(parsed) == ("own-key-123", "first-key-1", "second-key-2")
    path.write_text("# nothing\n")
    with pytest.raises(ConfigError, match="there is no key in"):
        load_keys(parsed)
    path.unlink()
    with pytest.raises(ConfigError, match=r"auth\.keys_file"):
        load_keys(parsed)


WAYS = [
    {"additional_headers": {"Authorization": f"Bearer {KEY}"}},
    {"additional_headers": {"Authorization": f"Token {KEY}"}},
    {"additional_headers": {"xi-api-key": KEY}},
    {"subprotocols": ["streamtts.v1", f"bearer.{KEY}"]},
    {"subprotocols": ["token", KEY]},
]


def test_handshakes_with_and_without_keys(
    serve: Callable[..., LiveServer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(SECURED)

    async def good(options: dict[str, object]) -> None:
        async with client(server, **options) as c:
            await c.until("ready")

    async def bad(options: dict[str, object]) -> None:
        async with client(server, **options) as c:
            error = await c.until("error")
            assert error["code"] == "auth"
            with pytest.raises(ConnectionClosed) as closed:
                await c.until("nothing")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008

    for options in WAYS:
        asyncio.run(good(options))
    asyncio.run(bad({}))
    asyncio.run(bad({"additional_headers": {"Authorization": "Bearer wrong-key"}}))
    records = [r for r in caplog.records if not r.name.startswith("websockets")]  # the client's own
    assert not any(KEY in record.getMessage() for record in records)


def test_a_foreign_web_page_is_refused(server: LiveServer) -> None:
    async def main() -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with client(server, origin="http://evil.example"):
                pass
        assert refused.value.response.status_code == 403
        async with client(server, origin=server.http) as c:
            await c.until("ready")

    asyncio.run(main())


def test_connections_are_limited(serve: Callable[..., LiveServer]) -> None:
    server = serve("[server]\nconnections = 1")

    async def main() -> None:
        async with client(server) as c:
            await c.until("ready")
            async with client(server) as crowded:
                error = await crowded.receive()
                assert isinstance(error, dict)
                assert (error["type"], error["code"]) == ("error", "capacity")
                assert error["retry_after_ms"] > 0
                with pytest.raises(ConnectionClosed) as closed:
                    await crowded.receive()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1013
            await c.say("a", "one")
        await asyncio.to_thread(server.gateway.emptied.wait, 10)
        async with client(server) as c:
            await c.until("ready")

    asyncio.run(main())


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


def test_tls(serve: Callable[..., LiveServer], certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    server = serve(f'[tls]\ncert = "{cert}"\nkey = "{key}"')
    trust = ssl.create_default_context(cafile=cert)

    async def main() -> None:
        options = {"ssl": trust, "server_hostname": "localhost", "origin": server.http}
        async with client(server, **options) as c:
            await c.send("text", context_id="a", text="one")
            await c.send("end", context_id="a")
            await c.until("done")

    asyncio.run(main())


def test_a_broken_certificate_is_named(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    key.write_text("nonsense")
    parsed = config.parse(f'[tls]\ncert = "{cert}"\nkey = "{key}"')
    gateway = WatchedGateway(parsed, Keys([]))
    with pytest.raises(ConfigError, match=r"tls\.cert, tls\.key"):
        make_server(gateway)
