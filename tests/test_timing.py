from support.fake_voice import pause, word

from streamtts.engine.sink import Step
from streamtts.events import Alignment, Flushed, Phones, TimedItem, Words
from streamtts.text.frontend import Word
from streamtts.timing import Timing

PIECES = [
    ([pause(), *word(0, 2, at=0)], [Word(0, "Word", 0, 4)]),
    ([*word(1, 1, at=5), pause("period", 1, 9, ends=True)], [Word(1, "next", 5, 9)]),
]


def new_timing(**wanted):
    wanted = {"alignment": False, "words": False, "phones": False} | wanted
    timing = Timing(100.0, **wanted)
    for symbols, words in PIECES:
        timing.add(symbols, words)
    return timing


def steps(first, *positions):
    """One step on each position, left behind when the next one is another."""
    ahead = [*positions[1:], None]
    return [
        Step(first + i, p, 0.5, following != p)
        for i, (p, following) in enumerate(zip(positions, ahead, strict=True))
    ]


def test_words_are_told_when_they_begin_and_when_they_end():
    timing = new_timing(words=True)
    timing.advance(steps(0, 0, 1, 1, 2, 3))
    assert timing.due(100) == []
    assert timing.due(101) == [Words((TimedItem(0, "Word", 100, None, 0, 4),))]
    assert timing.due(200) == []
    assert timing.due(400) == [Words((TimedItem(0, "Word", 100, 400, 0, 4),))]
    assert timing.due(1000) == [Words((TimedItem(1, "next", 400, 500, 5, 9),))]
    assert timing.due(10**9) == []
    assert (timing.backlog, timing.fed, timing.fed_char, timing.spoken_char) == (1, 5, 9, 9)


def test_phones_and_alignment():
    timing = new_timing(phones=True, alignment=True)
    timing.advance(steps(0, 0, 1, 2))
    alignment, phones = timing.due(250)
    assert isinstance(alignment, Alignment)
    assert [(s.sample, s.position) for s in alignment.steps] == [(0, 0), (100, 1), (200, 2)]
    assert [s.position for s in alignment.symbols] == [0, 1, 2]
    assert isinstance(phones, Phones)
    assert [(p.index, p.start, p.end) for p in phones.items] == [(1, 100, 200), (2, 200, None)]


def test_a_symbol_is_told_with_its_first_step():
    timing = new_timing(alignment=True)
    timing.advance(steps(0, 0, 1, 1, 2))
    told = [timing.due(until)[0] for until in (100, 200, 300, 400)]
    assert [[s.position for s in a.symbols] for a in told] == [[0], [1], [], [2]]


def test_flushes_wait_for_the_word_before_them():
    timing = Timing(100.0, alignment=False, words=False, phones=False)
    timing.flush("first")
    assert timing.flushed(0) == [Flushed("first", 0)]
    timing.add(*PIECES[0])
    timing.flush("a")
    timing.add(*PIECES[1])
    timing.flush(None)
    assert timing.flushed(10**9) == []
    timing.advance(steps(0, 0, 1, 2))
    assert timing.flushed(299) == []
    assert timing.flushed(300) == [Flushed("a", 300)]
    timing.advance(steps(3, 3))
    timing.flush("late")
    assert timing.flushed(400) == [Flushed(None, 400), Flushed("late", 400)]


def test_what_was_heard_counts_whole_words():
    timing = new_timing()
    timing.advance(steps(0, 0, 1, 2, 3))
    assert timing.heard(299) == (0, 0)
    assert timing.heard(300) == (4, 1)
    assert timing.heard(399) == (4, 1)
    assert timing.heard(10**9) == (9, 2)


def test_a_written_word_of_several_spoken_ones_ends_with_the_last():
    timing = Timing(100.0, alignment=False, words=True, phones=False)
    timing.add([pause(), *word(0, 1), *word(0, 2)], [Word(0, "42", 0, 2)])
    timing.advance(steps(0, 0, 1, 2, 3))
    assert timing.due(1000) == [Words((TimedItem(0, "42", 100, 400, 0, 2),))]


def test_nothing_is_kept_of_what_is_over():
    timing = Timing(100.0, alignment=True, words=True, phones=True)
    for i in range(200):
        timing.add(word(i), [Word(i, "word", 0, 4)])
        first = 4 * i
        timing.advance(steps(first, first, first + 1, first + 2, first + 3))
        timing.due(100 * (first + 4))
    kept = (
        timing._ahead, timing._steps, timing._entered, timing._written, timing._last_phone,
        timing._words._items, timing._phones._items,
    )  # fmt: skip
    assert sum(map(len, kept)) == 0
