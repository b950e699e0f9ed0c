"""The promises of PROTOCOL.md, one by one: real sockets, real engine, a tiny voice."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.live_server import Client, LiveServer, client, live_server
from support.real_service import english, load

from streamtts.events import FLAG_FADED, FLAG_FILLER, FLAG_FIRST, FLAG_LAST
from streamtts.protocol.frames import Header
from streamtts.service import Service

TEXT = "The quick brown fox, it seems, jumped over dogs. Nobody saw it happen."
LONG = "all work and no play makes a dull day. " * 200
FADE_SAMPLES = 80  # 5 ms at 16 kHz
PATIENT = {"max_buffer_delay_ms": 10_000}


@pytest.fixture(scope="module")
def service() -> Service:
    return load(english, slots=2, queue=30, idle_s=60.0)[0]


@pytest.fixture(scope="module")
def server(service: Service) -> Iterator[LiveServer]:
    from support.real_service import TINY

    with live_server(lambda: (service, (TINY,))) as running:
        yield running


async def fast(c: Client, **hello: Any) -> Client:
    """Sound as fast as it is made."""
    await c.send("hello", lead_ms=0, **hello)
    return c


def test_1_nothing_after_cancelled_and_the_slot_is_free(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            for name in ("a", "b"):  # both slots
                await c.send("text", context_id=name, text=LONG, on_conflict="parallel")
            await c.until("started", context_id="a")
            await c.until("started", context_id="b")
            await c.send("cancel", context_id="a")
            await c.until("cancelled", context_id="a")
            old = c.handle("a")
            seen = len(c.order)
            for type_ in ("cancel", "flush", "end"):
                await c.send(type_, context_id="a")
            await c.send("text", context_id="new", text="Next.", on_conflict="parallel")
            await c.send("end", context_id="new")
            await c.until("done", context_id="new")
            for got in c.order[seen:]:
                if isinstance(got, dict):
                    assert got.get("context_id") != "a"
                else:
                    assert got.handle != old

    asyncio.run(main())


def test_2_every_context_ends_once_and_the_socket_stays(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await fast(c)
            await c.send("open", context_id="bad voice", voice="nobody")
            await c.send("open", context_id="bad speed", speed=99)
            await c.socket.send('{"type":"open","context_id":"bad type","seed":"x"}')
            await c.socket.send("nonsense")
            await c.send("text", context_id="cancelled", text=LONG, on_conflict="parallel")
            await c.until("started", context_id="cancelled")
            await c.send("cancel", context_id="cancelled")
            await c.send("end", context_id="cancelled")
            await c.say("good", TEXT)
            await c.say("again", TEXT)
            await c.barrier()
            assert sorted(c.ends()) == [
                "again",
                "bad speed",
                "bad type",
                "bad voice",
                "cancelled",
                "good",
            ]

    asyncio.run(main())


def test_3_cuts_do_not_change_the_samples(server: LiveServer) -> None:
    async def main() -> None:
        rng = random.Random(3)
        async with client(server) as c:
            await fast(c)
            await c.say("whole", TEXT, seed=5, **PATIENT)
            whole = c.audio(c.handle("whole"))
            assert len(whole) > 16_000
            for i in range(4):
                cuts = sorted(rng.sample(range(1, len(TEXT)), rng.randint(1, 20)))
                deltas = [TEXT[a:b] for a, b in itertools.pairwise([0, *cuts, len(TEXT)])]
                await c.say(f"cut {i}", *deltas, seed=5, **PATIENT)
                assert c.audio(c.handle(f"cut {i}")) == whole
            await c.say("letters", *TEXT, seed=5, **PATIENT)
            assert c.audio(c.handle("letters")) == whole
            await c.say("other seed", TEXT, seed=6, **PATIENT)
            assert c.audio(c.handle("other seed")) != whole

    asyncio.run(main())


def test_4_text_that_cannot_be_spoken_is_a_short_silence(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await fast(c)
            for name, text in (
                ("blank", " \n\t "),
                ("marks", "... !?"),
                ("controls", "\0\x07\x1b"),
            ):
                done = await c.say(name, text)
                assert done["samples"] > 0
                warning = await_warning(c, name)
                assert warning["code"] == "nothing_to_speak"
                chunks = [x for x in c.chunks if x[0].handle == c.handle(name)]
                assert all(header.flags & FLAG_FILLER for header, _ in chunks)
                assert not any(b"".join(data for _, data in chunks))
            nothing = await c.say("empty", "")
            assert nothing["samples"] == 0

    asyncio.run(main())


def await_warning(c: Client, context_id: str) -> dict[str, Any]:
    (warning,) = [m for m in c.of("warning") if m["context_id"] == context_id]
    return warning


def test_5_chunks_join_and_a_cancel_fades(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await fast(c)
            done = await c.say("a", TEXT)
            position = 0
            for i, (header, data) in enumerate(c.chunks):
                assert (header.seq, header.first_sample) == (i, position)
                assert bool(header.flags & FLAG_FIRST) is (i == 0)
                assert bool(header.flags & FLAG_LAST) is (i == len(c.chunks) - 1)
                position += len(data) // 2
            assert position == done["samples"]
            sizes = {len(data) / (2 * 640) for _, data in c.chunks[:-1]}
            assert sizes <= {1, 2, 3, 4, 5}  # frames of 40 ms that were ready together
            c.chunks.clear()
            await c.say("exact", TEXT, audio={"frame_ms": 40})
            assert {len(data) for _, data in c.chunks[:-1]} == {2 * 640}
            c.chunks.clear()
            await c.send("text", context_id="b", text=LONG)
            await c.until_chunks(5)
            await c.send("cancel", context_id="b")
            cancelled = await c.until("cancelled")
            header, data = c.chunks[-1]
            assert header.flags & (FLAG_FADED | FLAG_LAST) == FLAG_FADED | FLAG_LAST
            assert 0 < len(data) // 2 <= FADE_SAMPLES + 640
            assert abs(int(np.frombuffer(data, "<i2")[-1])) < 200
            assert cancelled["sent_samples"] == header.first_sample + len(data) // 2

    asyncio.run(main())


def test_5_text_that_runs_out_is_spoken_to_its_end(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await fast(c, timestamps=["word"])
            await c.send("text", context_id="a", text="Hello wor", max_buffer_delay_ms=50)
            words: dict[int, dict[str, Any]] = {}
            while 1 not in words or "end" not in words[1]:
                for item in (await c.until("words"))["items"]:
                    words[item["index"]] = item
            assert words[1]["text"] == "wor"
            while sum(len(data) for _, data in c.chunks) // 2 < words[1]["end"]:
                await c.receive()

    asyncio.run(main())


def test_6_words_keep_their_place_and_spelling(server: LiveServer) -> None:
    text = "Dr. Smith’s “naïve” idea —  in 1999 — cost $5.50,  they said 😀 twice."

    async def main() -> None:
        async with client(server) as c:
            await fast(c, timestamps=["word", "phone"])
            done = await c.say("a", text)
            told_at: dict[int, int] = {}
            seen: dict[int, dict[str, Any]] = {}
            for when, got in enumerate(c.order):
                if isinstance(got, dict) and got["type"] == "words":
                    for item in got["items"]:
                        assert item["index"] >= max(seen, default=0)  # never goes back
                        seen[item["index"]] = item
                        told_at.setdefault(item["index"], when)
            words = [seen[i] for i in sorted(seen)]
            assert [w["index"] for w in words] == list(range(len(words)))
            for word in words:
                assert text[word["char_start"] : word["char_end"]] == word["text"]
                assert 0 <= word["start"] < word["end"] <= done["samples"]
            assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(words))
            assert {"1999", "naïve", "twice"} <= {word["text"] for word in words}
            chunks = [(x.first_sample, i) for i, x in enumerate(c.order) if isinstance(x, Header)]
            for word in words:  # told no later than the chunk in which it begins
                carrier = max(i for first, i in chunks if first <= word["start"])
                assert told_at[word["index"]] < carrier
            assert c.of("phones")

    asyncio.run(main())


def test_7_an_idle_context_ends_and_the_socket_stays() -> None:
    async def main(server: LiveServer) -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="Hello.")
            done = await c.until("done", context_id="a")
            assert done["reason"] == "idle"
            assert (await c.say("b", "Still here."))["reason"] == "end"

    with live_server(lambda: load(idle_s=0.3)) as server:
        asyncio.run(main(server))


def test_7_a_closed_socket_frees_its_slots(server: LiveServer, service: Service) -> None:
    async def main() -> None:
        async with client(server) as c:
            for name in ("a", "b"):
                await c.send("text", context_id=name, text=LONG, on_conflict="parallel")
            await c.until("started", context_id="b")
            c.socket.transport.abort()
        assert await asyncio.to_thread(service.wait_idle, 10)

    asyncio.run(main())


def test_8_cancel_and_ping_never_wait_behind_text(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await fast(c)
            names = [f"c{i}" for i in range(8)]
            for name in names:
                await c.send("text", context_id=name, text=LONG, on_conflict="parallel")
            await c.until("started")
            await c.send("ping", t="now")
            await c.until("pong", t="now")
            await c.send("cancel", context_id="*")
            for _ in names:
                await c.until("cancelled")
            assert c.of("done") == []

    asyncio.run(main())


def test_9_text_beyond_the_limit_is_refused_whole(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await fast(c)
            await c.send("text", context_id="a", text="Short. ")
            await c.send("text", context_id="a", text="word " * 200_000)  # 1 MB
            error = await c.until("error", context_id="a")
            assert (error["code"], error["final"]) == ("text_too_long", False)
            assert error["retry_after_ms"] > 0
            await c.send("end", context_id="a")
            assert (await c.until("done"))["chars"] == 7

    asyncio.run(main())
