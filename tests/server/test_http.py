"""The HTTP side of the port."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import httpx
import pytest
from support.fake_service import VOICES, FakeService
from support.live_server import LiveServer

KEY = "a-key-of-ours"
SECURED = f'[auth]\nkeys = ["{KEY}"]'


def get(server: LiveServer, path: str, **headers: str) -> httpx.Response:
    with httpx.Client(trust_env=False) as http:
        return http.get(server.http + path, headers=headers)


def test_the_root_says_what_this_is(server: LiveServer) -> None:
    answer = get(server, "/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "streamtts" in answer.text
    assert "/v1/stream" in answer.text


def test_health_and_readiness(server: LiveServer) -> None:
    assert get(server, "/healthz").status_code == 200
    assert get(server, "/readyz").text == "ready\n"


def test_voices(server: LiveServer) -> None:
    answer = get(server, "/v1/voices").json()
    assert answer["default"] == "fake"
    first = answer["voices"][0]
    assert first["voice_id"] == first["id"] == "fake"
    assert first["sample_rate"] == 16000


def test_capabilities(server: LiveServer) -> None:
    answer = get(server, "/v1/capabilities").json()
    assert answer["limits"]["contexts"] == 32
    assert answer["audio"]["encoding"] == "pcm_s16le"
    assert answer["capabilities"]["text_formats"] == ["plain", "markdown"]
    assert "pcm_s16le" in answer["capabilities"]["encodings"]


def test_unknown_paths_and_methods(server: LiveServer) -> None:
    assert get(server, "/v2").status_code == 404
    with httpx.Client(trust_env=False) as http:
        assert http.post(server.http + "/healthz").status_code == 405


def test_keys_guard_all_but_health(serve: Callable[..., LiveServer]) -> None:
    server = serve(SECURED)
    for path in ("/", "/healthz", "/readyz"):
        assert get(server, path).status_code == 200
    for path in ("/metrics", "/v1/voices", "/v1/capabilities"):
        refused = get(server, path)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert get(server, path, authorization="Bearer wrong-key").status_code == 401
        assert get(server, path + f"?key={KEY}").status_code == 401
        assert get(server, path, authorization=f"Bearer {KEY}").status_code == 200
        assert get(server, path, authorization=f"Token {KEY}").status_code == 200
        assert get(server, path, **{"xi-api-key": KEY}).status_code == 200


def test_a_key_in_the_address_when_switched_on(serve: Callable[..., LiveServer]) -> None:
    server = serve(SECURED + "\nquery_key = true")
    assert get(server, f"/v1/voices?key={KEY}").status_code == 200
    assert get(server, "/v1/voices?key=wrong-key").status_code == 401


def test_not_ready_before_the_voice_has_spoken() -> None:
    loaded = threading.Event()

    def load() -> object:
        assert loaded.wait(20)
        return FakeService(), VOICES

    server = LiveServer(load)
    server.start(wait=False)
    try:
        assert get(server, "/healthz").status_code == 200
        answer = get(server, "/readyz")
        assert (answer.status_code, answer.text) == (503, "loading\n")
        assert get(server, "/v1/voices").json()["voices"] == []
        assert get(server, "/v1/capabilities").json()["audio"] is None
        loaded.set()
        assert server.gateway.serving.wait(20)
        assert get(server, "/readyz").status_code == 200
    finally:
        loaded.set()
        server.stop()


@pytest.mark.parametrize("start", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_headers_must_come_in_time(serve: Callable[..., LiveServer], start: bytes) -> None:
    server = serve("[server]\nheader_timeout_s = 0.3")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        began = time.monotonic()
        raw.sendall(start)
        answer = raw.recv(4096)
        assert answer.startswith(b"HTTP/1.1 400")
        assert time.monotonic() - began > 0.2
        while raw.recv(4096):
            pass


def test_whole_headers_stop_the_clock(serve: Callable[..., LiveServer]) -> None:
    server = serve("[server]\nheader_timeout_s = 0.3")
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        raw.sendall(request)
        assert raw.recv(4096).startswith(b"HTTP/1.1 200")
        raw.sendall(request[:10])  # the next request of a kept connection has a clock again
        rest = b""
        while piece := raw.recv(4096):
            rest += piece
        assert b"400" in rest
