"""What /metrics serves, what METRICS.md lists and what the dashboard asks for are the same."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.fake_service import FakeService
from support.live_server import LiveServer, client, live_server
from support.readings import Served, read
from support.real_service import letters, load

import streamtts
from streamtts.server import workers
from streamtts.server.metrics import Metrics
from streamtts.stats import ServiceStats
from streamtts.tally import Tally

CONFIGS = Path(streamtts.__file__).parent / "configs"
DASHBOARD = json.loads((CONFIGS / "grafana.json").read_text(encoding="utf-8"))
TABLE, _, TABLE_OF_WORKERS = (
    (CONFIGS / "METRICS.md").read_text(encoding="utf-8").partition("## With several workers")
)
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", re.M)
NAME = re.compile(r"\b(?:streamtts|process)_[a-z0-9_]+\b")


@pytest.fixture(scope="module")
def real() -> Iterator[LiveServer]:
    with live_server(lambda: load(letters)) as running:
        yield running


@pytest.fixture(scope="module")
def silent(real: LiveServer) -> Served:
    """What is shown before anybody has spoken but the warm-up."""
    return read(real.http)


@pytest.fixture(scope="module")
def heard(real: LiveServer, silent: Served) -> Served:
    """What is shown after a context that was spoken to its end and one that was cancelled."""

    async def main() -> Served:
        async with client(real) as c:
            await c.send("hello", lead_ms=0)
            await c.say("a", "so it goes. ")
            await c.send("text", context_id="b", text="all work and no play. " * 50)
            await c.until("started", context_id="b")
            await c.send("cancel", context_id="b")
            await c.until("cancelled", context_id="b")
            return await asyncio.to_thread(read, real.http)

    return asyncio.run(main())


def test_every_metric_is_listed_with_its_kind_labels_and_meaning(heard: Served) -> None:
    listed = {name: rest for name, *rest in ROW.findall(TABLE)}
    served = {}
    for name, family in heard.families.items():
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        if name == "streamtts_lead_seconds":  # empty when nobody listens
            labels = ["stat"]
        shown = ", ".join(f"`{label}`" for label in labels)
        served[name] = [family.type, shown, family.documentation]
    assert listed == served


def test_what_several_workers_add_is_listed() -> None:
    source = Path(workers.__file__).read_text(encoding="utf-8")
    told = re.findall(r"# HELP (streamtts_\w+) (.*?)\\n", source)
    kinds = dict(re.findall(r"# TYPE (streamtts_\w+) (\w+)", source))
    listed = [(name, kind, help_) for name, kind, _, help_ in ROW.findall(TABLE_OF_WORKERS)]
    assert told
    assert listed == [(name, kinds[name], help_) for name, help_ in told]


def test_numbers_of_a_real_service(silent: Served, heard: Served) -> None:
    def more(*key: str) -> float:
        return heard[key] - silent[key]

    assert heard["ready"] == 1
    assert heard["build_info", streamtts.__version__] == 1
    assert heard["connections"] == heard["connected_total"] == 1
    assert heard["contexts_ended_total", "done"] == 1
    assert heard["contexts_ended_total", "cancelled"] == 1
    assert heard["opened_total"] == 2
    assert more("ttfa_seconds_count") == 2
    assert more("ftts_seconds_count") >= 1
    assert more("steps_total") == more("step_seconds_count") == more("step_rows_count") > 0
    assert more("step_rows_sum") == more("stream_steps_total")
    assert more("vocoder_seconds_count") == more("vocoder_rows_count") > 0
    assert more("cancel_seconds_count") == 1
    assert more("audio_seconds_total") > 0
    assert heard["sent_bytes_total"] > 32_000 * 0.1
    assert heard["slots_used"] == heard["contexts"] == 0
    assert heard.samples["process_resident_memory_bytes",] > 10_000_000
    assert heard.samples["process_open_fds",] > 3
    assert heard["tasks"] >= 3
    assert heard["threads"] >= 3


def test_histograms_are_cumulative_with_every_bound(heard: Served) -> None:
    for name, family in heard.families.items():
        if family.type != "histogram":
            continue
        buckets = [sample for sample in family.samples if sample.name == f"{name}_bucket"]
        values = [sample.value for sample in buckets]
        assert values == sorted(values), name
        assert buckets[-1].labels["le"] == "+Inf"
        assert values[-1] == heard.samples[f"{name}_count",]
        assert len(buckets) > 5, name


class Told(FakeService):
    """Shows numbers that a test has made up."""

    def stats(self) -> ServiceStats:
        step_s = Tally((0.01, 0.1))
        for value in (0.01, 0.02, 7.0):
            step_s.add(value)
        return msgspec.structs.replace(
            super().stats(),
            capacity=140,
            waiting=3,
            refused=5,
            expired=2,
            underruns=4,
            starved_s=1.5,
            step_s=step_s.snapshot(),
            leads_s=(1.5, 0.2, 0.9, 1.0),
        )


def test_numbers_are_shown_as_the_service_tells_them(serve: Callable[..., LiveServer]) -> None:
    served = read(serve(service=Told()).http)
    assert served["capacity_streams"] == 140
    assert served["waiting"] == 3
    assert served["refused_total", "capacity"] == 5
    assert served["refused_total", "deadline"] == 2
    assert served["underruns_total"] == 4
    assert served["starved_seconds_total"] == 1.5
    assert served["step_seconds_bucket", "0.01"] == 1
    assert served["step_seconds_bucket", "0.1"] == 2
    assert served["step_seconds_bucket", "+Inf"] == served["step_seconds_count"] == 3
    assert served["step_seconds_sum"] == pytest.approx(7.03)
    assert served["lead_seconds", "min"] == 0.2
    assert served["lead_seconds", "p50"] == 1.0


def test_whoever_is_turned_away_is_counted(serve: Callable[..., LiveServer]) -> None:
    server = serve('[server]\nconnections = 1\n[auth]\nkeys = ["a-key-of-ours"]')
    key = {"additional_headers": {"authorization": "Bearer a-key-of-ours"}}

    async def main() -> None:
        async with client(server, **key) as c:
            await c.until("ready")
            async with client(server, **key) as other:
                await other.until("error", code="capacity")
            async with client(server) as stranger:
                await stranger.until("error", code="auth")
            with pytest.raises(Exception, match="403"):
                async with client(server, origin="https://elsewhere.example"):
                    pass

    asyncio.run(main())
    refused = server.gateway.metrics.refused
    assert refused == {"connections": 1, "key": 1, "origin": 1}


def test_lag() -> None:
    metrics = Metrics()
    assert metrics.loop_lag_p99_s() == 0.0
    for lag_ms in range(100):
        metrics.observe_lag(lag_ms / 1000)
    served = Served(metrics.render().decode())
    assert served["loop_lag_p99_seconds"] == pytest.approx(0.099)
    assert served["loop_lag_seconds_count"] == 100
    assert served["loop_lag_seconds_bucket", "0.01"] == 11


# --- the dashboard


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    return [(p["title"], target["expr"]) for p in panels() for target in p["targets"]]


def test_the_dashboard_asks_for_nothing_that_is_not_served(heard: Served) -> None:
    known = {name for name, *_ in heard.samples} | {"streamtts_lead_seconds"}
    for title, expr in queries():
        names = NAME.findall(expr)
        assert names, title
        assert set(names) <= known, title


def test_the_dashboard_shows_every_metric(heard: Served) -> None:
    asked = " ".join(expr for _, expr in queries())
    asked += json.dumps(DASHBOARD["templating"])
    shown_elsewhere = {
        "process_virtual_memory_bytes",
        "process_start_time_seconds",
        "process_max_fds",
        "streamtts_loop_lag_p99_seconds",
    }
    for name in heard.families.keys() - shown_elsewhere:
        assert re.search(rf"\b{name}(_bucket|_sum|_count)?\b", asked), name


def test_the_dashboard_is_a_model_that_grafana_takes() -> None:
    assert DASHBOARD["schemaVersion"] >= 39
    assert DASHBOARD["id"] is None
    assert DASHBOARD["uid"]
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert variables["instance"]["datasource"]["uid"] == "${datasource}"
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in panels():
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["description"]
        letters_ = [target["refId"] for target in panel["targets"]]
        assert len(set(letters_)) == len(letters_)
        for target in panel["targets"]:
            assert target["expr"].count("(") == target["expr"].count(")")
            assert "$instance" in target["expr"]
            assert target["legendFormat"]
