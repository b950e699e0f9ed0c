from streamtts.client.playout import PlayoutClock, Transcript
from streamtts.protocol.parts import Item


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_sound_is_played_in_real_time_from_its_first_arrival():
    clock = Clock()
    playout = PlayoutClock(16000, clock)
    clock.now += 5
    assert playout.played_samples == 0
    playout.arrived(16000)
    clock.now += 0.25
    assert playout.played_samples == 4000
    assert playout.remaining_s == 0.75
    assert playout.underruns == 0


def test_a_late_chunk_is_one_underrun_and_moves_the_rest():
    clock = Clock()
    playout = PlayoutClock(16000, clock)
    playout.arrived(16000)
    clock.now += 3
    assert playout.played_samples == 16000
    playout.arrived(32000)
    assert playout.underruns == 1
    clock.now += 0.5
    assert playout.played_samples == 24000
    playout.arrived(40000)
    clock.now += 1
    assert playout.played_samples == 40000
    playout.arrived(48000)
    assert playout.underruns == 1  # the next chunk came at the very moment


def test_what_was_there_already_changes_nothing():
    clock = Clock()
    playout = PlayoutClock(16000, clock)
    playout.arrived(1600)
    clock.now += 1
    playout.arrived(1600)
    assert playout.underruns == 0
    assert playout.played_samples == 1600


def word(index, start, char_start, char_end):
    return Item(index=index, text="", start=start, char_start=char_start, char_end=char_end)


def test_words_are_heard_when_they_begin():
    text = "Hello, world! More"
    transcript = Transcript()
    transcript.add([word(0, 0, 0, 5), word(1, 8000, 7, 12)])
    assert transcript.heard(text, 0) == ""
    assert transcript.heard(text, 1) == "Hello,"
    assert transcript.heard(text, 8000) == "Hello,"
    assert transcript.heard(text, 8001) == "Hello, world!"


def test_a_word_that_is_told_again_replaces_itself():
    transcript = Transcript()
    transcript.add([word(0, 500, 0, 3)])
    transcript.add([word(0, 100, 0, 3)])
    assert transcript.heard("one two", 101) == "one"
