"""M7 and M10 for the table: one client that stops reading, and what a cancel leaves behind."""

import asyncio
import contextlib
import json
import socket
import time

import bench_texts
from bench_load import EXTRA_S, RAMP_S, beside
from bench_stats import ratio_of_medians
from websockets.asyncio.client import connect
from websockets.sync.client import connect as connect_thread

from streamtts.config import Config
from streamtts.protocol.frames import unpack_header
from streamtts.service import ContextSettings
from streamtts.speech import build

OTHERS = 7
BLOCKS = 5
BLOCK_S = 12.0
STALLED_S = 60.0
RECEIVE_BYTES = 4096
MIB = 2**20

CANCELS = 20
CHUNKS_BEFORE = 8
AFTER_S = 0.3
SLOT_LIMIT_S = 5.0
PATH = "/v1/stream"


@contextlib.contextmanager
def stalled(server):
    """A client that asks for minutes of speech, hears its begin and then reads nothing more."""
    host, _, port = server.url.removeprefix("ws://").partition(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    sock.connect((host, int(port)))
    websocket = connect_thread(server.url + PATH, sock=sock, compression=None, max_queue=1,
                               ping_interval=None, proxy=None, close_timeout=0)  # fmt: skip
    try:
        websocket.recv(timeout=5)
        websocket.send(json.dumps({"type": "hello", "lead_ms": 60_000}))
        text = " ".join(bench_texts.text(number) for number in range(12))
        websocket.send(json.dumps({"type": "text", "context_id": "stalled", "text": text}))
        for _ in range(3):
            websocket.recv(timeout=5)
        yield
    finally:
        sock.close()


async def slow_reader(bench, _):
    """M7: seven clients with and without an eighth that has stopped reading, alternating."""
    alone, beside_it = [], []
    for block in range(BLOCKS):
        if not bench.has_time(2 * (BLOCK_S + EXTRA_S) + STALLED_S + EXTRA_S):
            break
        for side, slow in ((alone, False), (beside_it, True)):
            report = await _others(bench, BLOCK_S, bench.seed + block, slow=slow)
            bench.note(
                f"7 clients, {'one more has stopped reading' if slow else 'alone'}: gap p99 "
                f"{report.gap_ms.p99:.1f} ms, {report.underruns} underruns"
            )
            side.append(report)
    pairs = [(a, b) for a, b in zip(alone, beside_it, strict=True) if not (a.void or b.void)]
    if not pairs:
        bench.report.missing("M7 gap p99 of the others", "no block counts")
    else:
        ratio = ratio_of_medians([b.gap_ms.p99 for _, b in pairs], [a.gap_ms.p99 for a, _ in pairs])
        bench.report.row(f"M7 gap p99 of the others, over that without ({len(pairs)} blocks)",
                         ratio.value, 1.1, digits=3, interval=(ratio.low, ratio.high))  # fmt: skip
        bench.report.row("M7 underruns of the others", sum(b.underruns for _, b in pairs), 0,
                         digits=0)  # fmt: skip
    await _memory(bench)


async def _others(bench, seconds, seed, *, slow):
    with stalled(bench.server) if slow else contextlib.nullcontext():
        return await bench.run(bench.server, OTHERS, seconds, seed=seed)


async def _memory(bench):
    """RSS of the server over a minute in which the eighth client reads nothing."""
    before = bench.server.rss_bytes
    report, peak = await beside(
        _others(bench, STALLED_S, bench.seed, slow=True), _peak_rss(bench.server)
    )
    growth = (peak - before) / MIB
    bench.note(f"stalled for {STALLED_S:g} s: {report.underruns} underruns of the others")
    bench.report.row(f"M7 RSS, highest of {STALLED_S:g} s over that before", growth, 2.0,
                     unit="MiB", digits=2)  # fmt: skip


async def _peak_rss(server):
    peak = 0
    until_s = time.monotonic() + STALLED_S + RAMP_S
    while time.monotonic() < until_s:
        peak = max(peak, server.rss_bytes)
        await asyncio.sleep(0.25)
    return peak


async def cancel(bench, _):
    """M10: over the wire, and step by step."""
    server = bench.server
    waits, late_frames, made_s = [], 0, 0.0
    async with connect(server.url + PATH, compression=None, proxy=None, max_size=None) as websocket:
        await websocket.recv()
        for number in range(CANCELS):
            waited_ms, frames, audio_s = await _cancelled(server, websocket, f"c{number}", number)
            waits.append(waited_ms)
            late_frames += frames
            made_s += audio_s
    row = bench.report.row
    row(f"M10 audio frames after `cancelled` ({CANCELS} cancels)", late_frames, 0, digits=0)
    row("M10 seconds of sound made after `cancelled`", made_s, 0, unit="s", digits=3)
    row("M10 decoder steps from a cancel to the free slot", _steps_to_free_slot(), 1, digits=0)
    row("M10 cancel sent to `cancelled` received, slowest", max(waits), unit="ms")


async def _cancelled(server, websocket, context_id, number):
    """Speaks, cancels, listens on.

    Returns:
        ms until `cancelled`, audio frames that came after it, seconds of sound made after it.
    """
    text = " ".join(bench_texts.text(number + at) for at in range(4))
    first = {"type": "text", "context_id": context_id, "text": text}
    await websocket.send(json.dumps(first))
    handle, chunks = -1, 0
    while chunks < CHUNKS_BEFORE:
        frame = await websocket.recv()
        if isinstance(frame, bytes):
            chunks += unpack_header(frame).handle == handle
        elif (message := json.loads(frame))["type"] == "opened":
            handle = message["handle"]
    began_s = time.perf_counter()
    await websocket.send(json.dumps({"type": "cancel", "context_id": context_id}))
    while True:
        frame = await websocket.recv()
        if isinstance(frame, str) and json.loads(frame)["type"] == "cancelled":
            break
    waited_ms = (time.perf_counter() - began_s) * 1000
    made_before = (await asyncio.to_thread(server.metrics))["streamtts_audio_seconds_total"]
    late = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(AFTER_S):
            while True:
                late += isinstance(await websocket.recv(), bytes)
    metrics = await asyncio.to_thread(server.metrics)
    if metrics["streamtts_slots_used"]:
        raise SystemExit(f"a slot is still held {AFTER_S:g} s after a cancel")
    return waited_ms, late, metrics["streamtts_audio_seconds_total"] - made_before


def _steps_to_free_slot():
    """An engine turned by hand: decoder steps between a cancel and the free slot, the most of 5."""
    service, _ = build(Config())
    most = 0
    for turns in range(20, 70, 10):
        context = service.open(ContextSettings(lead_ms=0), lambda event: None)
        context.feed(bench_texts.text(turns))
        for _ in range(turns):
            service.turn()
        if service.stats().streams != 1:
            raise SystemExit("the stream that was to be cancelled holds no slot")
        before = service.stats().steps
        context.cancel()
        until_s = time.monotonic() + SLOT_LIMIT_S
        while service.stats().streams and time.monotonic() < until_s:
            service.turn()
        if service.stats().streams:
            raise SystemExit("a cancelled stream keeps its slot")
        most = max(most, service.stats().steps - before)
    service.close()
    return most
