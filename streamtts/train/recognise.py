"""What a recogniser hears: word errors, and words skipped or repeated in the sound.

pocketsphinx with its own English model and open vocabulary. It errs on the teacher too, so every
figure is read beside the teacher's on the same sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamtts.errors import TrainError

FRAMES_S = 0.01  # pocketsphinx's frame


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard in one sentence.

    Attributes:
        words: the recogniser's.
        durations_s: of each expected word by forced alignment; empty where that failed.
    """

    words: tuple[str, ...]
    durations_s: tuple[float, ...]


class Recogniser:
    """pocketsphinx, once to recognise and once to align."""

    def __init__(self) -> None:
        try:
            import pocketsphinx
        except ImportError:
            raise TrainError(
                "pocketsphinx is missing: pip install 'streamtts[train]' to evaluate"
            ) from None
        self._decoder = pocketsphinx.Decoder(samprate=16000, loglevel="FATAL")
        self._aligner = pocketsphinx.Decoder(samprate=16000, loglevel="FATAL", lm=None)

    def hear(self, samples: NDArray[np.float32], expected: Sequence[str]) -> Heard:
        """Recognises 16 kHz samples (S,), and lays the expected words over them."""
        sound = (np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes()
        hypothesis = self._run(self._decoder, sound).hyp()
        words = tuple(hypothesis.hypstr.lower().split()) if hypothesis else ()
        return Heard(words, self._durations(sound, expected))

    def _durations(self, sound: bytes, expected: Sequence[str]) -> tuple[float, ...]:
        try:
            self._aligner.set_align_text(" ".join(expected))
            segments = list(self._run(self._aligner, sound).seg() or ())
        except RuntimeError:  # a word that its dictionary does not have
            return ()
        spoken = [s for s in segments if not re.match(r"[<\[+(]", s.word)]
        if len(spoken) != len(expected):
            return ()
        return tuple((s.end_frame - s.start_frame + 1) * FRAMES_S for s in spoken)

    @staticmethod
    def _run(decoder: Any, sound: bytes) -> Any:
        decoder.start_utt()
        decoder.process_raw(sound, full_utt=True)
        decoder.end_utt()
        return decoder


@dataclass(frozen=True, slots=True)
class WordErrors:
    """The cheapest way from the expected words to the heard ones.

    Attributes:
        errors: substitutions, deletions and insertions.
        deleted: indices of expected words that were not heard.
        inserted: (index of the expected word before it, word) for each word too many.
    """

    errors: int
    deleted: tuple[int, ...]
    inserted: tuple[tuple[int, str], ...]


def word_errors(expected: Sequence[str], heard: Sequence[str]) -> WordErrors:
    """Levenshtein's distance over words, with the path."""
    N, M = len(expected), len(heard)
    cost = np.zeros((N + 1, M + 1), dtype=np.int64)
    cost[:, 0], cost[0] = np.arange(N + 1), np.arange(M + 1)
    for i in range(1, N + 1):
        for j in range(1, M + 1):
            cost[i, j] = min(
                cost[i - 1, j - 1] + (expected[i - 1] != heard[j - 1]),
                cost[i - 1, j] + 1,
                cost[i, j - 1] + 1,
            )
    deleted, inserted = [], []
    i, j = N, M
    while i or j:
        same = i and j and expected[i - 1] == heard[j - 1]
        if i and j and cost[i, j] == cost[i - 1, j - 1] + (0 if same else 1):
            i, j = i - 1, j - 1
        elif i and cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
            deleted.append(i)
        else:
            j -= 1
            inserted.append((i - 1, heard[j]))
    return WordErrors(int(cost[N, M]), tuple(deleted), tuple(inserted))


def skipped(expected: Sequence[str], ours: Heard, teacher: Heard) -> list[str]:
    """Expected words that are not in our sound.

    A word counts when the recogniser misses it in ours and hears it, right or wrong, in the
    teacher's, and forced alignment finds less than 0.4 of the teacher's time for it.
    """
    if not ours.durations_s or not teacher.durations_s:
        return []
    known = set(word_errors(expected, teacher.words).deleted)
    return [
        expected[i]
        for i in word_errors(expected, ours.words).deleted
        if i not in known and ours.durations_s[i] < 0.4 * teacher.durations_s[i]
    ]


def repeated(expected: Sequence[str], ours: Heard, teacher: Heard) -> list[str]:
    """Words heard once more than expected beside themselves, in our sound and not the teacher's."""

    def doubled(heard: Heard) -> set[tuple[int, str]]:
        beside = word_errors(expected, heard.words).inserted
        return {(i, w) for i, w in beside if w in expected[max(0, i) : i + 2]}

    return [word for _, word in sorted(doubled(ours) - doubled(teacher))]
