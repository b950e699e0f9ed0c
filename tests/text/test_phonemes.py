import sys

import pytest

from streamtts.text import homographs
from streamtts.text.phonemes import (
    MAX_LETTERS,
    Pronouncer,
    load_lexicon,
    pack,
    unpack,
)
from streamtts.text.pronunciations import FUNCTION_WORDS, LETTERS, PRONUNCIATIONS, STRONG
from streamtts.text.symbols import CONSONANTS, PHONES, VOWELS
from streamtts.text.user_lexicon import parse_phones


@pytest.fixture(scope="module")
def pronouncer() -> Pronouncer:
    return Pronouncer(load_lexicon())


def spell(phones: tuple[tuple[str, int], ...]) -> str:
    return " ".join(phone + (str(stress - 1) if stress else "") for phone, stress in phones)


BY_HAND = {
    "the": "dh ax0",
    "a": "ax0",
    "of": "ax0 v",
    "to": "t ax0",
    "i'm": "ay1 m",
    "for": "f ao0 r",
    "and": "ae0 n d",
    "cat": "k ae1 t",
    "church": "ch er1 ch",
    "judge": "jh ah1 jh",
    "think": "th ih1 ng k",
    "this": "dh ih1 s",
    "vision": "v ih1 zh ax0 n",
    "ship": "sh ih1 p",
    "yellow": "y eh1 l ow0",
    "house": "hh aw1 s",
    "boy": "b oy1",
    "my": "m ay1",
    "day": "d ey1",
    "go": "g ow1",
    "put": "p uh1 t",
    "food": "f uw1 d",
    "father": "f aa1 dh er0",
    "water": "w ao1 t er0",
    "cup": "k ah1 p",
    "hello": "hh ax0 l ow1",
    "telephone": "t eh1 l ax0 f ow2 n",
    "don't": "d ow1 n t",
    "eighteen": "ey2 t iy1 n",
    # by rule, from words that are listed
    "palmprints": "p aa1 m p r ih2 n t s",
    "church's": "ch er1 ch ih0 z",
    "cat's": "k ae1 t s",
    "boys'": "b oy1 z",
    "'hello'": "hh ax0 l ow1",
    "it'd've": "ih1 t ax0 d ax0 v",
    "who're": "hh uw1 er0",
    "tweeted": "t w iy1 t ih0 d",
    "nakedness": "n ey1 k ih0 d n ax0 s",
    "blockchain": "b l aa1 k ch ey2 n",
    "unwholesome": "ah0 n hh ow1 l s ax0 m",
    "hellooooo": "hh ax0 l ow1",
    "patriotically": "p ey2 t r iy0 aa1 t ih0 k l iy0",
    "laudably": "l ao1 d ax0 b l iy0",
    "capitally": "k ae1 p ih0 t ax0 l iy0",
    "expatriated": "eh2 k s p ey1 t r iy0 ey2 t ih0 d",
    # letters, accents, words without vowels
    "A": "ey1",
    "W": "d ah1 b ax0 l y uw2",
    "éclair": "eh1 k l ey1 r",
    "HELLO": "hh ax0 l ow1",
    "html": "ey1 ch t iy1 eh1 m eh1 l",
}


@pytest.mark.parametrize(("word", "phones"), BY_HAND.items())
def test_words_by_hand(pronouncer: Pronouncer, word: str, phones: str) -> None:
    assert spell(pronouncer.pronounce(word)) == phones


def test_lexicon_is_read_once_and_whole() -> None:
    assert load_lexicon() is load_lexicon()
    assert len(load_lexicon()) > 124_000


def test_only_known_phones_with_stress_on_vowels(pronouncer: Pronouncer) -> None:
    for word in ("zorblaxing", "xylq", "strč", "ngwenya", *FUNCTION_WORDS):
        for phone, stress in pronouncer.pronounce(word):
            assert phone in PHONES
            assert (stress > 0) == (phone in VOWELS)
            assert stress <= 3


def test_tables_hold_only_phones() -> None:
    for table in (PRONUNCIATIONS, STRONG, LETTERS):
        for phones in table.values():
            assert spell(parse_phones(phones)) == phones
    assert sorted(LETTERS) == [chr(c) for c in range(ord("A"), ord("Z") + 1)]


def test_packing_loses_nothing() -> None:
    phones = (*((v, s) for v in VOWELS for s in (1, 2, 3)), *((c, 0) for c in CONSONANTS))
    assert unpack(pack(phones)) == phones


def test_strong_form_before_a_mark(pronouncer: Pronouncer) -> None:
    assert spell(pronouncer.pronounce("to", strong=True)) == "t uw1"
    assert spell(pronouncer.pronounce("cat", strong=True)) == "k ae1 t"


def test_unknown_word_gets_one_stressed_vowel_at_least(pronouncer: Pronouncer) -> None:
    for word in ("streamtts", "zopyrus", "brrr", "qwertz"):
        assert any(stress == 2 for _, stress in pronouncer.pronounce(word))


@pytest.mark.parametrize("word", ["漢字", "שלום", "'", "''", "", "😀", "\u0301"])
def test_what_has_no_sound(pronouncer: Pronouncer, word: str) -> None:
    assert pronouncer.pronounce(word) == ()


def test_long_words_are_guessed_in_pieces() -> None:
    lexicon = load_lexicon()
    asked: list[str] = []

    class Counting:
        def get(self, word: str) -> None:
            return None

        def guess(self, letters: str) -> tuple[tuple[str, int], ...]:
            asked.append(letters)
            return lexicon.guess(letters)

    phones = Pronouncer(Counting()).pronounce("abcdefghij" * 1000)  # type: ignore[arg-type]
    assert sum(map(len, asked)) == 10_000
    assert max(map(len, asked)) == MAX_LETTERS
    assert len(phones) > 3000


def test_long_word_costs_in_proportion(pronouncer: Pronouncer) -> None:
    def calls(word: str) -> int:
        count = 0

        def profile(frame: object, event: str, arg: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(profile)
        try:
            pronouncer.pronounce(word)
        finally:
            sys.setprofile(None)
        return count

    text = "bacadefogu" * 4000  # pieces of 32 letters repeat: letter-to-sound has seen them all
    pronouncer.pronounce(text)
    assert calls(text) < 4.5 * calls(text[:10_000])


# -- homographs -------------------------------------------------------------------------------

READ, RED = "r iy1 d", "r eh1 d"
HOMOGRAPHS = [
    ("to * it", "read", READ),
    ("i have * it", "read", RED),
    ("i have never * it", "read", RED),
    ("oswald * the", "read", RED),
    ("students * books", "read", READ),
    ("will * the", "lead", "l iy1 d"),
    ("the * pipe", "lead", "l eh1 d"),
    ("the * car", "lead", "l iy1 d"),
    ("we * in", "live", "l ih1 v"),
    ("a * concert", "live", "l ay1 v"),
    ("she * in", "lives", "l ih1 v z"),
    ("their * in", "lives", "l ay1 v z"),
    ("the * blew", "wind", "w ih1 n d"),
    ("* up", "wind", "w ay1 n d"),
    ("a * healed", "wound", "w uw1 n d"),
    ("he * up", "wound", "w aw1 n d"),
    ("to * it", "tear", "t eh1 r"),
    ("a * rolled", "tear", "t ih1 r"),
    ("the * shows", "record", "r eh1 k er0 d"),
    ("to * the", "record", "r ih0 k ao1 r d"),
    ("* the", "record", "r ih0 k ao1 r d"),
    ("no * to", "use", "y uw1 s"),
    ("please * the", "use", "y uw1 z"),
    ("the * of", "use", "y uw1 s"),
    ("i * to", "used", "y uw1 s t"),
    ("he * a", "used", "y uw1 z d"),
    ("* the", "close", "k l ow1 z"),
    ("very * to", "close", "k l ow1 s"),
    ("i * strongly", "object", "ax0 b jh eh1 k t"),
    ("an * fell", "object", "aa1 b jh eh0 k t"),
    ("was also * there", "present", "p r eh1 z ax0 n t"),
    ("to * the", "present", "p r ih0 z eh1 n t"),
]


@pytest.mark.parametrize(("context", "word", "phones"), HOMOGRAPHS)
def test_homographs(pronouncer: Pronouncer, context: str, word: str, phones: str) -> None:
    before, _, after = (part.strip() for part in context.partition("*"))
    previous = before.split()
    got = pronouncer.pronounce(word, after or None, previous=previous)
    assert spell(got) == phones


def test_only_undecided_homographs_wait(pronouncer: Pronouncer) -> None:
    assert pronouncer.needs_next("record", [])
    assert not pronouncer.needs_next("record", ["the"])
    assert not pronouncer.needs_next("read", [])
    assert not pronouncer.needs_next("the", [])


def test_the_next_word_changes_nothing_unless_it_was_asked_for() -> None:
    for word in homographs.forms():
        for previous in ((), ("the",), ("to",), ("was",), ("she",), ("ideas",), ("has", "never")):
            if not homographs.needs_next(word, previous):
                chosen = {
                    homographs.choose(word, previous, following)
                    for following in (None, "the", "of", "up", "pipe", "to", "music", "in", "gas")
                }
                assert len(chosen) == 1, (word, previous)
