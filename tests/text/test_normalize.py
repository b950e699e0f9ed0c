from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtts.text.normalize import Normalizer, Spoken
from streamtts.text.tokens import MAX_RUN, Window

TABLE = tomllib.loads(Path(__file__).with_name("normalize_cases.toml").read_text("utf-8"))
CASES = [(group, *case) for group, cases in TABLE.items() for case in cases]
MARKS = ("", ",", ".", "?", "!")


def normalizer(group: str) -> Normalizer:
    return Normalizer(text_format="markdown" if group == "markdown" else "plain")


def speak(pieces: list[str], group: str = "prose") -> list[Spoken]:
    text = normalizer(group)
    out = [spoken for piece in pieces for spoken in text.feed(piece)]
    return out + text.flush(True)


def shown(spoken: list[Spoken]) -> str:
    out = ""
    for item in spoken:
        out += (" " if out and item.words else "") + " ".join(item.words) + MARKS[item.mark]
    return out


@pytest.mark.parametrize(("group", "text", "words"), CASES)
def test_table(group: str, text: str, words: str) -> None:
    assert shown(speak([text], group)) == words


@pytest.mark.parametrize(("group", "text", "words"), CASES)
def test_table_letter_by_letter(group: str, text: str, words: str) -> None:
    assert speak(list(text), group) == speak([text], group)


def test_the_table_is_large() -> None:
    assert len(CASES) >= 300
    assert len({(group == "markdown", text) for group, text, _ in CASES}) == len(CASES)


PIECES = st.lists(
    st.one_of(
        st.sampled_from([text for _, text, _ in CASES]),
        st.sampled_from(
            list(" \n.,!?'\"-–—()[]*_`#@/:;$€%&+=<>~|^°½²e\u0301\u200b😀\ud83d\ude00你α")
        ),
        st.sampled_from(["Mr", "St", "No", "A", "I", "IV", "a", "m", "p", "US", "IT", "May", "v"]),
        st.text(max_size=6),
        st.integers(0, 99999).map(str),
    ),
    max_size=14,
).map("".join)


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(PIECES, st.lists(st.integers(0, 400), max_size=12), st.booleans(), st.booleans())
def test_the_cut_does_not_matter(
    text: str, cuts: list[int], markdown: bool, normalize: bool
) -> None:
    def run(pieces: list[str]) -> list[Spoken]:
        reader = Normalizer(text_format="markdown" if markdown else "plain", normalize=normalize)
        out = [spoken for piece in pieces for spoken in reader.feed(piece)]
        out += reader.flush(True)
        assert reader.pending_chars == 0
        return out

    edges = [0, *sorted(c % (len(text) + 1) for c in cuts), len(text)]
    whole = run([text])
    assert run([text[a:b] for a, b in pairwise(edges)]) == whole
    assert run(list(text)) == whole
    well_formed(whole, len(text))


def well_formed(items: list[Spoken], chars: int) -> None:
    end = 0
    for item in items:
        assert end <= item.char_start <= item.char_end <= chars
        assert item.char_start < item.char_end or not item.words
        end = item.char_end
        assert item.words or item.mark
        assert 0 <= item.mark <= 4
        assert item.ends_sentence == (item.mark >= 2)
        for word in item.words:
            assert re.fullmatch(r"[A-Z]|[a-z']*[a-z][a-z']*", word), word


@pytest.mark.parametrize(
    ("text", "handed_on"),
    [
        ("The", 0),
        ("The ", 1),
        ("The quick", 1),
        ("The quick,", 1),
        ("The quick, ", 2),
        ("The end.", 1),
        ("The end. ", 2),
        ("It's", 0),
        ("It's ", 1),
        ("Mr.", 1),
        ("St. ", 0),
        ("well-", 0),
        ("well-k", 1),
        ("5 ", 0),
        ("5 k", 0),
        ("5 km", 0),
        ("5 km ", 1),
        ("5 apples ", 2),
        ("the IT ", 1),
        ("the IT d", 1),
        ("in May ", 2),
    ],
)
def test_nothing_waits_longer_than_it_must(text: str, handed_on: int) -> None:
    assert len(Normalizer().feed(text)) == handed_on


def test_spans_point_into_the_text_that_was_fed() -> None:
    text = "Ｈｉ,  caf\u0065\u0301 costs $3.50 — “well”, 5 km.\n"
    spans = [text[s.char_start : s.char_end] for s in speak([text])]
    assert spans == ["Ｈｉ", "caf\u0065\u0301", "costs", "$3.50", "—", "well", "5 km"]


def test_a_mark_that_comes_late_is_a_bare_pause() -> None:
    items = speak(["one ", "— ", "two", "\n", "\n"])
    assert [(i.words, i.mark, i.ends_sentence) for i in items] == [
        (("one",), 0, False),
        ((), 1, False),
        (("two",), 0, False),
        ((), 2, True),
    ]


def test_flush_hands_on_everything_and_feeding_goes_on() -> None:
    reader = Normalizer()
    assert [i.words for i in reader.feed("Hello wor")] == [("hello",)]
    assert reader.pending_chars == 3
    assert [i.words for i in reader.flush(False)] == [("wor",)]
    assert reader.pending_chars == 0
    assert reader.flush(False) == []
    (item,) = reader.feed("then ")
    assert (item.words, item.char_start, item.char_end) == (("then",), 9, 13)


def test_flush_treats_an_abbreviation_as_final() -> None:
    reader = Normalizer()
    assert reader.feed("apples, etc.")[0].words == ("apples",)
    (item,) = reader.flush(False)
    assert (item.words, item.mark, item.ends_sentence) == (("et", "cetera"), 2, True)


def test_without_normalisation_only_words_and_punctuation() -> None:
    reader = Normalizer(normalize=False)
    assert shown(reader.feed("Dogs & cats, 42 of $5! See 3/4. Go *now*.\n")) == (
        "dogs cats, four two of five! see three four. go now."
    )


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="text_format"):
        Normalizer(text_format="ssml")


def test_a_fence_that_is_not_closed_is_silent_and_ends_with_the_text() -> None:
    reader = Normalizer(text_format="markdown")
    assert shown(reader.feed("So:\n```\nx = 1\ny = 2\n")) == "so,."
    assert reader.flush(False) == []
    assert shown(reader.feed("```\nAfter. ")) == "after."


LOOKS = 300  # at tokens, for each character: a bound that does not depend on the length
HOSTILE = [
    "a", "1", ".", "@", "\u0301", "e\u0301", "**", "[[", "](", "a.", "1.", "1,", "1,111,", "1-",
    "1/", "1:", "1 ", "a-", "a'", "'", '"', "(", "#", "$", "$1", "<a", "<", "&", "&amp;", "|",
    "|-", "\n", "\n-", "- ", "`", "```", "😀", "你", "I", "IV ", "A ", "A.", "U.S. ", "No. ",
    "http://", "a@", "a_", "a_1", "½", "²", "α", "=", "+", "5 ", "5 k", "555 ", "(555) ", "\0",
    "?!", "…", "— ", "\ud83d", "!", "-", "1.1.", "v1", "May 5 ", "St. ", "'s", "HTML", "aB",
    "ß",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_is_linear(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    begun = Window._begun

    def counted(self: Window, k: int) -> tuple[str, str]:
        nonlocal looks
        looks += 1
        return begun(self, k)

    monkeypatch.setattr(Window, "_begun", counted)
    chars = 2000
    text = (unit * chars)[:chars]
    for text_format, step in (("plain", 1), ("markdown", 1), ("plain", 997)):
        looks = 0
        reader = Normalizer(text_format=text_format)
        items = [i for at in range(0, chars, step) for i in reader.feed(text[at : at + step])]
        items += reader.flush(True)
        well_formed(items, chars)
        assert looks < LOOKS * chars
        assert reader.pending_chars == 0


@pytest.mark.parametrize("char", ["a", "1"])
def test_a_very_long_word_is_cut(char: str) -> None:
    items = speak([char] * (3 * MAX_RUN + 1))
    assert [i.char_end for i in items] == [MAX_RUN, 2 * MAX_RUN, 3 * MAX_RUN, 3 * MAX_RUN + 1]
    if char == "1":
        assert {w for i in items for w in i.words} == {"one"}


def test_what_is_dropped_is_not_pending():
    normalizer = Normalizer()
    assert all(normalizer.feed("\N{GRINNING FACE}" * 10) == [] for _ in range(50))
    assert normalizer.pending_chars == 0
    assert [s.words for s in normalizer.feed("Hello ")] == [("hello",)]
    assert normalizer.pending_chars <= 1
