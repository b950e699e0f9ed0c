"""Words that are not listed, from words that are: 's, plurals, contractions, endings, compounds."""

from __future__ import annotations

from collections.abc import Callable

from streamtts.text.user_lexicon import Phones

_Lookup = Callable[[str], Phones | None]

_SIBILANTS = frozenset(("s", "z", "sh", "zh", "ch", "jh"))
_VOICELESS = frozenset(("p", "t", "k", "f", "th"))
_CLITICS: dict[str, Phones] = {
    "n't": (("ax", 1), ("n", 0), ("t", 0)),
    "'ll": (("ax", 1), ("l", 0)),
    "'re": (("er", 1),),
    "'ve": (("ax", 1), ("v", 0)),
    "'m": (("ax", 1), ("m", 0)),
}
# Endings that keep the sound of the word they follow.
_ENDINGS: dict[str, Phones] = {
    "ing": (("ih", 1), ("ng", 0)),
    "ness": (("n", 0), ("ax", 1), ("s", 0)),
    "less": (("l", 0), ("ax", 1), ("s", 0)),
    "ful": (("f", 0), ("ax", 1), ("l", 0)),
    "ment": (("m", 0), ("ax", 1), ("n", 0), ("t", 0)),
    "able": (("ax", 1), ("b", 0), ("ax", 1), ("l", 0)),
    "er": (("er", 1),),
    "ers": (("er", 1), ("z", 0)),
    "ish": (("ih", 1), ("sh", 0)),
    "ship": (("sh", 0), ("ih", 3), ("p", 0)),
    "man": (("m", 0), ("ax", 1), ("n", 0)),
    "men": (("m", 0), ("ih", 1), ("n", 0)),
}
_STARTS: dict[str, Phones] = {
    "un": (("ah", 1), ("n", 0)),
    "re": (("r", 0), ("iy", 1)),
    "non": (("n", 0), ("aa", 3), ("n", 0)),
    "pre": (("p", 0), ("r", 0), ("iy", 1)),
    "mis": (("m", 0), ("ih", 1), ("s", 0)),
    "anti": (("ae", 3), ("n", 0), ("t", 0), ("iy", 1)),
    "over": (("ow", 3), ("v", 0), ("er", 1)),
    "under": (("ah", 3), ("n", 0), ("d", 0), ("er", 1)),
    "super": (("s", 0), ("uw", 3), ("p", 0), ("er", 1)),
}
# Listed as words, but at the end of a longer word nearly always an ending.
_NO_SECOND_PARTS = frozenset(
    "ably ally able city logy logies ration rations ries ties dies ting ding".split()
)
_MIN_STEM = 3
_MIN_PART = 4  # letters of each half of a compound


def derive(word: str, known: _Lookup, guess: Callable[[str], Phones]) -> Phones | None:
    """Phones of a word that is not listed.

    Args:
        word: letters a to z and apostrophes, at most a few dozen.
        known: looks a word up; None when it is not listed.
        guess: letter-to-sound, for the stem of a possessive or contraction.

    Returns:
        Phones, or None when no rule applies.
    """
    if "'" in word:
        return _with_apostrophe(word, known, guess)
    return _inflected(word, known) or _ended(word, known) or _compound(word, known)


def _with_apostrophe(word: str, known: _Lookup, guess: Callable[[str], Phones]) -> Phones | None:
    bare = word.strip("'")
    if bare != word:  # "boys'" and words in single quotes
        return _whole(bare, known, guess) if bare else None
    for tail, phones in _CLITICS.items():
        if word.endswith(tail) and len(word) > len(tail):
            return _whole(word[: -len(tail)], known, guess) + phones
    if word.endswith("'s"):
        return with_s(_whole(word[:-2], known, guess))
    if word.endswith("'d"):
        return with_d(_whole(word[:-2], known, guess))
    return None


def _whole(stem: str, known: _Lookup, guess: Callable[[str], Phones]) -> Phones:
    return known(stem) or derive(stem, known, guess) or guess(stem)


def with_s(stem: Phones) -> Phones:
    """The stem with the -s of plurals, verbs and possessives."""
    last = stem[-1][0] if stem else ""
    if last in _SIBILANTS:
        return (*stem, ("ih", 1), ("z", 0))
    return (*stem, ("s", 0) if last in _VOICELESS else ("z", 0))


def with_d(stem: Phones) -> Phones:
    """The stem with the -ed of verbs."""
    last = stem[-1][0] if stem else ""
    if last in ("t", "d"):
        return (*stem, ("ih", 1), ("d", 0))
    return (*stem, ("t", 0) if last in _VOICELESS | _SIBILANTS - {"z", "zh", "jh"} else ("d", 0))


def _stems(word: str, ending: str) -> list[str]:
    """Spellings that `word` without `ending` may come from, the likeliest first."""
    if not word.endswith(ending):
        return []
    stem = word[: -len(ending)]
    if len(stem) < _MIN_STEM:
        return []
    stems = [stem]
    if ending[0] in "aei":
        stems.append(stem + "e")
        if stem[-1] == stem[-2]:
            stems.append(stem[:-1])
    if stem[-1] == "i":
        stems.append(stem[:-1] + "y")
    return stems


def _first(stems: list[str], known: _Lookup) -> Phones | None:
    return next((found for stem in stems if (found := known(stem)) is not None), None)


def _inflected(word: str, known: _Lookup) -> Phones | None:
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        stems = _stems(word, "s")
        if word.endswith("es"):
            stems += _stems(word, "es")
        stem = _first(stems, known) or (_ended(stems[0], known) if stems else None)
        stem = stem or (_compound(stems[0], known) if stems else None)
        if stem is not None:
            return with_s(stem)
    stem = _first(_stems(word, "ed"), known)
    return None if stem is None else with_d(_as_verb(word, "ed", stem))


def _as_verb(word: str, ending: str, stem: Phones) -> Phones:
    """The verb's sound of a stem in -ate, which is listed as a noun first ("expatriate")."""
    if word.endswith("at" + ending) and stem[-2:] == (("ih", 1), ("t", 0)):
        return (*stem[:-2], ("ey", 3), ("t", 0))
    return stem


def _adverb(word: str, known: _Lookup) -> Phones | None:
    """-ly: of -ble, of -ic, of any other stem."""
    if word.endswith("bly"):
        stem = known(word[:-1] + "e")
        return None if stem is None else (*stem[:-2], ("l", 0), ("iy", 1))
    if not word.endswith("ly"):
        return None
    stem = known(word[:-4]) if word.endswith("ically") else None
    stem = stem or _first(_stems(word, "ly"), known)
    if stem is None:
        return None
    return (*(stem[:-1] if stem[-1] == ("l", 0) else stem), ("l", 0), ("iy", 1))


def _ended(word: str, known: _Lookup) -> Phones | None:
    adverb = _adverb(word, known)
    if adverb is not None:
        return adverb
    for ending, phones in _ENDINGS.items():
        stem = _first(_stems(word, ending), known)
        if stem is not None:
            return _as_verb(word, ending, stem) + phones
    for start, phones in _STARTS.items():
        if word.startswith(start) and len(word) >= len(start) + _MIN_PART:
            stem = known(word[len(start) :])
            if stem is not None:
                return phones + stem
    return None


def _compound(word: str, known: _Lookup) -> Phones | None:
    """Two listed words written as one; the second keeps no more than secondary stress."""
    best: tuple[str, str] | None = None
    for i in range(_MIN_PART, len(word) - _MIN_PART + 1):
        parts = (word[:i], word[i:])
        if parts[1] not in _NO_SECOND_PARTS and known(parts[0]) and known(parts[1]):
            # Prefer the more even split: both halves are then likelier to be words.
            if best is None or min(map(len, parts)) > min(map(len, best)):
                best = parts
    if best is None:
        return None
    first, second = known(best[0]), known(best[1])
    if first is None or second is None:
        return None
    return first + tuple((phone, 3 if stress == 2 else stress) for phone, stress in second)
