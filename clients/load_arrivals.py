"""When streams come and what they say: an open Poisson process, or all at once.

Listeners do not wait for each other, so neither do the streams: each comes at its own time whether
the ones before it were served or not. A closed loop, which starts a stream when another has ended,
would slow down together with the server and hide its queue.

With streams of `life_s` seconds, `streams / life_s` of them a second keep `streams` alive on
average (Little's law). So that this holds from the begin of the window and not a lifetime later,
the ramp starts as many streams as are to be alive, and gives each what a stream that is found alive
at a random moment has left to say. Between the ramp and the end of the window the process has as
many arrivals as it has on average, at independent random times: that is a Poisson process with the
number of its arrivals given. So seeds differ in how streams crowd, and not in how many there are.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import load_texts

from streamtts.client.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from load_spec import LoadSpec

_TEXTS = 97  # different ones in a run
_SPREAD = 0.2  # of their lengths around the mean, as a share


class Arrival(NamedTuple):
    """One stream that is to be started.

    Attributes:
        at_s: from the begin of the window; below 0 in the ramp.
        pieces: its text, in the pieces in which it is sent.
    """

    at_s: float
    pieces: tuple[str, ...]


class Plan(NamedTuple):
    """The streams of a run.

    Attributes:
        rate_per_s: of the open process; 0 for a burst.
        arrivals: in the order of their times; endless unless it is a burst.
    """

    rate_per_s: float
    arrivals: Iterator[Arrival]


def plan(spec: LoadSpec, s_per_char: float) -> Plan:
    """Plans a run; the same spec gives the same streams.

    Args:
        spec: of the run.
        s_per_char: seconds of speech a character.
    """
    rng = random.Random(f"streamtts load {spec.seed}")
    sentences = spec.sentences or load_texts.SENTENCES
    mean_chars = spec.audio_s / s_per_char
    texts = [
        load_texts.of_length(rng, sentences, mean_chars * rng.uniform(1 - _SPREAD, 1 + _SPREAD))
        for _ in range(_TEXTS)
    ]
    first = max(1, round(spec.streams * spec.overload))
    if spec.arrival == "burst":
        burst = (Arrival(0.0, _pieces(spec, rng.choice(texts))) for _ in range(first))
        return Plan(0.0, burst)
    life_s = sum(map(len, texts)) / len(texts) * s_per_char
    rate = spec.streams * spec.overload / life_s
    begun = _begun(spec, rng, texts, first)
    return Plan(rate, heapq.merge(begun, _process(spec, rng, texts, rate), key=lambda a: a.at_s))


def _begun(spec: LoadSpec, rng: random.Random, texts: Sequence[str], number: int) -> list[Arrival]:
    """The streams of the ramp: a long one is found alive more often, at any point of its life."""
    picked = rng.choices(texts, weights=[len(text) for text in texts], k=number)
    left = [(at + rng.random()) / number for at in range(number)]
    rng.shuffle(left)
    rests = [load_texts.rest_of(text, share) for text, share in zip(picked, left, strict=True)]
    times = sorted(-spec.ramp_s * rng.random() for _ in range(number))
    return [Arrival(at, _pieces(spec, rest)) for at, rest in zip(times, rests, strict=True)]


def _process(
    spec: LoadSpec, rng: random.Random, texts: Sequence[str], rate: float
) -> Iterator[Arrival]:
    """The open process; it begins when half of the ramp's streams have come, and never ends."""
    own = random.Random(rng.random())  # whatever else is drawn, this process is the same
    begin_s = -spec.ramp_s / 2
    number = round(rate * (spec.seconds - begin_s))
    for at_s in sorted(own.uniform(begin_s, spec.seconds) for _ in range(number)):
        yield Arrival(at_s, _pieces(spec, own.choice(texts)))
    at_s = spec.seconds
    while True:
        at_s += own.expovariate(rate)
        yield Arrival(at_s, _pieces(spec, own.choice(texts)))


def _pieces(spec: LoadSpec, text: str) -> tuple[str, ...]:
    return tuple(tokens(text)) if spec.text == "tokens" else (text,)
