"""The search for the streams sustained, with a server that is a function."""

import asyncio

import msgspec
import pytest
from support.client_modules import client_module
from support.load_reports import report

from streamtts.errors import BadField

load_search = client_module("load_search")
load_table = client_module("load_table")
LoadSpec = client_module("load_spec").LoadSpec


class Bench:
    """Sustains `capacity(spec)` streams, and remembers what it was asked."""

    def __init__(self, capacity):
        self.capacity = capacity if callable(capacity) else lambda spec: capacity
        self.asked = []

    async def __call__(self, spec):
        self.asked.append((spec.streams, spec.seed, spec.seconds))
        late = max(0, spec.streams - self.capacity(spec))
        return report(spec, underruns=late)

    @property
    def probed(self):
        return [streams for streams, _, seconds in self.asked if seconds == 15.0]

    @property
    def confirmed(self):
        return [(streams, seed) for streams, seed, seconds in self.asked if seconds == 60.0]


def search(bench, **options):
    options = {"start": 32, "resolution": 1, **options}
    return asyncio.run(load_search.sustained(LoadSpec(), runner=bench, **options))


@pytest.mark.parametrize("capacity", [1, 2, 31, 32, 33, 47, 100, 128, 1000])
def test_the_capacity_is_found_exactly(capacity):
    bench = Bench(capacity)
    found = search(bench)
    assert (found.streams, found.void, found.bounded) == (capacity, False, False)
    assert bench.confirmed == [(capacity, seed) for seed in (1, 2, 3)]
    assert len(set(bench.probed)) == len(bench.probed) < 18


def test_it_doubles_and_then_halves():
    bench = Bench(100)
    search(bench, start=32)
    assert bench.probed == [32, 64, 128, 96, 112, 104, 100, 102, 101]


def test_a_coarse_resolution_saves_probes():
    bench = Bench(100)
    found = search(bench, resolution=0)
    assert 97 <= found.streams <= 100
    assert len(bench.probed) < 9


def test_a_server_that_sustains_nothing():
    found = search(Bench(0))
    assert (found.streams, found.void) == (0, False)
    assert "streams sustained: 0" in load_table.verdict(found)


def test_the_upper_bound_is_said():
    bench = Bench(10_000)
    found = search(bench, most=200)
    assert (found.streams, found.bounded) == (200, True)
    assert bench.probed == [32, 64, 128, 200]
    assert "or more" in load_table.verdict(found)


def test_what_probes_found_but_long_runs_do_not_confirm_goes_down_step_by_step():
    bench = Bench(lambda spec: 100 if spec.seconds == 15.0 else 97 if spec.seed == 2 else 98)
    found = search(bench)
    assert found.streams == 97
    assert bench.confirmed == [
        (100, 1), (99, 1), (98, 1), (98, 2), (97, 1), (97, 2), (97, 3)]  # fmt: skip


def test_it_goes_down_to_the_least_and_no_further():
    bench = Bench(lambda spec: 40 if spec.seconds == 15.0 else 0)
    found = search(bench, least=30, start=32, resolution=4)
    assert found.streams == 0
    assert [streams for streams, _ in bench.confirmed] == [40, 36, 32, 30]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"refused": {"capacity": 2}}, "2 refused"),
        ({"ramp_refused": 1}, "1 refused in the ramp"),
        ({"errors": {"broke": 3}}, "3 failed"),
        ({"unanswered": 1}, "1 without a sound"),
        ({"underruns": 5}, "5 underruns"),
    ],
)
def test_whatever_goes_wrong_is_not_sustained(changes, why):
    async def bench(spec):
        return report(spec, **(changes if spec.streams > 8 else {}))

    found = search(bench, start=8)
    assert found.streams == 8
    assert next(x for x in found.probes if not x.sustained).why == why


def test_a_void_probe_is_made_again():
    lagged = [True, True, False]

    async def bench(spec):
        void = spec.streams == 32 and bool(lagged) and lagged.pop(0)
        return report(spec, void=void, void_reason="lagged" if void else "",
                      underruns=max(0, spec.streams - 40))  # fmt: skip

    found = search(bench)
    assert (found.streams, found.void) == (40, False)
    assert [x.sustained for x in found.probes[:3]] == [False, False, True]
    assert found.probes[0].why == "void: lagged"


def test_a_void_probe_with_underruns_is_not_made_again():
    async def bench(spec):
        bad = spec.streams > 32
        return report(spec, void=bad, void_reason="lagged", underruns=9 if bad else 0)

    found = search(bench)
    assert found.streams == 32
    assert len({x.streams for x in found.probes if x.kind == "probe"}) == len(
        [x for x in found.probes if x.kind == "probe"]
    )


def test_three_void_probes_end_the_search_without_a_number():
    async def bench(spec):
        return report(spec, void=True, void_reason="lagged by 9 ms")

    found = search(bench)
    assert (found.streams, found.void, len(found.probes)) == (0, True, 3)
    assert "lagged by 9 ms" in load_table.verdict(found)
    assert load_table.verdict(found).startswith("VOID")


def test_a_server_that_goes_away_ends_the_search():
    async def bench(spec):
        return report(spec, partial="the server went away")

    found = search(bench)
    assert (found.void, found.void_reason, len(found.probes)) == (True, "the server went away", 1)


def test_it_can_be_stopped_between_probes():
    async def main():
        stop = asyncio.Event()
        seen = []

        def on_probe(probe):
            seen.append(probe)
            stop.set()

        return seen, await load_search.sustained(
            LoadSpec(), runner=Bench(50), on_probe=on_probe, stop=stop
        )

    seen, found = asyncio.run(main())
    assert (len(seen), found.void, found.void_reason) == (1, True, "interrupted")


@pytest.mark.parametrize(
    ("fields", "options", "says"),
    [
        ({}, {"start": 0}, "least"),
        ({}, {"start": 9, "most": 8}, "most"),
        ({}, {"least": 9, "start": 8}, "start"),
        ({}, {"seeds": ()}, "seed"),
        ({"arrival": "burst"}, {}, "burst"),
    ],
)
def test_bounds_that_make_no_sense(fields, options, says):
    with pytest.raises(BadField, match=says):
        asyncio.run(load_search.sustained(LoadSpec(**fields), runner=Bench(1), **options))


def test_probes_carry_no_streams_into_the_json():
    found = search(Bench(3), start=2)
    again = msgspec.json.decode(msgspec.json.encode(found), type=type(found))
    assert again == found
    assert all(x.report.streams == () and x.report.timeline == () for x in found.probes)


def test_a_line_for_each_probe():
    found = search(Bench(40))
    head = load_table.probe_head()
    lines = [load_table.probe_line(probe) for probe in found.probes]
    assert head.split()[:3] == ["kind", "streams", "seed"]
    assert lines[0].split()[:3] == ["probe", "32", "1"]
    assert lines[0].endswith("sustained")
    assert lines[1].endswith("24 underruns")
