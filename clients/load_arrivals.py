"""When streams come and what they say: an open Poisson process, or all at once.

Listeners do not wait for each other, so neither do the streams: each comes at its own time whether
the ones before it were served or not. A closed loop, which starts a stream when another has ended,
would slow down together with the server and hide its queue.

With streams of `life_s` seconds, `streams / life_s` of them a second keep `streams` alive on
average (Little's law). So that this holds from the begin of the window and not a lifetime later,
the ramp starts as many streams as are to be alive, and gives each what a stream that is found alive
at a random moment has left to say.
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
    begun = sorted(
        (_begun(spec, rng, texts) for _ in range(first)), key=lambda arrival: arrival.at_s
    )
    return Plan(rate, heapq.merge(begun, _process(spec, rng, texts, rate), key=lambda a: a.at_s))


def _begun(spec: LoadSpec, rng: random.Random, texts: Sequence[str]) -> Arrival:
    """A stream of the ramp: a long one is found alive more often, at any point of its life."""
    text = rng.choices(texts, weights=[len(text) for text in texts])[0]
    at_s = -spec.ramp_s * rng.random()
    return Arrival(at_s, _pieces(spec, load_texts.rest_of(text, rng.random())))


def _process(
    spec: LoadSpec, rng: random.Random, texts: Sequence[str], rate: float
) -> Iterator[Arrival]:
    """The open process; it begins when half of the ramp's streams have come."""
    own = random.Random(rng.random())  # whatever else is drawn, this process is the same
    at_s = -spec.ramp_s / 2
    while True:
        at_s += own.expovariate(rate)
        yield Arrival(at_s, _pieces(spec, own.choice(texts)))


def _pieces(spec: LoadSpec, text: str) -> tuple[str, ...]:
    return tuple(tokens(text)) if spec.text == "tokens" else (text,)
