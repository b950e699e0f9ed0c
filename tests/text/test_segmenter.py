from hypothesis import given
from hypothesis import strategies as st

from streamtts.text.segmenter import Segmenter

UNITS = st.text(alphabet="ab \ud83d\ude00\udc00\ud800\u0301é\n", max_size=12)


def run(deltas: list[str]) -> str:
    segmenter = Segmenter()
    return "".join([segmenter.feed(delta) for delta in deltas]) + segmenter.flush()


def test_plain_text_is_handed_on_at_once() -> None:
    segmenter = Segmenter()
    assert [segmenter.feed(c) for c in "The "] == ["T", "h", "e", " "]
    assert segmenter.flush() == ""


def test_halves_of_a_pair_are_joined_across_deltas() -> None:
    segmenter = Segmenter()
    assert segmenter.feed("a\ud83d") == "a"
    assert segmenter.held == 1
    assert segmenter.feed("") == ""
    assert segmenter.feed("\ude00b") == "😀b"
    assert segmenter.held == 0


def test_lone_halves_are_replaced_one_for_one() -> None:
    assert run(["a\ude00b"]) == "a\ufffdb"
    assert run(["\ud83d\ud83d\ude00"]) == "\ufffd😀"
    assert run(["\ud83d", "b"]) == "\ufffdb"
    assert run(["b\ud83d"]) == "b\ufffd"


def test_flush_forgets_the_half() -> None:
    segmenter = Segmenter()
    segmenter.feed("\ud83d")
    assert segmenter.flush() == "\ufffd"
    assert segmenter.feed("\ude00") == "\ufffd"
    assert segmenter.flush() == ""


def test_combining_marks_and_line_ends_keep_their_length() -> None:
    text = "e\u0301\r\n\x00\u200d"
    assert run(list(text)) == text


@given(st.lists(UNITS, max_size=8))
def test_any_cut_gives_the_same_text_without_surrogates(deltas: list[str]) -> None:
    text = run(deltas)
    assert text == run(["".join(deltas)])
    assert text.encode("utf-8").decode("utf-8") == text


@given(st.text(max_size=12), st.integers(0, 24))
def test_whole_text_cut_between_code_units_comes_back(text: str, at: int) -> None:
    units = text.encode("utf-16-le")
    halves = [
        half.decode("utf-16-le", "surrogatepass") for half in (units[: 2 * at], units[2 * at :])
    ]
    assert run(halves) == text
