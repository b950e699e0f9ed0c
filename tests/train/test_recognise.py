from streamtts.train.recognise import Heard, repeated, skipped, word_errors


def test_word_errors_counts_the_cheapest_way():
    errors = word_errors("a b c d".split(), "a x c c d".split())
    assert errors.errors == 2
    errors = word_errors("a b c".split(), "a c".split())
    assert (errors.errors, errors.deleted) == (1, (1,))
    assert word_errors("a b".split(), "a b b".split()).inserted in (((1, "b"),), ((0, "b"),))
    assert word_errors([], ["a"]).errors == 1
    assert word_errors(["a"], []).deleted == (0,)


def test_a_word_is_skipped_only_when_its_time_is_missing_too():
    expected = ("one", "two", "three")
    teacher = Heard(expected, (0.3, 0.3, 0.4))
    missing = Heard(("one", "three"), (0.3, 0.05, 0.4))
    assert skipped(expected, missing, teacher) == ["two"]
    misheard = Heard(("one", "three"), (0.3, 0.28, 0.4))
    assert skipped(expected, misheard, teacher) == []
    assert skipped(expected, missing, Heard(("one", "three"), (0.3, 0.3, 0.4))) == []


def test_a_word_is_repeated_when_it_is_heard_twice_beside_itself():
    expected = ("one", "two", "three")
    teacher = Heard(expected, ())
    assert repeated(expected, Heard(("one", "two", "two", "three"), ()), teacher) == ["two"]
    assert repeated(expected, Heard(("one", "two", "uh", "three"), ()), teacher) == []
    assert repeated(expected, Heard(("one", "two", "two", "three"), ()),
                    Heard(("one", "two", "two", "three"), ())) == []  # fmt: skip
