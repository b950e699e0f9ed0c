"""M5, M6 and M8 for the table: newcomers, twice too many, and the event loop at saturation."""

import asyncio
import contextlib
import time

import bench_texts
import first_sound
from bench_load import EXTRA_S, RAMP_S, OutOfTime, beside
from bench_report import percentile
from bench_stats import percentile_interval, ratio_of_medians
from table_capacity import capacity

from streamtts.client import connect
from streamtts.errors import Overloaded

PLAYING = {8: 40.0, 32: 80.0, 64: 150.0}  # streams: ms
NEWCOMER_S = 25.0
NEWCOMER_EVERY_S = 0.2
NEWCOMER_PASSES = 2
SETTLE_S = 1.0

OVERLOAD = 2.0
OVERLOAD_S = 15.0
BLOCKS = 5

SATURATED_S = 65.0  # the lag's gauge looks back a minute
HEALTH_EVERY_S = 0.05


async def newcomer(bench, _):
    """M5: first sound of one more stream while others play, on a connection that is there."""
    found = {streams: [] for streams in PLAYING}
    voids = dict.fromkeys(PLAYING, 0)
    refused = dict.fromkeys(PLAYING, 0)
    for turn in range(NEWCOMER_PASSES):
        for streams in PLAYING:
            if not bench.has_time(NEWCOMER_S + EXTRA_S):
                break
            run = bench.run(bench.server, streams, NEWCOMER_S, seed=bench.seed + turn)
            since_s = time.monotonic()
            report, (taken, turned_away) = await beside(
                run, newcomers(bench.server, turn, NEWCOMER_S)
            )
            if report.void:
                voids[streams] += 1
                bench.note(f"M5: left out, {report.void_reason}")
                continue
            end_s = since_s + NEWCOMER_S + RAMP_S
            found[streams] += [ms for at_s, ms in taken if at_s < end_s]
            refused[streams] += turned_away
            middle = percentile([ms for _, ms in taken] or [float("nan")], 50)
            bench.note(
                f"{streams} play ({report.alive_mean:.0f} on average): {len(taken)} newcomers, "
                f"p50 {middle:.1f} ms; {report.underruns} underruns"
            )
    for streams, most in PLAYING.items():
        what = f"M5 ttfa p95 of a new stream while {streams} play"
        if not found[streams]:
            bench.report.missing(what, f"{voids[streams]} runs void, {refused[streams]} refused")
            continue
        found_95 = percentile_interval(found[streams], 95)
        bench.report.row(f"{what} (n={len(found[streams])})", found_95.value, most, unit="ms",
                         interval=(found_95.low, found_95.high))  # fmt: skip
        if refused[streams]:
            bench.report.row(f"{what}: refused", refused[streams], 0, digits=0)


async def newcomers(server, turn, seconds):
    """New streams, one after the other, inside a run of the load client.

    Returns:
        (when, ms) of each, and how many were refused.
    """
    await asyncio.sleep(RAMP_S + SETTLE_S)
    until_s = time.monotonic() + seconds - 2 * SETTLE_S
    taken, refused = [], 0
    async with connect(server.url) as tts:
        while time.monotonic() < until_s:
            text = bench_texts.of_length(len(taken) + 7 * turn, 80)
            try:
                took = await first_sound.websocket_ms(tts, text)
                taken.append((time.monotonic(), took))
            except Overloaded:
                refused += 1
            await asyncio.sleep(NEWCOMER_EVERY_S)
    return taken, refused


async def overload(bench, _):
    """M6: what is sustained and twice as much, alternating."""
    streams = await capacity(bench)
    full, over = [], []
    for block in range(BLOCKS):
        if not bench.has_time(2 * (OVERLOAD_S + EXTRA_S)):
            break
        for side, factor in ((full, 1.0), (over, OVERLOAD)):
            report = await bench.run(bench.server, streams, OVERLOAD_S, overload=factor,
                                     seed=bench.seed + block)  # fmt: skip
            refused = sum(report.refused.values())
            bench.note(
                f"{factor:g} x {streams}: goodput {report.goodput:.1f}, underruns "
                f"{report.underruns} (ramp: {report.ramp_underruns}), refused {refused} of "
                f"{report.started} (p95 {report.refusal_ms.p95:.1f} ms), errors "
                f"{report.errors or 0}"
            )
            side.append(report)
    pairs = [(a, b) for a, b in zip(full, over, strict=True) if not (a.void or b.void)]
    if not pairs:
        bench.report.missing(f"M6 {OVERLOAD:g} x {streams} streams", "no block counts")
        return
    _overload_rows(bench, streams, [a for a, _ in pairs], [b for _, b in pairs])


def _overload_rows(bench, streams, full, over):
    name = f"M6 at {OVERLOAD:g} x {streams} streams ({len(over)} blocks)"
    row = bench.report.row
    row(f"{name}, underruns among the admitted", sum(r.underruns for r in over), 0, digits=0)
    row(f"{name}, streams failed otherwise", sum(sum(r.errors.values()) for r in over), 0, digits=0)
    refused = [
        stream.refusal_ms
        for report in over
        for stream in report.streams
        if stream.measured and stream.refusal_ms is not None
    ]
    if refused:
        row(f"{name}, refusal p95 (n={len(refused)})", percentile(refused, 95), 20.0, unit="ms")
    else:
        bench.report.missing(f"{name}, refusal p95", "nobody was refused")
    ratio = ratio_of_medians([r.goodput for r in over], [r.goodput for r in full])
    row(f"{name}, goodput over that at 1 x", ratio.value, 0.95, digits=3, at_least=True,
        interval=(ratio.low, ratio.high))  # fmt: skip
    row(f"{name}, first sound p95 of those served",
        max(r.ttfa_ms.p95 for r in over), unit="ms", digits=0)  # fmt: skip


async def saturation(bench, _):
    """M8: the loop's own lag and /healthz, while as many as are sustained play."""
    streams = await capacity(bench)
    if not bench.has_time(SATURATED_S + EXTRA_S):
        raise OutOfTime("no time for a minute at saturation")
    report, (taken, lag_s) = await beside(
        bench.run(bench.server, streams, SATURATED_S), _watch(bench.server)
    )
    name = f"M8 at {streams} streams, {SATURATED_S:g} s"
    bench.note(f"{name}: {report.underruns} underruns; void: {report.void_reason or 'no'}")
    bench.report.row(f"{name}, loop lag p99 (last minute)", lag_s * 1000, 10.0, unit="ms", digits=2)
    bench.report.row(f"{name}, /healthz p99 (n={len(taken)})", percentile(taken, 99), 20.0,
                     unit="ms", digits=2)  # fmt: skip
    bench.report.row(f"{name}, underruns meanwhile", report.underruns, digits=0)


async def _watch(server):
    """/healthz, and what /metrics says of the lag at the end of it."""
    taken = await healths(server, SATURATED_S)
    metrics = await asyncio.to_thread(server.metrics)
    return taken, metrics["streamtts_loop_lag_p99_seconds"]


async def healths(server, seconds):
    """ms of /healthz on one connection, 20 times a second, inside a run of the load client."""
    await asyncio.sleep(RAMP_S)
    host, _, port = server.url.removeprefix("ws://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    taken = []
    until_s = time.monotonic() + seconds - SETTLE_S
    with contextlib.closing(writer):
        while time.monotonic() < until_s:
            began_s = time.perf_counter()
            writer.write(f"GET /healthz HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split()[0])
            await reader.readexactly(length)
            taken.append((time.perf_counter() - began_s) * 1000)
            await asyncio.sleep(HEALTH_EVERY_S)
    return taken
