"""Phones as people write them, and the words that a user or a voice adds."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from streamtts.errors import ConfigError
from streamtts.text.symbols import CONSONANTS, PHONES, STRESSES, VOWELS

Phones = tuple[tuple[str, int], ...]  # (phone, index into symbols.STRESSES)

UNSTRESSED, PRIMARY, SECONDARY = map(STRESSES.index, ("unstressed", "primary", "secondary"))
_STRESS_DIGITS = {"0": UNSTRESSED, "1": PRIMARY, "2": SECONDARY}
_VOWELS = frozenset(VOWELS)
_CONSONANTS = frozenset(CONSONANTS)


def parse_phones(text: str) -> Phones:
    """Reads phones as a user lexicon writes them.

    Args:
        text: names of `symbols.PHONES` between blanks, vowels with a stress digit (0, 1, 2):
            "hh ax0 l ow1". A vowel without a digit is unstressed.

    Returns:
        (phone, stress) pairs.

    Raises:
        ValueError: no phones, or a name that is not a phone; the message names it.
    """
    pairs = []
    for item in text.split():
        name, digit = (item[:-1], item[-1]) if item[-1] in _STRESS_DIGITS else (item, "")
        if name in _VOWELS:
            pairs.append((name, _STRESS_DIGITS[digit or "0"]))
        elif item in _CONSONANTS:
            pairs.append((item, 0))
        else:
            raise ValueError(f"{item!r} is not a phone")
    if not pairs:
        raise ValueError("there are no phones")
    return tuple(pairs)


def load_user_lexicon(path: Path) -> dict[str, Phones]:
    """Reads a user lexicon: a TOML file with a table `[words]`, word = "hh ax0 l ow1".

    Args:
        path: the file.

    Returns:
        Lower-case words with their phones.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or holds a word whose value is not a
            line of phones; the message names file, word and phone.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"lexicon {path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"lexicon {path}: is not TOML: {error}") from error
    words = data.get("words")
    if not isinstance(words, dict) or len(data) != 1:
        raise ConfigError(f"lexicon {path}: must hold one table, [words]")
    return user_words(words, source=str(path))


def user_words(words: Mapping[str, object], *, source: str) -> dict[str, Phones]:
    """Words that override the lexicon, as a voice or a user lexicon holds them.

    Args:
        words: words with their phones, "hh ax0 l ow1".
        source: where they come from, for errors.

    Returns:
        Lower-case words with their phones.

    Raises:
        ConfigError: a value that is not a line of phones; names source, word and phone.
    """
    return {word.lower(): _user_entry(source, word, phones) for word, phones in words.items()}


def _user_entry(source: str, word: str, phones: object) -> Phones:
    place = f"lexicon {source}: word {word!r}"
    if not isinstance(phones, str):
        raise ConfigError(f'{place}: phones must be one string, "hh ax0 l ow1"')
    try:
        return parse_phones(phones)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}; phones are {' '.join(PHONES[3:])}") from error
