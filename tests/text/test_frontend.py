import gc
import itertools
import sys
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtts.text.frontend import FrontEnd, FrontEndOutput, Word
from streamtts.text.phonemes import Pronouncer, load_lexicon
from streamtts.text.symbols import MARKS, PAUSE, Symbol, encode
from streamtts.text.user_lexicon import Phones

# Sentences ready to be cut: plain prose, everything that waits for what follows, and rubbish.
TEXTS = (
    "The quick brown fox, they say, jumps. Really? Yes!",
    "I read 23 books in 1999 — close the door. I will read it: the record is new.",
    "Dr. Smith paid $3.50 on 3/4/2021 at 5:30 p.m. for 1,000,000 units (e.g. 4°C).",
    "Wait... what?! “Smart quotes” and ‘these’ too; don't stop",
    "# Heading\n\n- item one\n- item **two** [link](http://a.b/c)\n\n`code` text",
    "cafe\u0301 nai\u0308ve ZALGO\u0300\u0301\u0302\u0303 e\u0301",
    "emoji 😀👩‍👩‍👧 between 漢字 words שלום end",
    "mail me@example.com or see https://example.com/a?b=c#d, #hashtag @user",
    "lone \ud83d half \ude00 and\ud83d",
    "nul \x00 tab\t bell\x07 bom\ufeff zero\u200bwidth",
    "1234567890 12.5% 10–20 1½ 3rd XIV Chapter IV. no. 5",
)
PIECES = st.sampled_from(
    [
        *"aAbeIstxz .,;:!?-–—'\"()[]*_`#@/&%$€£°+=<>|~^\\{}\n\r\t0123456789½",
        *("\u0301", "\u200d", "é", "ß", "😀", "\ud83d", "\ude00", "漢", "ש", "\x00", "\ufeff"),
        *(
            "the ",
            "read ",
            "close ",
            "Dr. ",
            "p.m.",
            "e.g.",
            "No. ",
            "$5",
            "3rd",
            "...",
            "'s",
            "\n\n",
        ),
        *("http://", "www.", ".com", "**", "](", "```", "- ", "1,000", " to ", "II ", "USA "),
    ]
)
RUBBISH = st.lists(PIECES, max_size=25).map("".join)


@pytest.fixture(scope="module")
def pronouncer() -> Pronouncer:
    return Pronouncer(load_lexicon())


def together(outputs: Iterable[FrontEndOutput]) -> FrontEndOutput:
    outputs = list(outputs)
    return FrontEndOutput(
        tuple(s for out in outputs for s in out.symbols),
        tuple(w for out in outputs for w in out.words),
        tuple(w for out in outputs for w in out.warnings),
    )


def speak(pronouncer: Pronouncer, deltas: Iterable[str]) -> FrontEndOutput:
    front = FrontEnd(pronouncer)
    return together([*[front.feed(delta) for delta in deltas], front.end()])


def units(text: str) -> list[str]:
    """UTF-16 code units, each a string: where a client may cut."""
    raw = text.encode("utf-16-le", "surrogatepass")
    return [chr(int.from_bytes(raw[i : i + 2], "little")) for i in range(0, len(raw), 2)]


def spell(symbols: Iterable[Symbol]) -> str:
    out = []
    for s in symbols:
        if s.phone == PAUSE:
            out.append(f"[{MARKS[s.mark]}{'.' if s.ends_sentence else ''}]")
        else:
            out.append(s.phone + (str(s.stress - 1) if s.stress else ""))
    return " ".join(out)


# -- what is said -----------------------------------------------------------------------------


def test_a_word_leaves_when_the_next_character_shows_that_it_is_over(
    pronouncer: Pronouncer,
) -> None:
    front = FrontEnd(pronouncer)
    said = [spell(front.feed(c).symbols) for c in "The cat, he"]
    assert said[:3] == ["", "", ""]
    assert said[3] == "[none] dh ax0"
    assert said[8] == "k ae1 t [comma]"
    assert spell(front.end().symbols) == "hh iy1 [period.]"


def test_sentences_stand_between_pauses(pronouncer: Pronouncer) -> None:
    out = speak(pronouncer, ["Go! The cat sat. Why"])
    assert spell(out.symbols) == (
        "[none] g ow1 [exclamation.] [none] dh ax0 k ae1 t s ae1 t [period.] [none] w ay1 [period.]"
    )


def test_features_of_a_sentence(pronouncer: Pronouncer) -> None:
    out = speak(pronouncer, ["A cat, oh."])
    rows = [(s.phone, s.edge, MARKS[s.mark], s.weight, s.word) for s in out.symbols]
    assert rows == [
        ("pau", 3, "none", 0, -1),
        ("ax", 3, "none", 1, 0),
        ("k", 1, "comma", 0, 1),
        ("ae", 0, "comma", 0, 1),
        ("t", 2, "comma", 0, 1),
        ("pau", 3, "comma", 0, 1),
        ("ow", 3, "period", 0, 2),
        ("pau", 3, "period", 0, 2),
    ]
    assert encode(out.symbols).shape == (8, 5)


def test_one_written_word_may_be_spoken_in_several(pronouncer: Pronouncer) -> None:
    out = speak(pronouncer, ["I see 23, cats"])
    assert out.words[2] == Word(2, "23", 6, 8)
    inside = [s for s in out.symbols if s.word == 2 and s.phone != PAUSE]
    assert spell(inside) == "t w eh1 n t iy0 th r iy1"
    assert [s.edge for s in inside] == [1, 0, 0, 0, 0, 2, 1, 0, 2]
    assert [MARKS[s.mark] for s in inside] == ["none"] * 6 + ["comma"] * 3


def test_words_keep_the_clients_spelling(pronouncer: Pronouncer) -> None:
    text = "Caf\u00e9 na\u0131\u0308ve “COOL”  😀 e\u0301te\u0301 $3.50"
    for word in speak(pronouncer, units(text)).words:
        assert word.text == text[word.char_start : word.char_end]
    assert [w.text for w in speak(pronouncer, ["“Ünïted” 😀 e\u0301te\u0301"]).words] == [
        "Ünïted",
        "e\u0301te\u0301",
    ]


def test_homographs_wait_for_one_word(pronouncer: Pronouncer) -> None:
    front = FrontEnd(pronouncer)
    assert front.feed("close ").words == ()
    assert front.pending_chars == 6
    out = front.feed("the ")
    assert [w.text for w in out.words] == ["close", "the"]
    assert spell(out.symbols) == "[none] k l ow1 z dh ax0"
    assert spell(speak(pronouncer, ["Close. The"]).symbols).startswith("[none] k l ow1 s [period.]")
    assert spell(FrontEnd(pronouncer).feed("to read ").symbols) == "[none] t ax0 r iy1 d"


def test_flush_speaks_all_and_leaves_the_sentence_open(pronouncer: Pronouncer) -> None:
    front = FrontEnd(pronouncer)
    assert spell([*front.feed("A cat").symbols, *front.flush().symbols]) == (
        "[none] ax0 k ae1 t [flush]"
    )
    assert front.pending_chars == 0
    assert front.flush() == FrontEndOutput((), (), ())
    out = together([front.feed(" sat"), front.end()])
    assert spell(out.symbols) == "s ae1 t [period.]"
    assert out.words == (Word(2, "sat", 6, 9),)


def test_flush_behind_a_mark_adds_no_pause(pronouncer: Pronouncer) -> None:
    for text, said in (("Hi, ", "[comma]"), ("Hi. ", "[period.]")):
        front = FrontEnd(pronouncer)
        out = together([front.feed(text), front.flush()])
        assert spell(out.symbols) == f"[none] hh ay1 {said}"


def test_flush_decides_a_homograph_and_half_a_character(pronouncer: Pronouncer) -> None:
    front = FrontEnd(pronouncer)
    out = together([front.feed("close \ud83d"), front.flush()])
    assert spell(out.symbols) == "[none] k l ow1 s [flush]"
    assert front.pending_chars == 0
    assert front.feed("cat ").words == (Word(1, "cat", 7, 10),)


def test_end_closes_the_sentence_once(pronouncer: Pronouncer) -> None:
    assert spell(speak(pronouncer, ["Hi, "]).symbols) == "[none] hh ay1 [comma] [period.]"
    assert spell(speak(pronouncer, ["Hi,"]).symbols) == "[none] hh ay1 [comma.]"
    assert spell(speak(pronouncer, ["Hi. "]).symbols) == "[none] hh ay1 [period.]"
    assert spell(speak(pronouncer, ["Hi "]).symbols) == "[none] hh ay1 [period.]"


@pytest.mark.parametrize(
    "text", ["", " \n\t ", "😀 🎉", "...", "?!", "漢字", "\u0301\u0301", "\x00"]
)
def test_nothing_to_speak(pronouncer: Pronouncer, text: str) -> None:
    out = speak(pronouncer, [text])
    assert out.symbols == ()
    assert out.words == ()


def test_a_word_without_sound_is_reported_and_skipped() -> None:
    class Mute(Pronouncer):
        def pronounce(self, word: str, *args: object, **kwargs: object) -> Phones:
            return () if word == "cat" else super().pronounce(word)

    out = speak(Mute(load_lexicon()), ["The old cat. Cat"])
    assert spell(out.symbols) == "[none] dh ax0 ow1 l d [period.]"
    assert [w.text for w in out.words] == ["The", "old"]
    assert out.warnings == ("lexicon", "lexicon")


# -- for every cut ----------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS)
def test_every_single_cut_and_one_unit_at_a_time(pronouncer: Pronouncer, text: str) -> None:
    whole = speak(pronouncer, [text])
    pieces = units(text)
    assert speak(pronouncer, pieces) == whole
    for i in range(len(pieces)):
        assert speak(pronouncer, ["".join(pieces[:i]), "", "".join(pieces[i:])]) == whole


@settings(max_examples=150, deadline=None, derandomize=True)
@given(text=RUBBISH, data=st.data())
def test_any_cut_of_anything(text: str, data: st.DataObject) -> None:
    pronouncer = Pronouncer(load_lexicon())
    pieces = units(text)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(pieces)), max_size=6)))
    flush_at = data.draw(st.integers(0, len(pieces)))
    whole = speak(pronouncer, [text])
    bounds = [0, *cuts, len(pieces)]
    deltas = ["".join(pieces[a:b]) for a, b in itertools.pairwise(bounds)]
    assert speak(pronouncer, deltas) == whole
    assert speak(pronouncer, pieces) == whole
    check_shape(whole, "".join(pieces))
    # With a flush between: what came before may be cut in any way.
    flushed = []
    for first in (["".join(pieces[:flush_at])], pieces[:flush_at]):
        front = FrontEnd(pronouncer)
        outputs = [*map(front.feed, first), front.flush()]
        flushed.append(together([*outputs, front.feed("".join(pieces[flush_at:])), front.end()]))
        assert front.pending_chars == 0
    assert flushed[0] == flushed[1]


def check_shape(out: FrontEndOutput, text: str) -> None:
    """What every output promises."""
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert [w.index for w in out.words] == list(range(len(out.words)))
    at = 0
    for word in out.words:
        assert at <= word.char_start < word.char_end <= len(text)
        at = word.char_end
    starting = True
    for previous, symbol in zip((None, *out.symbols), out.symbols, strict=False):
        if starting:
            assert (symbol.phone, MARKS[symbol.mark]) == (PAUSE, "none")
        elif symbol.phone == PAUSE:
            assert previous is not None
            assert previous.edge >= 2
            assert symbol.word == previous.word
        else:
            word = out.words[symbol.word]
            assert (symbol.char_start, symbol.char_end) == (word.char_start, word.char_end)
        starting = symbol.ends_sentence
    assert starting or not out.symbols
    assert {s.word for s in out.symbols if s.phone != PAUSE} == {w.index for w in out.words}


# -- cost -------------------------------------------------------------------------------------


HOSTILE = (
    *("1", "a", "A", "1.", "a.", "A.", "1/", "1:", ",1", "_a", "I ", "read ", "http://a", "</b>"),
    *(".", "@", "\u0301", "*", "[](", " ", "\n", "-", "😀", "#", "'", "$", "`", "漢", "(", "&"),
)


def calls(pronouncer: Pronouncer, deltas: Iterable[str]) -> int:
    """Function calls made, Python's and C's: work that does not depend on the machine."""
    count = 0

    def profile(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        speak(pronouncer, deltas)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("unit", HOSTILE)
def test_work_grows_with_the_text_and_no_faster(pronouncer: Pronouncer, unit: str) -> None:
    short, long = unit * (400 // len(unit)), unit * (1600 // len(unit))
    speak(pronouncer, [long])  # letter-to-sound has seen all of it
    assert calls(pronouncer, [long]) < 4.8 * calls(pronouncer, [short])
    assert calls(pronouncer, list(long)) < 4.8 * calls(pronouncer, list(short))


def test_a_long_text_leaves_nothing_behind(pronouncer: Pronouncer) -> None:
    text = "The cat sat on the old mat, and read 23 more books about it. "
    front = FrontEnd(pronouncer)

    def least(times: int) -> int:
        """The least memory in use near the end of so many sentences (buffers fill and empty)."""
        used = []
        for n in range(times):
            for i in range(0, len(text), 5):
                front.feed(text[i : i + 5])
            if n >= times - 24 and n % 3 == 0:
                gc.collect()  # the interpreter's own free lists
                used.append(tracemalloc.get_traced_memory()[0])
        return min(used)

    tracemalloc.start()
    try:
        growth = -least(40) + least(200)
    finally:
        tracemalloc.stop()
    assert growth < 4096  # the text alone is 180 * 61 characters more
    assert front.pending_chars < 10


def test_text_that_says_nothing_is_not_kept(pronouncer: Pronouncer) -> None:
    front = FrontEnd(pronouncer)
    for _ in range(500):
        assert front.feed("😀 ... \n").symbols == ()
        assert front.pending_chars < 50


def test_ten_thousand_letters_are_spoken_in_pieces(pronouncer: Pronouncer) -> None:
    front = FrontEnd(pronouncer)
    outputs = [front.feed("abcdefghij" * 50) for _ in range(20)]
    assert front.pending_chars < 1000
    out = together([*outputs, front.end()])
    assert len(out.symbols) > 3000
    check_shape(out, "abcdefghij" * 1000)
