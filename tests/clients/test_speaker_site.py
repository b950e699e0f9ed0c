"""What a loudspeaker does with each message, without a broker."""

import json

import pytest
from support.client_modules import client_module

from streamtts.errors import BadField
from streamtts.protocol.frames import FADED, FIRST, LAST, pack_header

wire = client_module("speaker_wire")
site = client_module("speaker_site")
output = client_module("speaker_output")
RATE = 16000
CHUNK = 640  # 40 ms


class Kept(output.Clock):
    """Keeps what is heard."""

    def __init__(self, rate):
        super().__init__(rate)
        self.samples = []

    def write(self, samples):
        self.samples += samples.tolist()


class Box:
    """A loudspeaker in a box, with a clock of its own."""

    def __init__(self, buffer_ms=300):
        self.now_s = 100.0
        self.sent, self.events, self.reports, self.notes, self.made = [], [], [], [], []

        def make(rate):
            self.made.append(Kept(rate))
            return self.made[-1]

        self.speaker = site.Loudspeaker(
            wire.Topics("streamtts", "kitchen"), buffer_ms, output.Outputs(make),
            self.events.append, self.reports.append, self.notes.append,
        )  # fmt: skip

    def hear(self, topic, payload):
        payload = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.keep(self.speaker.message(f"streamtts/{topic}", payload, self.now_s))

    def event(self, type_, id_="a", **fields):
        self.hear(f"kitchen/event/{id_}", {"type": type_, "id": id_, **fields})

    def accepted(self, id_="a", handle=1, **audio):
        audio = {"encoding": "pcm_s16le", "sample_rate": RATE, "channels": 1, **audio}
        self.event("accepted", id_, handle=handle, audio=audio, server="one")

    def chunk(self, number, flags=0, id_="a", handle=1, samples=CHUNK):
        header = pack_header(flags, handle, number, number * CHUNK)
        self.hear(f"kitchen/audio/{id_}", header + bytes([number + 1, 0]) * samples)

    def wait(self, seconds):
        for _ in range(round(seconds / 0.01)):
            self.now_s += 0.01
            self.keep(self.speaker.tick(self.now_s))

    def keep(self, publications):
        for topic, payload, qos in publications:
            self.sent.append((topic, json.loads(payload), qos))

    @property
    def heard(self):
        """The numbers of the chunks that were heard, one a sample, from 1."""
        return [round(sample * 32768) for sample in self.made[0].samples]


def test_a_request_is_played_and_reported():
    box = Box()
    box.accepted()
    for number in range(6):
        box.chunk(number, FIRST if number == 0 else 0)
    for number in range(6, 20):
        box.wait(0.04)
        box.chunk(number, LAST if number == 19 else 0)
    box.event("done", samples=20 * CHUNK, reason="end")
    assert box.speaker.held_ms == pytest.approx(240, abs=1)
    assert not box.reports
    box.wait(0.26)
    assert box.heard == [1 + at // CHUNK for at in range(20 * CHUNK)]
    (report,) = box.reports
    assert (report.id, report.end, report.seconds, report.underruns) == ("a", "done", 0.8, 0)
    assert (report.lost_ms, report.dropped_ms, report.buffer_ms) == (0, 0, 300)
    assert report.peak_ms == report.burst_ms == 240
    assert "0 underruns; at most 240 of 300 ms held" in report.line()
    assert box.speaker.playing is None
    topics = {(topic, qos) for topic, _, qos in box.sent}
    assert topics == {("streamtts/kitchen/playback", 0)}
    told = [(report["id"], report["buffer_ms"]) for _, report, _ in box.sent]
    assert told == [("a", 240)] * 4
    played = [report["played_samples"] for _, report, _ in box.sent]
    assert played == pytest.approx([0, 4000, 8000, 12000], abs=200)


def test_sound_that_overtakes_its_event_is_kept():
    box = Box()
    box.chunk(0, FIRST)
    box.chunk(1)
    box.accepted()
    box.chunk(2, LAST)
    box.event("done", samples=3 * CHUNK)
    box.wait(0.2)
    assert set(box.heard) == {1, 2, 3}
    assert box.reports[0].seconds == 0.12


def test_the_middle_of_something_older_is_not_kept():
    box = Box()
    box.chunk(5)
    box.chunk(0, FIRST)
    for number in range(1, 100):
        box.chunk(number)
    box.chunk(7, id_="b")
    box.accepted("b")
    assert box.speaker.playing.buffer.held == 0
    box.accepted("a")
    assert box.speaker.find("a").buffer.held == 0  # another `accepted` came first


def test_another_handle_is_an_older_request_of_that_name():
    box = Box()
    box.accepted(handle=7)
    box.chunk(0, handle=6)
    assert box.speaker.playing.buffer.held == 0
    box.chunk(0, handle=7)
    assert box.speaker.playing.buffer.held == CHUNK


def test_a_last_chunk_that_is_lost_ends_with_its_event():
    box = Box()
    box.accepted()
    box.chunk(0, FIRST)
    box.chunk(2)
    box.event("done", samples=4 * CHUNK)
    box.wait(0.5)
    assert not box.reports
    box.wait(1.0)
    assert box.reports[0].lost_ms == 40
    assert box.reports[0].underruns == 0


def test_a_pause_is_an_underrun():
    box = Box()
    box.accepted()
    box.chunk(0, FIRST)
    box.wait(0.1)
    box.chunk(1, LAST)
    box.event("done", samples=2 * CHUNK, metrics={
        "ttfa_ms": 1, "rtf": 1, "queue_ms": 1, "steps": 1, "underruns": 0, "starved_ms": 61,
    })  # fmt: skip
    box.wait(0.1)
    (report,) = box.reports
    assert (report.underruns, report.starved_ms) == (1, 61)
    assert report.dry_ms == pytest.approx(60, abs=10)
    assert "the text was late by 61 ms" in report.line()


def test_silence_from_here():
    box = Box()
    box.accepted()
    for number in range(6):
        box.chunk(number)
    box.wait(0.1)
    samples = box.speaker.silence("a")
    assert samples == 1600 + 80  # 5 ms fade out
    box.chunk(6, LAST | FADED)
    box.event("cancelled", reason="cancel", generated_samples=9999, sent_samples=7 * CHUNK,
              spoken={"chars": 1, "words": 1, "text": "x"})  # fmt: skip
    box.wait(0.1)
    assert len(box.heard) == samples
    assert (box.reports[0].end, box.reports[0].dropped_ms) == ("cancel", 0)
    assert box.speaker.silence("a") == 0


def test_silence_from_elsewhere():
    box = Box()
    box.accepted()
    for number in range(6):
        box.chunk(number)
    box.wait(0.1)
    box.chunk(6, LAST | FADED)
    box.event("cancelled", reason="preempted", spoken={"chars": 0, "words": 0, "text": ""})
    box.accepted("b", handle=2)
    box.chunk(0, id_="b", handle=2)
    box.wait(0.1)
    assert box.reports[0].end == "preempted"
    assert 1600 <= len([n for n in box.heard if n]) < 1600 + 80 + 2 * CHUNK
    assert box.speaker.playing.id == "b"


def test_words_that_were_spoken_to_their_end():
    box = Box()
    box.accepted()
    words = [("One", 0, 100, 0), ("two.", 150, 300, 4), ("Three", 320, None, 9)]
    items = [
        {"index": i, "text": text, "start": start, "char_start": at, "char_end": at + len(text)}
        | ({} if end is None else {"end": end})
        for i, (text, start, end, at) in enumerate(words)
    ]
    box.event("words", items=items)
    utterance = box.speaker.find("a")
    assert [utterance.heard("One two. Three", n) for n in (99, 100, 299, 300, 9999)] == [
        "", "One", "One", "One two.", "One two.",
    ]  # fmt: skip


def test_the_next_request_follows():
    box = Box()
    box.accepted("a")
    box.chunk(0, FIRST)
    box.event("accepted", "b", handle=2, audio={"encoding": "mulaw", "sample_rate": 8000})
    header = pack_header(FIRST | LAST, 2, 0, 0)
    box.hear("kitchen/audio/b", header + b"\x80" * 320)
    box.event("done", "b", samples=320)
    box.wait(0.1)  # the last of the first one never comes
    assert [report.id for report in box.reports] == ["a", "b"]
    assert [len(one.samples) for one in box.made] == [CHUNK, 320]


def test_a_refused_request_makes_no_sound():
    box = Box()
    box.event("error", code="capacity", message="full", final=True)
    assert box.events[0].is_last
    box.accepted()
    box.event("error", code="stuck", message="no progress", final=True)
    box.wait(0.02)
    assert box.reports[0].end == "error"
    assert box.reports[0].seconds == 0


def test_a_server_is_told_the_size_of_the_buffer():
    box = Box()
    box.hear("status/one", {"state": "online", "voices": [], "slots": 3})
    assert box.sent == [("streamtts/kitchen/playback", {"buffer_ms": 240}, 0)]
    assert box.speaker.servers == {"one"}
    for payload in ({"state": "draining"}, b""):
        box.speaker.servers.add("one")
        box.hear("status/one", payload)
        assert not box.speaker.servers


def test_nonsense_is_noted_and_ignored():
    box = Box()
    for topic in ("hall/audio/a", "kitchen/say", "kitchen/audio/a/b", "kitchen"):
        box.hear(topic, b"?")
    assert not box.notes
    box.accepted()
    bad = [
        ("kitchen/event/a", b"?"),
        ("kitchen/event/a", [1]),
        ("kitchen/event/a", {"type": "done"}),
        ("kitchen/event/a", b"\xff"),
        ("kitchen/event/b", {"type": "accepted", "id": "b", "audio": {"encoding": "mp3",
                             "sample_rate": RATE}}),
        ("kitchen/event/b", {"type": "accepted", "id": "b", "audio": {"encoding": "alaw",
                             "sample_rate": 1}}),
        ("kitchen/audio/a", b"short"),
        ("kitchen/audio/c", b"short"),
        ("kitchen/audio/a", b"\x02" + bytes(20)),
        ("kitchen/audio/a", pack_header(0, 1, 0, 0) + b"\0"),
        ("status/one", b"?"),
        ("status/one", {"states": 1}),
    ]  # fmt: skip
    for number, (topic, payload) in enumerate(bad, 1):
        box.hear(topic, payload)
        assert len(box.notes) == number, (topic, payload, box.notes)
    box.event("unheard-of", future=1)
    box.chunk(0, FIRST | LAST)
    box.event("done", samples=CHUNK)
    box.wait(0.1)
    assert box.reports[0].seconds == 0.04


@pytest.mark.parametrize("name", ["", "a/b", "a+", "#", "a\0", "status"])
def test_a_site_that_is_no_name(name):
    with pytest.raises(BadField, match="--site"):
        wire.Topics("streamtts", name)
    with pytest.raises(BadField, match="--prefix"):
        wire.Topics("+", "kitchen")


def test_the_header_is_what_the_docstring_says():
    payload = bytes([1, 2, 0x34, 0x12, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0]) + b"sound!"
    header, sound = wire.read_chunk(payload)
    assert header == (LAST, 0x1234, 5, 2560)
    assert sound == b"sound!"
    table = wire.__doc__.partition("A chunk is")[2]
    for line in ("0      version ", "1      flags ", "2-3    handle ", "4-7    seq ",
                 "8-15   first_sample ", "16-    sound "):  # fmt: skip
        assert line in table
