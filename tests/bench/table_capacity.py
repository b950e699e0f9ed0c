"""M3 and M4 for the table: what a stream costs, and how many are sustained."""

import contextlib

from bench_load import EXTRA_S, OutOfTime
from bench_server import StrategyProcess
from bench_stats import Staircase, ratio_of_medians

COST_S = 20.0
COST_BLOCKS = 3
PROBE_S = 15.0
CONFIRM_S = 60.0
SEEDS = (1, 2, 3)
WALK = 5  # probes of each search's walk, one a block
MOST_ROUNDS = 16
STARTS = {"ours": 128, "S1": 20, "S2": 20, "S3": 80, "S4": 24}
RATIOS = {"S1": 3.0, "S2": 3.0, "S3": 1.5, "S4": 1.1}
SUSTAINED = 128
CONFIRMS = 4  # levels tried with the three long runs
STEP_DOWN = 0.92
CONFIRM_ALL_S = CONFIRM_S * len(SEEDS) + 60  # of the section, kept for the runs that confirm


async def cost(bench, _):
    """M3: CPU seconds of the server per second of audio, one stream and 32, alternating."""
    found = {1: [], 32: []}
    for block in range(COST_BLOCKS):
        if not bench.has_time(2 * (COST_S + EXTRA_S)):
            break
        alone = await bench.run(bench.server, 1, COST_S, arrival="burst", audio_s=2 * COST_S,
                                seed=bench.seed + block)  # fmt: skip
        many = await bench.run(bench.server, 32, COST_S, seed=bench.seed + block)
        for streams, report in ((1, alone), (32, many)):
            if report.void:
                bench.note(f"M3: left out, {report.void_reason}")
            else:
                found[streams].append(report.server.cpu_s_per_audio_s)
    for streams, target in ((1, 0.06), (32, 0.015)):
        what = f"M3 CPU s per s of audio, {streams} stream{'s' * (streams > 1)}"
        if not found[streams]:
            bench.report.missing(what, "no run counts")
            continue
        values = sorted(found[streams])
        middle = values[len(values) // 2]
        bench.report.row(f"{what} (median of {len(values)})", middle, target, digits=4,
                         interval=(values[0], values[-1]))  # fmt: skip


async def sustained(bench, _):
    """M4: the real server and S1 to S4, probe by probe in turn; then the real one, confirmed."""
    servers = {"ours": bench.server}
    with contextlib.ExitStack() as stack:  # the others are gone when the real one is confirmed
        for name in RATIOS:
            servers[name] = stack.enter_context(StrategyProcess(name))
            servers[name].pause()
        stairs = await search(bench, servers, STARTS)
    _ratio_rows(bench, stairs)
    estimates = sorted(stairs["ours"].estimates())
    level = estimates[len(estimates) // 2] if estimates else stairs["ours"].passed
    await _confirm(bench, max(1, level))


async def search(bench, servers, starts, *, walk=WALK, seconds=PROBE_S, keep_s=CONFIRM_ALL_S):
    """Searches alternate: one probe of each server a round, all with the same seed.

    Returns:
        a `Staircase` for each server, walked as far as the section's minutes allowed.
    """
    stairs = {name: Staircase(starts[name]) for name in servers}
    try:
        for number in range(MOST_ROUNDS):
            if all(len(each.walk) >= walk for each in stairs.values()):
                break
            if not bench.has_time(keep_s + len(servers) * (seconds + EXTRA_S)):
                break
            for name, server in servers.items():
                server.resume()
                level = stairs[name].level
                passed, why = await bench.probe(server, level, seconds, seed=bench.seed + number)
                stairs[name].tell(passed)
                bench.note(f"round {number + 1}: {name} {level} streams: {why}")
                if len(servers) > 1:
                    server.pause()
    except OutOfTime as error:
        bench.note(f"search cut short: {error}")
    finally:
        for server in servers.values():
            server.resume()
    return stairs


def _ratio_rows(bench, stairs):
    ours = stairs["ours"].estimates()
    for name, least in RATIOS.items():
        theirs = stairs[name].estimates()
        blocks = min(len(ours), len(theirs), WALK)
        if not blocks:
            bench.report.missing(f"M4 streams sustained over {name}", "no time for the search")
            continue
        middle = sorted(theirs)[len(theirs) // 2]
        bench.report.row(f"M4 streams sustained, {name} ({PROBE_S:g} s probes)", middle, digits=0)
        if middle == 0:
            bench.report.missing(f"M4 streams sustained over {name}", f"{name} sustains none")
            continue
        ratio = ratio_of_medians(ours[-blocks:], [max(1, value) for value in theirs[-blocks:]])
        bench.report.row(f"M4 streams sustained over {name} ({blocks} blocks)", ratio.value, least,
                         digits=2, at_least=True, interval=(ratio.low, ratio.high))  # fmt: skip


async def _confirm(bench, level):
    """Three seeds of 60 s without an underrun; a level that fails is followed by a lower one."""
    what = f"M4 streams sustained ({CONFIRM_S:g} s, {len(SEEDS)} seeds)"
    try:
        for _ in range(CONFIRMS):
            failed = ""
            for seed in SEEDS:
                passed, why = await bench.probe(bench.server, level, CONFIRM_S, seed=seed)
                bench.note(f"confirm {level} streams, seed {seed}: {why}")
                if not passed:
                    failed = why
                    break
            if not failed:
                bench.capacity = level
                bench.report.row(what, level, SUSTAINED, digits=0, at_least=True)
                return
            lower = max(1, int(level * STEP_DOWN))
            level = SUSTAINED if lower < SUSTAINED < level else lower
        bench.report.missing(what, f"the last level tried: {failed}")
    except OutOfTime:
        bench.report.missing(what, "no time to confirm it")
    bench.capacity = level


async def capacity(bench):
    """What is sustained, measured now with short probes if nobody has measured it before."""
    if not bench.capacity:
        bench.note("how many streams does the server sustain? short probes")
        starts = {"ours": STARTS["ours"]}
        stairs = await search(bench, {"ours": bench.server}, starts, walk=2, keep_s=0)
        found = stairs["ours"].estimates() or [stairs["ours"].passed]
        bench.capacity = max(1, min(found))
    return bench.capacity
