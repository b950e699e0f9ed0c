"""What a load run says: void or not, tables, JSON, pictures; and what it reads from the host."""

import asyncio
import builtins
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from support.client_modules import client_module
from support.load_reports import report

from streamtts.errors import BadField

load_host = client_module("load_host")
load_plot = client_module("load_plot")
load_server = client_module("load_server")
load_spec = client_module("load_spec")
load_summary = client_module("load_summary")
load_table = client_module("load_table")
load_tally = client_module("load_tally")


def void(lags_ms, *, waited_s=0.0, priority="normal", **spec):
    lags = [(float(at), ms / 1000) for at, ms in enumerate(lags_ms)]
    ended = load_summary.Ended(
        spec=load_spec.LoadSpec(**spec), pace=0.06, priority=priority, rate=1.0, lags=lags,
        waited_s=waited_s)  # fmt: skip
    return load_summary.why_void(load_tally.spread(lags_ms), ended)


def test_a_run_is_void_above_two_milliseconds_of_lag_at_p99():
    assert void([0.1] * 1188 + [50.0] * 12) == ""  # one in a hundred
    assert "50.0 ms (p99; at most 2 ms)" in void([0.1] * 1187 + [50.0] * 13)
    assert void([2.0] * 100) == ""
    assert void([2.5] * 100, lag_limit_ms=3.0) == ""


def test_a_void_run_says_what_kept_the_client():
    assert "by its own work" in void([5.0] * 100)
    assert "waiting for a core at normal priority" in void([5.0] * 100, waited_s=0.4)
    assert "use another machine" in void([5.0] * 100, waited_s=0.4, priority="real-time")


def test_the_ticker_counts_the_ticks_that_it_missed():
    async def main():
        ticker = load_host.Ticker(lambda now_s: None)
        ticker.stop()
        return ticker

    ticker = asyncio.run(main())
    began_s = ticker.began_s
    ticker.lags.clear()
    ticker._ticks = 0  # whatever fired before the stop
    ticker.note(began_s + 0.051)
    ticker.note(began_s + 0.22)
    assert [late_s for _, late_s in ticker.lags] == pytest.approx([0.001, 0.12, 0.07, 0.02])
    assert len(ticker.between(began_s, began_s + 0.151)) == 3


@pytest.mark.parametrize("kernel", [True, False])
def test_the_ticker_ticks(kernel, monkeypatch):
    if not kernel:
        monkeypatch.setattr(load_host, "_kernel_timer", lambda: None)

    async def main():
        ticked = asyncio.Queue()
        ticker = load_host.Ticker(ticked.put_nowait)
        async with asyncio.timeout(20):
            times = [await ticked.get() for _ in range(3)]
        ticker.stop()
        return times, ticker

    times, ticker = asyncio.run(main())
    assert times == sorted(times)
    assert len(ticker.lags) >= 3
    assert all(late_s > -0.002 for _, late_s in ticker.lags)


@pytest.mark.parametrize("priority", ["normal", "highest"])
def test_nothing_is_left_changed(priority):
    collecting, nice = gc.isenabled(), os.getpriority(os.PRIO_PROCESS, 0)
    policy = os.sched_getscheduler(0)
    with load_host.undisturbed(priority) as got:
        assert not gc.isenabled()
        assert got.split()[0] in ("normal", "real-time", "nice")
    assert (gc.isenabled(), os.getpriority(os.PRIO_PROCESS, 0)) == (collecting, nice)
    assert os.sched_getscheduler(0) == policy
    assert gc.get_freeze_count() == 0


def test_the_process_and_its_children_are_summed():
    child = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    with child:
        child.stdout.readline()
        both = load_server.Processes(os.getpid()).read()
        alone = load_server.Processes(child.pid).read()
        assert alone.rss_bytes > 2**20
        own = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        assert both.rss_bytes >= own * 0.9 + alone.rss_bytes
        assert both.cpu_s > 0
        child.communicate(b"\n")


def test_a_process_that_is_not_there():
    with pytest.raises(BadField, match="no process"):
        load_server.Processes(2**22 + 1)


METRICS = """# HELP streamtts_compute_seconds_total CPU seconds of the engine
streamtts_compute_seconds_total 4.5
process_resident_memory_bytes 1.5e+08
"""


def test_metrics_are_read_by_name():
    assert load_server._value(METRICS, "streamtts_compute_seconds_total") == 4.5
    assert load_server._value(METRICS, "process_resident_memory_bytes") == 1.5e8
    assert load_server._value('a_total{x="1"} 2', "a_total") == 2.0
    assert load_server._value(METRICS, "process_cpu_seconds_total") is None


def test_the_table_is_aligned_and_says_what_matters():
    lines = load_table.table([report(), report(underruns=3, underrun_streams=2)]).splitlines()
    assert {line.split("  ")[0] for line in lines} >= {"underruns", "ttfa p50 / p95 / p99, ms"}
    assert len({len(line) for line in lines}) == 1
    assert "10.0 / 20.0 / 30.0" in next(line for line in lines if line.startswith("ttfa"))
    assert next(line for line in lines if line.startswith("underruns")).endswith("3 (in 2 streams)")


def test_void_partial_and_failures_stand_below_the_table():
    said = load_table.table([
        report(void=True, void_reason="it lagged", partial="interrupted", measured_s=3.0,
               errors={"the connection to the server broke": 4})])  # fmt: skip
    assert said.splitlines()[-3:] == [
        "PARTIAL (8 streams): interrupted; numbers of 3.0 s",
        "VOID (8 streams): it lagged",
        "failed (8 streams): 4 x the connection to the server broke",
    ]


def test_a_run_without_numbers_still_makes_a_table():
    empty = load_spec.Spread()
    said = load_table.table([report(ttfa_ms=empty, gap_ms=empty, connect_ms=empty, server=None,
                                    goodput=0.0)])  # fmt: skip
    assert "nan" not in said


def test_overload_in_one_line():
    spec = load_spec.LoadSpec(streams=100, overload=2.0)
    beyond = report(spec, refused={"capacity": 90}, started=200, goodput=97.0,
                    refusal_ms=load_spec.Spread(n=90, p50=1, p95=12.5, p99=13, max=14))  # fmt: skip
    at_capacity = report(load_spec.LoadSpec(streams=100), goodput=100.0)
    assert load_table.overload(at_capacity, beyond) == (
        "at 2 times 100 streams: 90 of 200 refused, 0 underruns among the admitted, "
        "refusal p95 12.5 ms, goodput 0.970 of that at capacity"
    )


def test_json_is_the_whole_report(tmp_path):
    path = tmp_path / "run.json"
    load_table.write_json(str(path), report())
    again = msgspec.json.decode(path.read_bytes(), type=load_spec.LoadReport)
    assert again == report()
    load_table.write_json(str(path), [report(), report()])
    assert len(json.loads(path.read_text())) == 2


def test_a_file_that_could_not_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("old")

    def fail(name):
        Path(name).write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(BadField, match="No space left"):
        load_table.write_atomic(str(path), fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_said_before_anything_is_measured(tmp_path):
    with pytest.raises(BadField, match="no folder"):
        load_table.check_folder(str(tmp_path / "missing" / "run.json"))
    load_table.check_folder(str(tmp_path / "run.json"))
    load_table.check_folder("run.json")


@pytest.mark.parametrize(
    "reports", [[report()], [report(), report(void=True), report(underruns=1)]]
)
def test_pictures(tmp_path, reports):
    pytest.importorskip("matplotlib")
    path = tmp_path / "a.png"
    load_plot.draw(str(path), reports)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(BadField, match="cannot draw"):
        load_plot.draw(str(tmp_path / "a.txt"), reports)
    assert list(tmp_path.iterdir()) == [path]


def test_without_matplotlib_there_is_a_plain_message(tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(BadField, match="pip install matplotlib"):
        load_plot.draw(str(tmp_path / "a.png"), [report()])
