"""The symbol table: what the acoustic model reads. It is versioned with the voice.

A symbol is a phone or a pause. Stress, word edges and the punctuation behind a word are features
of a phone, never symbols of their own: a symbol without duration could not be stepped on by the
monotonic attention (model/attention.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SYMBOLS_VERSION = 1

PAUSE = "pau"
VOWELS = (
    "aa", "ae", "ah", "ao", "aw", "ax", "ay", "eh", "er", "ey", "ih", "iy", "ow", "oy", "uh", "uw",
)  # fmt: skip
CONSONANTS = (
    "b", "ch", "d", "dh", "f", "g", "hh", "jh", "k", "l", "m", "n", "ng", "p", "r", "s", "sh", "t",
    "th", "v", "w", "y", "z", "zh",
)  # fmt: skip
# Ids 0 and 1 are not phones: what lies outside a sentence, and a future that has not arrived.
PHONES = ("<boundary>", "<unknown>", PAUSE, *VOWELS, *CONSONANTS)
STRESSES = ("none", "unstressed", "primary", "secondary")
EDGES = ("inside", "start", "end", "both")
# The punctuation mark that directly follows a word, by the tune it asks for.
MARKS = ("none", "comma", "period", "question", "exclamation", "flush")
WEIGHTS = ("content", "function")  # articles, prepositions, pronouns, auxiliaries are "function"

FEATURES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("phone", PHONES),
    ("stress", STRESSES),
    ("edge", EDGES),
    ("mark", MARKS),
    ("weight", WEIGHTS),
)
FEATURE_SIZES = tuple(len(values) for _, values in FEATURES)

_PHONE_ID = {phone: i for i, phone in enumerate(PHONES)}
BOUNDARY_ID = _PHONE_ID["<boundary>"]
UNKNOWN_ID = _PHONE_ID["<unknown>"]
PAUSE_ID = _PHONE_ID[PAUSE]


@dataclass(frozen=True, slots=True)
class Symbol:
    """One phone or pause, with where it comes from.

    Attributes:
        phone: a name in PHONES.
        stress: index into STRESSES (vowels 1 to 3, everything else 0).
        edge: index into EDGES: where in its word the phone stands; pauses are "both".
        mark: index into MARKS: the mark directly behind the phone's word; on a pause, the mark
            that made it ("none" on the pause that starts a sentence).
        weight: index into WEIGHTS.
        word: index of the word in its context (a pause carries the index of the word before it;
            -1 before the first word).
        char_start: first code point of the span, counted in the text that the client sent.
        char_end: one past the last code point of the span.
        ends_sentence: True on the pause that closes a sentence: what follows knows nothing of
            what came before, so encoder and decoder start afresh behind it.
    """

    phone: str
    stress: int
    edge: int
    mark: int
    weight: int
    word: int
    char_start: int
    char_end: int
    ends_sentence: bool = False


def encode(symbols: Sequence[Symbol]) -> NDArray[np.int64]:
    """Symbols as feature indices.

    Args:
        symbols: N symbols.

    Returns:
        (N, 5) int64, the columns in the order of FEATURES.

    Raises:
        KeyError: a phone that is not in the table.
    """
    out = np.zeros((len(symbols), len(FEATURES)), dtype=np.int64)
    for i, s in enumerate(symbols):
        out[i] = (_PHONE_ID[s.phone], s.stress, s.edge, s.mark, s.weight)
    return out
