"""Chunks on the wire: as JSON, as mel."""

from __future__ import annotations

import asyncio
import base64

from support.fake_service import CHUNK_SAMPLES
from support.live_server import LiveServer, client

CHUNK_BYTES = 2 * CHUNK_SAMPLES


def test_base64_chunks_are_the_binary_ones(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("hello", transport="base64")
            await c.send("text", context_id="a", text="one two", streams=["audio", "mel"])
            await c.send("end", context_id="a")
            await c.until("done")
            assert c.chunks == []
            audio = [m for m in c.of("audio") if m["flags"] < 16]
            mel = [m for m in c.of("audio") if m["flags"] >= 16]
            assert [m["seq"] for m in audio] == [m["seq"] for m in mel] == [0, 1, 2]
            assert all(len(base64.b64decode(m["data"])) == CHUNK_BYTES for m in audio)

    asyncio.run(main())


def test_mel_and_alignment_are_pushed(server: LiveServer) -> None:
    async def main() -> None:
        async with client(server) as c:
            await c.send("text", context_id="a", text="one", streams=["mel", "alignment"])
            await c.send("end", context_id="a")
            await c.until("done")
            (opened,) = c.of("opened")
            assert opened["audio"] is None
            assert opened["mel"] == {"n_mels": 80, "hop_length": 200, "sample_rate": 16000}
            assert [header.flags for header, _ in c.chunks] == [16 + 1, 16 + 2]
            assert c.of("alignment")[0]["steps"][0]["position"] == 0

    asyncio.run(main())
