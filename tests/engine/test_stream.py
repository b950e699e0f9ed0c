import pytest
from support.fake_voice import REQUEST, Listener, pause, word

from streamtts.engine.stream import MAX_DWELL_STEPS, MAX_UNIT_SYMBOLS, Stream


def new_stream(flush_steps=4):
    return Stream(
        1, REQUEST, Listener(), 0.0, flush_steps=flush_steps, first_frames=6, frame_s=0.0125
    )


def encode_all(stream, lookahead=3):
    """As an encoder does that holds back `lookahead` symbols."""
    held = stream.encoded - stream.final
    units = []
    while (unit := stream.to_encode()) is not None:
        symbols, future = unit
        units.append((len(symbols), future))
        held += len(symbols)
        ready = held if future != "more" else max(0, held - lookahead)
        stream.on_encoded(len(symbols), ready)
        held -= ready
        if not symbols and not ready:
            break
    return units


def walk(stream, limit=1000):
    """Steps with two steps on every symbol; returns the positions."""
    positions = []
    while stream.can_step and len(positions) < limit:
        stream.before_step()
        positions.append(stream.position)
        stream.after_step(0.5, leave=stream.dwell == 1, frames=2)
        stream.on_chunk(stream.frames_due)
    return positions


def test_units_are_encoded_one_by_one_with_what_is_known_behind_them():
    stream = new_stream()
    stream.feed([pause(), *word(0, 3), *word(1, 1), pause("flush", 1), *word(2, 2)], 0.0)
    stream.feed([pause("period", 2, ends=True), pause(), *word(3)], 0.0)
    assert encode_all(stream) == [
        (1, "more"), (3, "more"), (1, "more"), (1, "more"), (0, "unknown"), (2, "more"), (1, "end"),
        (1, "more"), (4, "more"),
    ]  # fmt: skip


@pytest.mark.parametrize("more", [[], word(1, 2)])
def test_the_encoder_is_asked_the_same_whenever_a_flush_comes(more):
    early, late = new_stream(), new_stream()
    first = [pause(), *word(0, 3), pause("comma", 0)]
    for stream in (early, late):
        stream.feed(first, 0.0)
    early.flush(0.0)
    early.feed(more, 0.0)
    units = encode_all(early)
    assert units[:4] == [(1, "more"), (3, "more"), (1, "more"), (0, "unknown")]
    before = encode_all(late)
    late.flush(1.0)
    late.feed(more, 1.0)
    assert before + encode_all(late) == units


def test_a_word_is_entered_when_all_of_it_and_the_row_behind_it_are_there():
    stream = new_stream()
    stream.feed([pause(), *word(0, 5)], 0.0)
    encode_all(stream)
    assert walk(stream) == [0, 0]  # the pause needs one row behind it; the word is not final
    stream.feed(word(1, 3), 0.0)
    encode_all(stream)
    assert walk(stream) == []
    stream.feed(word(2, 1), 0.0)
    encode_all(stream)
    assert stream.final == 1 + 5 + 4 - 3
    assert walk(stream) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert not stream.must_move


def test_a_flush_mark_lets_it_go_on_without_more():
    stream = new_stream()
    stream.feed([pause(), *word(0, 2)], 0.0)
    encode_all(stream)
    assert walk(stream) == []
    stream.flush(0.0)
    assert stream.must_move
    encode_all(stream)
    assert walk(stream) == [0, 0, 1, 1, 2, 2]
    assert not stream.can_step
    assert not stream.must_move
    assert not stream.finished


def test_it_lingers_on_a_pause_at_which_text_ran_out():
    stream = new_stream(flush_steps=5)
    stream.feed([pause(), *word(0, 2), pause("flush", 0)], 0.0)
    encode_all(stream)
    assert walk(stream) == [0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 3]
    assert stream.frames_pending == 0  # and everything is due behind it
    stream.end(0.0)
    assert stream.finished


def test_a_comma_pause_is_not_lingered_on():
    stream = new_stream(flush_steps=5)
    stream.feed([pause(), *word(0, 2), pause("comma", 0), *word(1, 2)], 0.0)
    stream.feed([pause("period", 1, ends=True)], 0.0)
    encode_all(stream)
    positions = walk(stream)
    assert positions == [p for p in range(7) for _ in range(2)]
    assert not stream.finished
    stream.end(0.0)
    assert stream.finished


def test_a_late_flush_lengthens_the_pause_it_finds():
    stream = new_stream(flush_steps=5)
    stream.feed([pause(), *word(0, 2), pause("period", 0, ends=True)], 0.0)
    encode_all(stream)
    assert walk(stream)[-2:] == [3, 3]
    stream.flush(0.0)
    assert walk(stream) == [3, 3, 3]
    assert walk(stream) == []


def test_a_new_sentence_restarts_and_reads_nothing_of_the_next():
    stream = new_stream()
    stream.feed([pause(), *word(0, 1), pause("period", 0, ends=True)], 0.0)
    stream.feed([pause(), *word(1, 1), pause("period", 1, ends=True)], 0.0)
    encode_all(stream)
    rows = []
    while stream.can_step:
        rows.append(stream.before_step())
        stream.after_step(1.0, leave=True, frames=2)
    assert [passed for passed, _, _ in rows] == [0, 1, 1, 1, 1, 1]
    assert [restart for _, restart, _ in rows] == [False, False, False, True, False, False]
    assert [has for _, _, has in rows] == [True, True, False, True, True, False]


def test_nobody_dwells_for_ever():
    stream = new_stream()
    stream.feed([pause(), *word(0, 1), pause("period", 0, ends=True)], 0.0)
    encode_all(stream)
    steps = 0
    while stream.can_step:
        stream.before_step()
        stream.after_step(0.0, leave=False, frames=2)
        steps += 1
    assert steps == 3 * MAX_DWELL_STEPS


def test_a_huge_word_comes_in_pieces():
    stream = new_stream()
    stream.feed(word(0, 3 * MAX_UNIT_SYMBOLS - 5), 0.0)
    assert [n for n, _ in encode_all(stream)] == [MAX_UNIT_SYMBOLS] * 2 + [MAX_UNIT_SYMBOLS - 5]


def test_the_cuts_of_the_sound_do_not_depend_on_when_frames_come():
    def cuts(step_frames):
        stream = new_stream()
        sizes = []
        for _ in range(0, 240, step_frames):
            stream.frames_pending += step_frames
            while stream.frames_due:
                sizes.append(stream.frames_due)
                stream.on_chunk(stream.frames_due)
        return sizes

    assert cuts(2)[:7] == cuts(24)[:7] == [6, 8, 8, 16, 16, 16, 16]
