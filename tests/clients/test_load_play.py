"""The load client's listener: underruns, starvation and gaps, counted to the chunk."""

import pytest
from support.client_modules import client_module

from streamtts.protocol.messages import Done, Error, Opened, Started, Words
from streamtts.protocol.parts import AudioInfo, Item, Metrics

load_play = client_module("load_play")
load_spec = client_module("load_spec")
load_stream = client_module("load_stream")
load_tally = client_module("load_tally")
Arrival = client_module("load_arrivals").Arrival

CHUNK = 1280  # 40 ms of 16 kHz in 16 bits
METRICS = Metrics(ttfa_ms=1, rtf=0.1, queue_ms=0, steps=1, underruns=0, starved_ms=0)


class Listener:
    """A stream whose window is 100 to 110 s, with its text given at 100 s."""

    def __init__(self, pieces=("Hello world.",), at_s=0.0, **spec):
        self.tally = load_tally.Tally(100.0, 110.0)
        self.posted = []
        asked = load_spec.LoadSpec(**spec)
        self.stream = load_stream.Stream(7, Arrival(at_s, pieces), asked, 0.1, self.tally)
        self.stream.give(100.0 + at_s, self.posted.append)
        self.opened()

    def opened(self, encoding="pcm_s16le"):
        info = AudioInfo(encoding=encoding, sample_rate=16000)
        self.tell(100.0, Opened(context_id="s7", handle=1, audio=info))

    def tell(self, now_s, message):
        self.stream.on_message(now_s, message)

    def hear(self, *times, size=CHUNK):
        for now_s in times:
            self.stream.on_audio(now_s, size)
        return self.stream.report()


def test_the_playout_starts_with_the_first_arrival_and_slips_by_what_is_late():
    playout = load_play.Playout()
    assert playout.arrived(10.0, 0.04) == 0.0
    assert playout.arrived(10.01, 0.04) == 0.0
    assert playout.end_s == pytest.approx(10.08)
    assert playout.arrived(10.08, 0.04) == 0.0  # just in time
    assert playout.arrived(10.15, 0.04) == pytest.approx(0.03)
    assert playout.end_s == pytest.approx(10.19)
    assert playout.arrived(10.19, 0.04) == 0.0  # the deadline has slipped
    assert playout.late_by(10.20) == 0.0
    assert playout.late_by(10.25) == pytest.approx(0.02)


def test_nobody_waits_before_the_first_arrival():
    assert load_play.Playout().late_by(1e9) == 0.0


def test_each_late_chunk_is_one_underrun():
    listener = Listener()
    report = listener.hear(100.5, 100.53, 100.60, 100.64, 100.70, 100.71)
    # plays to .54, .58 | .60: 20 ms late -> .64 | .64 in time -> .68 | .70: 20 ms late -> .74, .78
    assert report.underruns == 2
    assert report.late_ms == pytest.approx(40.0)
    assert [late.late_s for late in listener.tally.underruns] == pytest.approx([0.02, 0.02])
    assert [late.at_s for late in listener.tally.underruns] == pytest.approx([100.58, 100.68])
    assert report.ttfa_ms == pytest.approx(500.0)
    assert report.chunks == 6
    assert report.audio_s == pytest.approx(0.24)
    assert report.starved_ms == 0.0
    assert listener.tally.in_time_s == pytest.approx(0.16)
    assert listener.stream.end_s == pytest.approx(100.78)


def test_gaps_are_those_between_arrivals_inside_the_window():
    listener = Listener(at_s=-1.0)
    report = listener.hear(99.90, 99.91, 100.00, 100.03, 109.99, 110.00)
    assert list(listener.tally.gaps_ms) == pytest.approx([90.0, 30.0, 9960.0])
    assert (report.gaps.n, report.gaps.max) == (3, pytest.approx(9960.0))
    assert listener.tally.chunks == 3
    assert not report.measured
    assert report.start_s == -1.0


def test_an_underrun_belongs_to_where_the_sound_ran_out():
    listener = Listener(at_s=-1.0)
    report = listener.hear(99.0, 99.50, 99.60)  # runs out at 99.04 and 99.54
    assert (report.underruns, listener.tally.ramp_underruns) == (0, 2)
    report = listener.hear(101.0)  # at 99.64
    assert (report.underruns, listener.tally.ramp_underruns) == (0, 3)
    report = listener.hear(109.0)  # at 101.04
    assert report.underruns == 1
    assert listener.hear(120.0).underruns == 2  # ran out at 109.04, in the window
    assert listener.hear(130.0).underruns == 2  # after it


def test_a_chunk_without_samples_is_no_arrival():
    listener = Listener()
    assert listener.hear(100.1, size=0).ttfa_ms is None
    assert listener.hear(100.2).ttfa_ms == pytest.approx(200.0)
    assert listener.hear(105.0, size=0).underruns == 0


def test_a_chunk_that_never_came_is_late_at_the_end():
    listener = Listener()
    listener.hear(100.5)
    listener.stream.stop(112.0)
    assert listener.stream.report().underruns == 1
    assert listener.stream.report().late_ms == pytest.approx(112_000 - 100_540)


def test_nothing_is_missing_after_done():
    listener = Listener()
    listener.hear(100.5)
    listener.tell(
        100.51, Done(context_id="s7", reason="end", samples=640, chars=12, metrics=METRICS)
    )
    assert listener.stream.spoken
    listener.stream.stop(112.0)
    report = listener.stream.report()
    assert report.done
    assert (report.underruns, report.error) == (0, "")
    assert listener.tally.alive == [(100.5, 1), (pytest.approx(100.54), -1)]


def test_done_without_a_sound_is_a_failure():
    listener = Listener()
    listener.tell(101.0, Done(context_id="s7", reason="end", samples=0, chars=0, metrics=METRICS))
    assert listener.stream.report().error == "done without a sound"


@pytest.mark.parametrize(
    ("sent", "spoken", "starved"),
    [(3, 4, True), (3, 8, True), (5, 4, False), (5, 13, True), (6, 25, False)],
)
def test_starved_is_who_has_no_more_than_the_look_ahead(sent, spoken, starved):
    pieces = ("One", " two", " three", " four", " five", " six.")
    assert load_play.is_starved(pieces, sent, spoken) is starved


@pytest.mark.parametrize(("now_s", "sent"), [(9.9, 0), (10.0, 1), (10.49, 1), (10.5, 2), (99, 4)])
def test_pieces_are_sent_at_their_rate(now_s, sent):
    assert load_play.sent_by(("a", "b", "c", "d"), 10.0, 2.0, now_s) == sent


SLOW = ("One", " two", " three", " four", " five", " six", " seven.")


def words(*items):
    made = [Item(index=i, text="w", start=start, char_start=0, char_end=end)
            for i, (start, end) in enumerate(items)]  # fmt: skip
    return Words(context_id="s7", items=tuple(made))


def test_a_gap_without_text_is_starved_and_no_underrun():
    listener = Listener(SLOW, text="tokens", tokens_per_s=1.0)
    listener.hear(100.5)
    listener.tell(100.5, words((0, 3), (9_999, 7)))  # of the words that have begun: the first
    report = listener.hear(102.5)  # at 100.54 one word had come, and it was spoken
    assert (report.underruns, report.starved_ms) == (0, pytest.approx(1960.0))
    assert listener.tally.starved_ms == pytest.approx(1960.0)


def test_a_gap_with_text_is_an_underrun_though_more_text_comes():
    listener = Listener(SLOW, text="tokens", tokens_per_s=1.0)
    listener.tell(104.0, words((0, 3)))
    report = listener.hear(104.0, 106.0)  # at 104.04 five words had come, and one was spoken
    assert (report.underruns, report.starved_ms) == (1, 0.0)


def test_without_words_the_time_tells_what_was_spoken():
    listener = Listener(SLOW, text="tokens", tokens_per_s=1.0)
    report = listener.hear(104.0, 106.0)  # 40 ms are no character: an underrun
    assert report.underruns == 1
    report = listener.hear(110.5, size=32_000)  # one second; ran dry at 106.04, with all the text
    assert report.underruns == 2


def test_text_that_is_whole_never_starves():
    listener = Listener(("Hello",), text="tokens", tokens_per_s=0.001)
    assert listener.hear(100.5, 102.0).underruns == 1


@pytest.mark.parametrize("code", ["capacity", "loading", "context_limit"])
def test_a_refusal_is_no_failure(code):
    listener = Listener()
    listener.tell(100.012, Error(context_id="s7", code=code, message="full", final=True))
    report = listener.stream.report()
    assert (report.refused, report.error) == (code, "")
    assert report.refusal_ms == pytest.approx(12.0)
    assert report.ttfa_ms is None


def test_a_server_that_gives_up_in_the_middle_has_failed():
    listener = Listener()
    listener.hear(100.1)
    listener.tell(100.2, Error(context_id="s7", code="capacity", message="sorry", final=True))
    assert listener.stream.report().error == "capacity: sorry"
    assert listener.stream.report().refused == ""


def test_an_error_that_is_not_final_changes_nothing():
    listener = Listener()
    listener.tell(100.2, Error(context_id="s7", code="bad_field", message="hm"))
    assert not listener.stream.spoken


def test_a_format_without_lengths_is_refused():
    listener = Listener()
    listener.opened("mp3")
    assert "mp3" in listener.stream.report().error


def test_queue_time_is_what_the_server_says():
    listener = Listener()
    listener.tell(100.3, Started(context_id="s7", ttfa_ms=5.0, queue_ms=3.5))
    assert listener.stream.report().queue_ms == 3.5


def test_what_is_sent():
    listener = Listener(("One", " two."), text="tokens", frame_ms=80, voice="v1")
    first = load_stream.msgspec.json.decode(listener.posted[0])
    assert first == {
        "type": "text",
        "context_id": "s7",
        "text": "One",
        "audio": {"encoding": "pcm_s16le", "frame_ms": 80},
        "timestamps": ["word"],
        "on_conflict": "parallel",
        "voice": "v1",
    }
    listener.stream.give_piece(1, listener.posted.append)
    rest = [load_stream.msgspec.json.decode(message) for message in listener.posted[1:]]
    assert rest == [
        {"type": "text", "context_id": "s7", "text": " two."},
        {"type": "end", "context_id": "s7"},
    ]


def test_presence_and_timeline():
    tally = load_tally.Tally(100.0, 103.0)
    tally.alive += [(99.0, 1), (101.0, 1), (102.0, -1), (103.5, -1)]
    for now_s, gap_s in ((100.2, 0.01), (100.9, 0.03), (102.5, 0.02)):
        tally.chunk(now_s, 0.04, gap_s, late=False)
    tally.underrun(load_tally.Late(102.4, 0.1, 1))
    mean, most = tally.presence(103.0)
    assert mean == pytest.approx((1 + 2 + 1) / 3)
    assert most == 2
    seconds = tally.timeline(103.0)
    assert [(x.at_s, x.alive, x.chunks, x.underruns) for x in seconds] == [
        (0, 1, 2, 0), (1, 2, 0, 0), (2, 1, 1, 1)]  # fmt: skip
    assert seconds[0].gap_max_ms == pytest.approx(30.0)


def test_an_underrun_within_the_clients_own_lag_is_doubtful():
    tally = load_tally.Tally(100.0, 110.0)
    tally.underrun(load_tally.Late(105.0, 0.004, 1))  # seen at 105.004
    tally.underrun(load_tally.Late(106.0, 0.004, 2))
    quiet = [(100.0 + at * 0.05, 0.0001) for at in range(200)]
    assert tally.doubtful(quiet) == 0
    lagging = [(at_s, 0.005 if 104.99 < at_s < 105.06 else late) for at_s, late in quiet]
    assert tally.doubtful(lagging) == 1


def test_percentiles_are_values_that_were_measured():
    values = load_tally.spread(list(range(1, 101)))
    assert (values.n, values.p50, values.p95, values.p99, values.max) == (100, 50, 95, 99, 100)
    assert load_tally.spread([3.0]).p99 == 3.0
    assert load_tally.spread([]).n == 0
