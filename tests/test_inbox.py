import pytest

from streamtts.errors import TextTooLong
from streamtts.inbox import END, FLUSH, MAX_FLUSHES, SLICE_CHARS, TEXT, Inbox, Piece


def pieces(inbox):
    found = []
    while (piece := inbox.take()) is not None:
        found.append(piece)
    return found


def test_letters_come_out_together_and_novels_in_slices():
    inbox = Inbox()
    for letter in "hello":
        inbox.feed(letter)
    inbox.flush("f")
    inbox.feed("x" * (2 * SLICE_CHARS + 1))
    inbox.end()
    assert inbox.chars == inbox.waiting_chars == 5 + 2 * SLICE_CHARS + 1
    got = pieces(inbox)
    assert got[:2] == [Piece(TEXT, "hello"), Piece(FLUSH, "f")]
    assert [len(p.value or "") for p in got[2:5]] == [SLICE_CHARS, SLICE_CHARS, 1]
    assert got[5:] == [Piece(END, None)]
    assert inbox.waiting_chars == 0


def test_the_whole_text_is_remembered():
    inbox = Inbox()
    text = "".join(chr(97 + i % 26) for i in range(3000))
    for letter in text:
        inbox.feed(letter)
    assert inbox.text(2000) == text[:2000]
    assert len(inbox._text) <= SLICE_CHARS


def test_halves_of_a_pair_are_joined_and_lone_ones_replaced():
    inbox = Inbox()
    for unit in ("a\ud83d", "\ude00", "\ud83d"):
        inbox.feed(unit)
    inbox.end()
    assert inbox.text(9) == "a\U0001f600\ufffd"
    assert inbox.chars == 3


def test_flushes_are_counted():
    inbox = Inbox()
    for i in range(MAX_FLUSHES):
        inbox.flush(str(i))
    with pytest.raises(TextTooLong):
        inbox.flush("more")
    assert len(pieces(inbox)) == MAX_FLUSHES
    inbox.flush("again")


def test_nothing_comes_after_the_end():
    inbox = Inbox()
    inbox.feed("a")
    assert not inbox.end_if_empty()
    pieces(inbox)
    assert inbox.end_if_empty()
    inbox.feed("b")
    inbox.flush("c")
    inbox.end()
    assert pieces(inbox) == []
