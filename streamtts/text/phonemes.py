"""Words to phones: a lexicon in memory, rules on known words, letter-to-sound for the rest."""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock

from gruut.g2p import GraphemesToPhonemes

from streamtts.errors import ConfigError
from streamtts.text import derivation, homographs
from streamtts.text.pronunciations import LETTERS, PRONUNCIATIONS, STRONG
from streamtts.text.symbols import CONSONANTS, VOWELS
from streamtts.text.user_lexicon import PRIMARY, SECONDARY, UNSTRESSED, Phones, parse_phones

MAX_LETTERS = 32  # what letter-to-sound is asked at once: its cost and its memory stay bounded
_IPA = {
    "ə": "ax", "ɪ": "ih", "i": "iy", "ɚ": "er", "ɝ": "er", "ɛ": "eh", "ɑ": "aa", "æ": "ae",
    "ʌ": "ah", "ɔ": "ao", "u": "uw", "ʊ": "uh", "eɪ": "ey", "oʊ": "ow", "aɪ": "ay", "aʊ": "aw",
    "ɔɪ": "oy", "ŋ": "ng", "ɹ": "r", "ɡ": "g", "j": "y", "h": "hh", "t͡ʃ": "ch", "d͡ʒ": "jh",
    "θ": "th", "ð": "dh", "ʃ": "sh", "ʒ": "zh",
    **{same: same for same in "bdfklmnpstvwz"},
}  # fmt: skip
_VOWELS = frozenset(VOWELS)
_FOLDS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ł": "l", "þ": "th", "ð": "th", "ı": "i"}
)
_LONG_RUN = re.compile(r"(.)\1{2,}")


class Lexicon:
    """The shipped words: read once per process, one byte a phone, safe to share between threads.

    Args:
        entries: words with their phones, packed by `pack`.
        letter_to_sound: the model that guesses what no rule knows.
    """

    def __init__(self, entries: Mapping[str, bytes], letter_to_sound: GraphemesToPhonemes) -> None:
        self._entries = entries
        self._guess = lru_cache(maxsize=20_000)(self._guess_uncached)
        self._letter_to_sound = letter_to_sound
        self._lock = Lock()  # the tagger keeps the word it is asked about

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, word: str) -> Phones | None:
        """Phones of a word that is listed, else None."""
        packed = self._entries.get(word)
        return None if packed is None else unpack(packed)

    def guess(self, letters: str) -> Phones:
        """Phones by letter-to-sound.

        Args:
            letters: 1 to MAX_LETTERS letters a to z.

        Returns:
            Phones with a primary stress; the letters' names when no vowel is found.
        """
        return self._guess(letters)

    def _guess_uncached(self, letters: str) -> Phones:
        with self._lock:
            sounds = self._letter_to_sound(letters)
        guessed = [_IPA_PAIRS[sound] for sound in sounds if sound in _IPA_PAIRS]
        if any(phone in _VOWELS for phone, _ in guessed):
            return _with_primary(tuple(guessed))
        return tuple(pair for c in letters if "a" <= c <= "z" for pair in _LETTERS[c.upper()])


def pack(phones: Phones) -> bytes:
    """One byte for each phone with its stress."""
    return bytes(_PAIR_CODE[pair] for pair in phones)


def unpack(packed: bytes) -> Phones:
    """The phones that `pack` packed."""
    return tuple(_PAIRS[code] for code in packed)


@lru_cache(maxsize=1)
def load_lexicon() -> Lexicon:
    """The lexicon of gruut's English, read once per process (0.3 s).

    Returns:
        The same Lexicon at every call.

    Raises:
        ConfigError: the package gruut_lang_en is missing or its data cannot be read.
    """
    spec = find_spec("gruut_lang_en")
    if spec is None or spec.origin is None:
        raise ConfigError("gruut_lang_en is not installed; pip install 'streamtts[serve]'")
    folder = Path(spec.origin).parent
    codes = {ipa: _PAIR_CODE[pair] for ipa, pair in _IPA_PAIRS.items()}
    query = "SELECT word, phonemes FROM word_phonemes ORDER BY pron_order DESC, id DESC"
    try:
        address = f"{(folder / 'lexicon.db').as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as database:
            rows = database.execute(query)
            # The first pronunciation is read last, and stays.
            entries = {word: bytes([codes[p] for p in ipa.split()]) for word, ipa in rows}
        letter_to_sound = GraphemesToPhonemes(folder / "g2p" / "model.crf")
    except (sqlite3.Error, OSError, KeyError) as error:
        raise ConfigError(f"the lexicon in {folder} cannot be read: {error}") from error
    for word, phones in PRONUNCIATIONS.items():
        entries[word] = pack(parse_phones(phones))
    return Lexicon(entries, letter_to_sound)


class Pronouncer:
    """Words to phones for one voice.

    Args:
        lexicon: the shipped words.
        user_words: words that override everything else, lower case.
    """

    def __init__(self, lexicon: Lexicon, user_words: Mapping[str, Phones] | None = None) -> None:
        self._lexicon = lexicon
        self._user_words = dict(user_words or {})

    def needs_next(self, word: str, previous: Sequence[str] = ()) -> bool:
        """Tells whether `word` can only be pronounced once the next word is known."""
        key = word.lower()
        return key not in self._user_words and homographs.needs_next(key, previous)

    def pronounce(
        self,
        word: str,
        next_word: str | None = None,
        *,
        previous: Sequence[str] = (),
        strong: bool = False,
    ) -> Phones:
        """Phones of one spoken word.

        Args:
            word: lower-case letters and apostrophes of any length; one upper-case letter is
                spelled.
            next_word: the word that directly follows, where `needs_next` asks for it.
            previous: words before it in the sentence, the nearest last.
            strong: a mark follows directly, so that a function word has its full form.

        Returns:
            (phone, stress) pairs; empty when nothing of the word can be spoken.
        """
        if len(word) == 1 and word in _LETTERS:
            return _LETTERS[word]
        key = word.lower()
        if key in self._user_words:
            return self._user_words[key]
        chosen = homographs.choose(key, previous, next_word)
        if chosen is not None:
            return _HOMOGRAPHS[chosen]
        if strong and key in _STRONG:
            return _STRONG[key]
        return self._plain(key)

    def _plain(self, word: str) -> Phones:
        found = self._known(word)
        if found is not None:
            return found
        letters = _fold(word)
        pieces = [letters[i : i + MAX_LETTERS] for i in range(0, len(letters), MAX_LETTERS)]
        return tuple(pair for piece in pieces for pair in self._piece(piece))

    def _known(self, word: str) -> Phones | None:
        return self._user_words.get(word) or self._lexicon.get(word)

    def _piece(self, letters: str) -> Phones:
        """Phones of at most MAX_LETTERS letters and apostrophes."""
        found = self._known(letters) or derivation.derive(letters, self._known, self._guess)
        if found is not None:
            return found
        for kept in (r"\1\1", r"\1"):  # "sooo" is "so", "hellooo" is "hello"
            shorter = _LONG_RUN.sub(kept, letters)
            found = self._known(shorter) if shorter != letters else None
            if found is not None:
                return found
        return self._guess(letters)

    def _guess(self, letters: str) -> Phones:
        bare = letters.replace("'", "")
        return self._lexicon.guess(bare) if bare else ()


def _fold(word: str) -> str:
    """Only letters a to z and apostrophes, accents and ligatures undone."""
    plain = unicodedata.normalize("NFKD", word.translate(_FOLDS)).lower()
    return "".join(c for c in plain if "a" <= c <= "z" or c == "'")


def _with_primary(phones: Phones) -> Phones:
    """The same phones, the first full vowel stressed when none is; a schwa alone is made full."""
    if any(stress == PRIMARY for _, stress in phones):
        return phones
    vowels = [i for i, (phone, _) in enumerate(phones) if phone in _VOWELS]
    at = next((i for i in vowels if phones[i][0] != "ax"), vowels[0])
    phone = "ah" if phones[at][0] == "ax" else phones[at][0]
    return (*phones[:at], (phone, PRIMARY), *phones[at + 1 :])


_PAIRS: tuple[tuple[str, int], ...] = (
    *((c, 0) for c in CONSONANTS),
    *((v, stress) for v in VOWELS for stress in (UNSTRESSED, PRIMARY, SECONDARY)),
)
_PAIR_CODE = {pair: code for code, pair in enumerate(_PAIRS)}
_IPA_PAIRS = {
    mark + ipa: (phone, stress if phone in _VOWELS else 0)
    for ipa, phone in _IPA.items()
    for mark, stress in (("", UNSTRESSED), ("ˈ", PRIMARY), ("ˌ", SECONDARY))
}
_LETTERS = {letter: parse_phones(phones) for letter, phones in LETTERS.items()}
_STRONG = {word: parse_phones(phones) for word, phones in STRONG.items()}
_HOMOGRAPHS = {form: parse_phones(form) for pair in homographs.forms().values() for form in pair}
