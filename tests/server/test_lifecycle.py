"""Starting, draining, stopping."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import httpx
import pytest
from support.fake_service import VOICES, FakeService
from support.live_server import LiveServer, client
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamtts.errors import ConfigError, VoiceError
from streamtts.server import lifecycle


def test_a_port_in_use_is_one_clear_line(server: LiveServer) -> None:
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{server.port} is in use; stop") as error:
        lifecycle.bind("127.0.0.1", server.port)
    assert "\n" not in str(error.value)


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1:0"):
        lifecycle.bind("192.0.2.1", 0)
    with pytest.raises(ConfigError, match=r"server\.host: no such host\. is no address"):
        lifecycle.bind("no such host.", 0)


def closing(server: LiveServer) -> int:
    """The code with which the server closes an idle connection on its first signal."""

    async def main() -> int:
        async with client(server) as c:
            await c.until("ready")
            server.signal()
            with pytest.raises(ConnectionClosed) as closed:
                await c.until("nothing")
            assert closed.value.rcvd is not None
            return closed.value.rcvd.code

    return asyncio.run(main())


def test_idle_connections_are_closed_with_1001(serve: Callable[..., LiveServer]) -> None:
    service = FakeService()
    server = serve(service=service)
    assert closing(server) == 1001
    server.join()
    assert server.error is None
    assert service.closed


def test_what_is_being_said_is_said_to_the_end(serve: Callable[..., LiveServer]) -> None:
    service = FakeService()
    server = serve(service=service)

    async def main() -> None:
        async with client(server) as c, client(server) as idle:
            await c.send("text", context_id="a", text="one two ")
            await c.until("started")
            await idle.until("ready")
            server.signal()
            with pytest.raises(ConnectionClosed):
                await idle.until("nothing")
            await c.send("open", context_id="b")  # nothing new
            error = await c.until("error", context_id="b")
            assert (error["code"], error["final"]) == ("loading", True)
            with pytest.raises(InvalidStatus) as refused:
                async with client(server):
                    pass
            assert refused.value.response.status_code == 503
            async with httpx.AsyncClient(trust_env=False) as browser:
                answer = await browser.get(f"{server.http}/readyz")
                assert (answer.status_code, answer.text) == (503, "draining\n")
            await c.send("text", context_id="a", text="three")  # what was begun goes on
            await c.send("end", context_id="a")
            done = await c.until("done", context_id="a")
            assert done["samples"] == 4 * 640
            with pytest.raises(ConnectionClosed) as closed:
                await c.until("nothing")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001

    asyncio.run(main())
    server.join()
    assert service.closed


def test_the_drain_has_an_end(serve: Callable[..., LiveServer]) -> None:
    service = FakeService()
    server = serve("[server]\ndrain_s = 0.2", service)

    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="for ever")
            await c.until("started")
            server.signal()
            with pytest.raises(ConnectionClosed) as closed:
                await c.until("nothing")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001

    asyncio.run(main())
    server.join()
    assert service.alive == set()


def test_a_second_signal_stops_now(serve: Callable[..., LiveServer]) -> None:
    service = FakeService()
    server = serve(service=service)

    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="for ever")
            await c.until("started")
            server.signal()
            server.signal()
            with pytest.raises(ConnectionClosed) as closed:
                await c.until("nothing")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001

    asyncio.run(main())
    server.join()
    assert service.closed


def test_a_voice_that_cannot_be_loaded_ends_the_server() -> None:
    def load() -> object:
        raise VoiceError("voice rms: acoustic.safetensors has the wrong hash")

    server = LiveServer(load)
    server.start(wait=False)
    server.join()
    assert isinstance(server.error, VoiceError)


def test_a_signal_while_loading(serve: Callable[..., LiveServer]) -> None:
    go_on = threading.Event()
    service = FakeService()

    def load() -> object:
        assert go_on.wait(20)
        return service, VOICES

    server = LiveServer(load)
    server.start(wait=False)

    async def main() -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with client(server):
                pass
        assert refused.value.response.status_code == 503

    asyncio.run(main())
    server.signal()
    go_on.set()
    server.join()
    assert server.error is None
    assert service.closed
    assert not server.gateway.serving.is_set()
