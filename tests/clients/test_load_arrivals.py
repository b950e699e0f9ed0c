"""When the streams of a load run come, and what they say."""

import itertools
import random
import statistics

import pytest
from support.client_modules import client_module

from streamtts.errors import BadField

load_arrivals = client_module("load_arrivals")
load_texts = client_module("load_texts")
LoadSpec = client_module("load_spec").LoadSpec

PACE = 0.06


def planned(until_s=None, **fields):
    spec = LoadSpec(**fields)
    plan = load_arrivals.plan(spec, PACE)
    end_s = spec.seconds if until_s is None else until_s
    return plan.rate_per_s, list(itertools.takewhile(lambda x: x.at_s < end_s, plan.arrivals))


def alive(arrivals, at_s):
    return sum(x.at_s <= at_s < x.at_s + len("".join(x.pieces)) * PACE for x in arrivals)


def test_the_same_seed_is_the_same_load():
    assert planned(seed=3) == planned(seed=3)
    assert planned(seed=3) != planned(seed=4)


def test_streams_come_in_order_and_begin_in_the_ramp():
    _, arrivals = planned(streams=50, ramp_s=4.0)
    times = [x.at_s for x in arrivals]
    assert times == sorted(times)
    assert -4.0 <= times[0] < -3.0


@pytest.mark.parametrize(("streams", "overload"), [(16, 1.0), (128, 1.0), (20, 2.0)])
def test_as_many_are_alive_as_were_asked_for_from_the_begin(streams, overload):
    counts = []
    for seed in range(10):
        _, arrivals = planned(streams=streams, overload=overload, seed=seed)
        counts.append([alive(arrivals, at_s) for at_s in range(61)])
    wanted = streams * overload
    assert statistics.mean(map(statistics.mean, counts)) == pytest.approx(wanted, rel=0.04)
    assert statistics.mean(count[0] for count in counts) == pytest.approx(wanted, rel=0.12)
    assert statistics.mean(count[60] for count in counts) == pytest.approx(wanted, rel=0.12)
    deviation = statistics.mean(map(statistics.pstdev, counts))
    assert 0.5 * wanted**0.5 < deviation < 1.5 * wanted**0.5  # it crowds as independent ones do


def test_starts_are_independent_of_each_other():
    rate, arrivals = planned(streams=100, seconds=600.0, ramp_s=0.0)
    later = [x.at_s for x in arrivals if x.at_s > 0.0]
    between = [b - a for a, b in itertools.pairwise(later)]
    assert statistics.mean(between) == pytest.approx(1 / rate, rel=0.02)
    assert statistics.pstdev(between) == pytest.approx(1 / rate, rel=0.05)  # an exponential's


@pytest.mark.parametrize("seed", range(6))
def test_seeds_differ_in_times_and_not_in_how_many_come(seed):
    rate, arrivals = planned(streams=30, seed=seed, ramp_s=0.0)
    begun, came = arrivals[:30], arrivals[30:]
    assert {x.at_s for x in begun} == {0.0}
    assert len(came) == round(rate * 60.0)


def test_the_process_goes_on_after_the_window():
    rate, arrivals = planned(until_s=300.0, streams=40, seconds=10.0)
    late = sum(x.at_s >= 10.0 for x in arrivals)
    assert late == pytest.approx(rate * 290.0, rel=0.1)


def test_texts_last_as_long_as_they_should():
    _, arrivals = planned(streams=100, audio_s=17.0, ramp_s=0.0)
    lengths = [len(x.pieces[0]) * PACE for x in arrivals if x.at_s > 0.0]
    assert statistics.mean(lengths) == pytest.approx(17.0, rel=0.05)
    assert 11.0 < min(lengths) < max(lengths) < 23.0


def test_a_burst_comes_at_once_and_ends():
    spec = LoadSpec(streams=9, arrival="burst")
    plan = load_arrivals.plan(spec, PACE)
    arrivals = list(plan.arrivals)
    assert [x.at_s for x in arrivals] == [0.0] * 9
    assert plan.rate_per_s == 0.0


def test_tokens_are_the_same_text_in_pieces():
    _, whole = planned(streams=4)
    _, cut = planned(streams=4, text="tokens")
    assert ["".join(x.pieces) for x in cut] == [x.pieces[0] for x in whole]
    assert all(len(x.pieces) >= 4 for x in cut)


def test_the_built_in_sentences_are_varied():
    assert len(set(load_texts.SENTENCES)) == len(load_texts.SENTENCES) >= 60
    assert len({sentence.split()[0] for sentence in load_texts.SENTENCES}) > 30
    assert all(sentence[-1] in ".?" and sentence.isascii() for sentence in load_texts.SENTENCES)


def test_sentences_are_added_while_that_comes_nearer():
    rng = random.Random(1)
    assert load_texts.of_length(rng, ["abc."], 4) == "abc."
    assert load_texts.of_length(rng, ["abc."], 14) == "abc. abc. abc."
    assert load_texts.of_length(rng, ["abc."], 1) == "abc."


def test_what_is_left_of_a_text():
    assert load_texts.rest_of("a b c d e f g h", 0.75) == "c d e f g h"
    assert load_texts.rest_of("a b c d e f g h", 0.0) == "e f g h"
    assert load_texts.rest_of("a b", 0.0) == "a b"


def test_sentences_of_a_file(tmp_path):
    path = tmp_path / "sentences.txt"
    path.write_text("One.\n\n# not this\n  Two.\n", encoding="utf-8")
    assert load_texts.load(str(path)) == ("One.", "Two.")
    path.write_text("\n#\n", encoding="utf-8")
    with pytest.raises(BadField, match="there is none"):
        load_texts.load(str(path))
    with pytest.raises(BadField, match="cannot read"):
        load_texts.load(str(tmp_path / "missing.txt"))


@pytest.mark.parametrize(
    "fields",
    [{"streams": 0}, {"seconds": -1.0}, {"tokens_per_s": 0.0}, {"overload": float("nan")},
     {"ramp_s": -0.1}, {"audio_s": float("inf")}, {"per_connection": 0}],
)  # fmt: skip
def test_a_spec_that_makes_no_sense_says_which_number(fields):
    with pytest.raises(BadField, match=next(iter(fields))):
        LoadSpec(**fields).check()
