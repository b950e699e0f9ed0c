import itertools
import random
import threading
from dataclasses import replace

import numpy as np
import pytest
from support.fake_voice import FakeClock, FakeFrontEnd, Heard, fake_service, settle

from streamtts.audio.formats import AudioFormat, from_bytes
from streamtts.errors import BadField, Loading, Overloaded, TextTooLong, UnknownVoice
from streamtts.events import (
    FLAG_FADED,
    FLAG_FILLER,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_MEL,
    Alignment,
    AudioChunk,
    Cancelled,
    Done,
    Failed,
    Flushed,
    MelChunk,
    Opened,
    Phones,
    Started,
    Warning_,
    Words,
)
from streamtts.service import ContextSettings

TEXT = "The quick brown fox, it seems, jumped over dogs. Nobody saw it happen at all."
FAST = ContextSettings(lead_ms=0)


def say(service, text, settings=FAST, cuts=()):
    heard = Heard()
    context = service.open(settings, heard)
    for start, stop in itertools.pairwise((0, *cuts, len(text))):
        context.feed(text[start:stop])
        settle(service)
    context.end()
    settle(service)
    return heard


def test_a_context_tells_its_story_in_order():
    heard = say(fake_service(), TEXT)
    kinds = [type(event) for event in heard.events]
    assert kinds[:2] == [Opened, Started]
    assert kinds[-1] is Done
    assert set(kinds[2:-1]) == {AudioChunk}
    done = heard.of(Done)[0]
    assert done.reason == "end"
    assert done.chars == len(TEXT)
    assert done.samples == heard.samples == len(heard.data) // 2 == done.steps * 400 - 200


def test_chunks_are_exact_and_numbered():
    heard = say(fake_service(), TEXT)
    chunks = heard.of(AudioChunk)
    assert [c.seq for c in chunks] == list(range(len(chunks)))
    assert {c.samples for c in chunks[:-1]} == {640}
    assert [c.first_sample for c in chunks] == [640 * i for i in range(len(chunks))]
    assert chunks[0].flags == FLAG_FIRST
    assert chunks[-1].flags == FLAG_LAST
    assert all(c.flags == 0 for c in chunks[1:-1])


@pytest.mark.parametrize("seed", range(3))
def test_text_cut_differently_gives_the_same_samples(seed):
    rng = random.Random(seed)
    cuts = sorted(rng.sample(range(1, len(TEXT)), 12))
    whole = say(fake_service(), TEXT)
    assert say(fake_service(), TEXT, cuts=cuts).data == whole.data


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_letters_and_a_flush_behind_a_comma_give_the_same_samples(speed):
    def hear(deltas, *, wait):
        service = fake_service()
        heard = Heard()
        context = service.open(
            ContextSettings(lead_ms=0, speed=speed, max_buffer_delay_ms=10_000), heard
        )
        for delta in deltas:
            context.feed(delta)
            if wait:
                settle(service)
        context.flush()
        if wait:
            settle(service)
        context.end()
        settle(service)
        return heard.data

    text = "brown fox. It, ox. It jumped over la, "
    assert hear(text, wait=True) == hear([text], wait=False)


def test_one_letter_deltas_and_halves_of_an_emoji():
    text = "Fine \U0001f600 day."
    whole = say(fake_service(), text)
    heard = Heard()
    service = fake_service()
    context = service.open(FAST, heard)
    for unit in ("Fine ", "\ud83d", "\ude00", *" day."):
        context.feed(unit)
    context.end()
    settle(service)
    assert heard.data == whole.data
    assert heard.of(Done)[0].chars == len(text)


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100])
def test_words_lie_inside_the_audio_and_never_go_back(rate):
    settings = ContextSettings(
        lead_ms=0, timestamps=("word", "phone"), audio=AudioFormat(sample_rate=rate)
    )
    heard = say(fake_service(), TEXT, settings)
    items = [item for event in heard.of(Words) for item in event.items]
    starts = [item.start for item in items]
    assert [item.index for item in items] == sorted(item.index for item in items)
    assert starts == sorted(starts)
    words = list(heard.words.values())
    assert [w.text for w in words] == [w.strip(",.") for w in TEXT.split()]
    assert [TEXT[w.char_start : w.char_end] for w in words] == [w.text for w in words]
    total = heard.of(Done)[0].samples
    assert total == heard.samples
    assert all(0 <= w.start < w.end <= total for w in words)
    assert all(a.end <= b.start for a, b in itertools.pairwise(words))
    # A word is announced before the chunk in which it begins, and not long before.
    sent, told = 0, set()
    for event in heard.events:
        if isinstance(event, Words):
            new = [item for item in event.items if item.index not in told]
            told.update(item.index for item in new)
            assert all(sent <= item.start < sent + rate * 0.04 + 1 for item in new)
        elif isinstance(event, AudioChunk):
            sent += event.samples
    phones = [item for event in heard.of(Phones) for item in event.items]
    assert {p.text for p in phones}.isdisjoint({"pau"})
    assert len({p.index for p in phones}) == sum(2 + len(w.text) for w in words)


def test_alignment_shows_every_step_once():
    settings = ContextSettings(lead_ms=0, streams=("audio", "alignment"))
    heard = say(fake_service(), TEXT, settings)
    steps = [step for event in heard.of(Alignment) for step in event.steps]
    symbols = [symbol for event in heard.of(Alignment) for symbol in event.symbols]
    count = heard.of(Done)[0].steps
    assert [s.sample for s in steps] == [max(0, 400 * i - 200) for i in range(count)]
    assert [s.position for s in symbols] == list(range(steps[-1].position + 1))
    assert symbols[0].phone == "pau"
    assert all(0.0 <= s.hazard <= 1.0 for s in steps)


def test_mel_alone_and_beside_audio():
    alone = say(fake_service(), TEXT, ContextSettings(lead_ms=0, streams=("mel",)))
    both = say(fake_service(), TEXT, ContextSettings(lead_ms=0, streams=("audio", "mel")))
    assert alone.of(Opened)[0].audio is None
    assert alone.of(Opened)[0].mel == (80, 200, 16000)
    assert not alone.of(AudioChunk)
    mel = b"".join(c.data for c in alone.of(MelChunk))
    assert mel == b"".join(c.data for c in both.of(MelChunk))
    done = alone.of(Done)[0]
    assert len(mel) == (done.steps * 2 - 1) * 80 * 2
    assert done.samples == done.steps * 400 - 200
    chunks = both.of(MelChunk)
    assert [c.seq for c in chunks] == list(range(len(chunks)))
    assert chunks[0].flags == FLAG_MEL | FLAG_FIRST
    assert chunks[-1].flags == FLAG_MEL | FLAG_LAST
    frames = np.frombuffer(chunks[0].data, "<f2").reshape(-1, 80)
    assert chunks[1].first_sample == 200 * len(frames)


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_resampled_sound_has_the_right_length_and_no_seams(rate):
    heard = say(
        fake_service(), TEXT, ContextSettings(lead_ms=0, audio=AudioFormat("pcm_f32le", rate))
    )
    plain = say(fake_service(), TEXT, ContextSettings(lead_ms=0, audio=AudioFormat("pcm_f32le")))
    import soxr

    expected = soxr.resample(from_bytes(plain.data, "pcm_f32le"), 16000, rate, quality="HQ")
    got = from_bytes(heard.data, "pcm_f32le")
    assert abs(len(expected) - len(got)) <= 1
    n = min(len(expected), len(got))
    np.testing.assert_allclose(got[:n], expected[:n], atol=1e-4)


@pytest.mark.parametrize("encoding", ["wav", "flac", "mp3"])
def test_containers_count_the_samples_given_to_the_encoder(encoding):
    heard = say(fake_service(), TEXT, ContextSettings(lead_ms=0, audio=AudioFormat(encoding)))
    chunks = heard.of(AudioChunk)
    assert sum(c.samples for c in chunks) == heard.of(Done)[0].samples
    firsts = [0, *itertools.accumulate(c.samples for c in chunks)]
    assert [c.first_sample for c in chunks] == firsts[:-1]
    assert all(c.data for c in chunks[:-1])


def test_a_flush_is_answered_when_everything_before_it_has_been_sent():
    service = fake_service()
    heard = Heard()
    context = service.open(
        ContextSettings(lead_ms=0, timestamps=("word",), audio=AudioFormat(sample_rate=8000)), heard
    )
    context.flush("empty")
    context.feed("One two")
    context.flush("a")
    context.flush("b")
    settle(service)
    assert [f.flush_id for f in heard.of(Flushed)] == ["empty", "a", "b"]
    assert [f.sample for f in heard.of(Flushed)] == [0, heard.words[1].end, heard.words[1].end]
    assert heard.words[1].end <= heard.samples
    context.feed(" three four")
    context.flush("c")
    context.end()
    settle(service)
    assert heard.of(Flushed)[-1] == Flushed("c", heard.words[3].end)
    assert heard.of(Done)


def test_stalled_text_is_spoken_to_its_last_word_after_the_delay():
    clock = FakeClock()
    service = fake_service(clock=clock)
    heard = Heard()
    settings = ContextSettings(
        lead_ms=0,
        max_buffer_delay_ms=600,
        timestamps=("word",),
        audio=AudioFormat(sample_rate=22050),
    )
    context = service.open(settings, heard)
    context.feed("Hello wor")
    settle(service)
    clock.now_s += 0.5
    context.feed("ld")
    settle(service)
    clock.now_s += 0.5
    settle(service)
    assert 1 not in heard.words
    clock.now_s += 0.11
    settle(service)
    assert heard.words[1].text == "world"
    assert heard.words[1].end is not None
    assert heard.words[1].end <= heard.samples
    assert not heard.ends
    context.feed(" again")
    context.end()
    settle(service)
    assert heard.words[2].text == "again"


def test_no_delay_flushes_whenever_the_voice_has_caught_up():
    service = fake_service()
    heard = Heard()
    context = service.open(
        ContextSettings(lead_ms=0, max_buffer_delay_ms=0, timestamps=("word",)), heard
    )
    context.feed("Hi")
    settle(service)
    assert heard.words[0].end <= heard.samples


def test_time_changes_nothing_before_the_delay_runs_out():
    clock = FakeClock()
    service = fake_service(clock=clock)
    heard = Heard()
    context = service.open(FAST, heard)
    for piece in TEXT.split(" "):
        context.feed(piece + " ")
        settle(service)
        clock.now_s += 0.59
        settle(service)
    context.end()
    settle(service)
    assert heard.data == say(fake_service(), TEXT + " ").data


@pytest.mark.parametrize("text", ["\U0001f600\U0001f600", " \n ", "你好", "3"])
def test_text_that_cannot_be_spoken_gets_a_short_silence(text):
    heard = say(fake_service(), text, ContextSettings(lead_ms=0, streams=("audio", "mel")))
    assert [w.code for w in heard.of(Warning_)] == ["nothing_to_speak"]
    assert heard.samples == 3200
    assert not any(heard.data)
    assert all(c.flags & FLAG_FILLER for c in (*heard.of(AudioChunk), *heard.of(MelChunk)))
    assert heard.of(AudioChunk)[-1].flags & FLAG_LAST
    assert heard.of(Done)[0].samples == 3200


def test_an_empty_context_is_done_without_sound():
    heard = say(fake_service(), "")
    assert [type(e) for e in heard.events] == [Opened, Done]
    assert heard.of(Done)[0].samples == 0


def test_a_cancel_fades_out_and_tells_what_was_heard():
    service = fake_service()
    heard = Heard()
    context = service.open(
        ContextSettings(lead_ms=0, timestamps=("word",), audio=AudioFormat("pcm_f32le")), heard
    )
    context.feed(TEXT)
    while heard.words.get(2) is None or heard.words[2].end is None:
        service.turn()
    played = heard.words[2].end + 1
    context.cancel(played)
    before = heard.samples
    service.turn()
    cancelled = heard.of(Cancelled)[0]
    assert heard.events[-1] is cancelled
    assert cancelled.sent_samples == heard.samples <= before + 80
    assert cancelled.generated_samples >= cancelled.sent_samples
    assert cancelled.spoken_words == 3
    assert cancelled.spoken_text == "The quick brown"
    assert cancelled.spoken_chars == len("The quick brown")
    last = heard.of(AudioChunk)[-1]
    assert last.flags == FLAG_LAST | FLAG_FADED
    assert last.samples == 80
    tail = from_bytes(last.data, "pcm_f32le")
    assert tail[-1] == 0.0
    seen = len(heard.events)
    context.feed("more")
    context.flush("x")
    context.end()
    context.cancel()
    settle(service)
    assert len(heard.events) == seen
    assert service.stats().contexts == 0


@pytest.mark.parametrize("encoding", ["pcm_s16le", "flac", "mp3", "ogg_opus"])
def test_a_cancel_that_crosses_the_last_chunk_ends_the_context_once(encoding):
    service = fake_service()
    heard = Heard()

    def on_event(event):
        heard(event)
        if isinstance(event, (AudioChunk, MelChunk)) and event.flags & FLAG_LAST:
            context.cancel()

    settings = ContextSettings(
        lead_ms=0, audio=AudioFormat(encoding, 16000), streams=("audio", "mel")
    )
    context = service.open(settings, on_event)
    context.feed("The quick brown fox.")
    context.end()
    settle(service)
    assert len(heard.ends) == 1
    for kind in (AudioChunk, MelChunk):
        assert [bool(c.flags & FLAG_LAST) for c in heard.of(kind)].count(True) == 1
        assert heard.of(kind)[-1].flags & FLAG_LAST
    end = heard.ends[0]
    assert (end.sent_samples if isinstance(end, Cancelled) else end.samples) == heard.samples
    assert service.wait_idle(0)


def test_without_a_word_from_the_listener_what_was_sent_counts_as_heard():
    clock = FakeClock()
    service = fake_service(clock=clock)
    heard = Heard()
    context = service.open(ContextSettings(lead_ms=0, timestamps=("word",)), heard)
    context.feed("One two three.")
    settle(service)
    clock.now_s += 1.0
    settle(service)
    context.cancel()
    settle(service)
    assert heard.of(Cancelled)[0].spoken_text == "One two three"


def test_a_cancel_before_any_sound():
    service = fake_service()
    heard = Heard()
    service.open(FAST, heard).cancel()
    settle(service)
    assert [type(e) for e in heard.events] == [Opened, Cancelled]
    assert heard.of(Cancelled)[0] == Cancelled(0, 0, 0, 0, "")


def test_an_idle_context_ends_as_done():
    clock = FakeClock()
    service = fake_service(clock=clock, idle_s=5.0)
    spoken, silent, busy = Heard(), Heard(), Heard()
    context = service.open(FAST, spoken)
    service.open(FAST, silent)
    other = service.open(FAST, busy)
    context.feed("Hello there.")
    settle(service)
    for _ in range(3):
        clock.now_s += 1.0
        settle(service)
    other.feed("a")
    settle(service)
    clock.now_s += 3.5
    settle(service)
    assert spoken.of(Done)[0].reason == "idle"
    assert silent.of(Done)[0].reason == "idle"
    assert spoken.samples > 0
    assert not silent.of(AudioChunk)
    assert not busy.ends
    context.feed("late")
    settle(service)


@pytest.mark.parametrize("ends", [True, False])
def test_a_listener_that_never_plays_gives_its_slot_back(ends):
    clock = FakeClock()
    service = fake_service(clock=clock, idle_s=5.0)
    heard, good = Heard(), Heard()
    context = service.open(ContextSettings(lead_ms=400), heard)
    other = service.open(ContextSettings(lead_ms=400), good)
    for each in (context, other):
        each.feed(TEXT * 3)
        if ends:
            each.end()
    for _ in range(80):
        context.playback(0)
        settle(service)
        clock.now_s += 0.1
    assert [end.reason for end in heard.of(Done)] == ["idle"]
    assert heard.of(Done)[0].samples == heard.samples < 16000
    assert heard.of(AudioChunk)[-1].flags == FLAG_LAST | FLAG_FADED
    assert good.samples > 16000 * 2
    assert service.stats().contexts == 1 - len(good.ends)


def test_too_much_text_is_refused_whole():
    service = fake_service(chars_per_context=100)
    heard = Heard()
    context = service.open(FAST, heard)
    context.feed("word " * 18)
    with pytest.raises(TextTooLong) as refused:
        context.feed("word " * 18)
    assert refused.value.retry_after_ms >= 100
    with pytest.raises(TextTooLong) as never:
        context.feed("x" * 1_000_000)
    assert never.value.retry_after_ms is None
    settle(service)
    context.feed("word " * 18)  # all but the end has been spoken by now
    context.end()
    settle(service)
    assert heard.of(Done)[0].chars == 180
    other = service.open(FAST, Heard())
    for _ in range(50):  # what cannot be spoken does not pile up
        other.feed("\U0001f600" * 50)
        settle(service)


def test_a_book_does_not_pile_up_as_symbols():
    service = fake_service()
    heard = Heard()
    context = service.open(FAST, heard)
    context.feed("some words here, and " * 900)
    for _ in range(400):
        service.turn()
    assert context._delivery.timing.backlog < 2200
    assert context._inbox.waiting_chars > 10_000
    context.cancel()
    settle(service)
    assert heard.of(Cancelled)


def test_a_queued_context_waits_for_its_release():
    service = fake_service()
    heard = Heard()
    context = service.open(FAST, heard, queued=True)
    context.feed("Hello there.")
    context.end()
    settle(service)
    assert [type(e) for e in heard.events] == [Opened]
    context.release()
    settle(service)
    assert heard.of(Done)[0].samples > 0


def test_a_queued_context_can_be_cancelled():
    service = fake_service()
    heard = Heard()
    context = service.open(FAST, heard, queued=True)
    context.feed("Hello there.")
    context.cancel()
    settle(service)
    assert heard.of(Cancelled)


def test_a_paused_context_makes_no_sound():
    service = fake_service()
    heard = Heard()
    context = service.open(FAST, heard)
    context.set_paused(True)
    context.feed(TEXT)
    context.end()
    settle(service)
    assert not heard.of(AudioChunk)
    context.set_paused(False)
    settle(service)
    assert heard.of(Done)[0].underruns == 0


def test_playback_reports_hold_the_lead():
    clock = FakeClock()
    service = fake_service(clock=clock)
    heard = Heard()
    context = service.open(ContextSettings(lead_ms=400, audio=AudioFormat(sample_rate=8000)), heard)
    context.feed(TEXT * 3)
    settle(service)
    before = heard.samples
    assert 0.1 * 8000 < before <= 0.45 * 8000
    context.playback(8000)  # more than there is: no room is made by saying so
    clock.now_s += 0.1
    settle(service)
    assert heard.samples <= 0.55 * 8000
    context.playback(0)  # the listener has just begun
    clock.now_s += 0.2
    settle(service)
    assert heard.samples <= 0.65 * 8000
    clock.now_s += 0.1
    settle(service)
    assert before + 1200 < heard.samples <= 0.75 * 8000
    context.cancel()
    settle(service)
    assert heard.of(Cancelled)[0].sent_samples == heard.samples


def test_who_comes_when_all_is_full_waits_or_is_refused():
    clock = FakeClock()
    service = fake_service(slots=1, queue=1, clock=clock)
    speaking, waiting, late = Heard(), Heard(), Heard()
    contexts = [service.open(FAST, heard) for heard in (speaking, waiting, late)]
    assert [c.opened.queue_position for c in contexts] == [0, 0, 0]  # nobody has text yet
    contexts[0].feed(TEXT)
    settle(service)
    contexts[1].feed(TEXT)
    settle(service)
    contexts[2].feed(TEXT)
    settle(service)
    assert [f.code for f in late.of(Failed)] == ["capacity"]
    assert late.of(Failed)[0].retry_after_ms
    assert service.stats().refused == 1
    assert speaking.of(AudioChunk)
    assert not waiting.of(AudioChunk)
    with pytest.raises(Overloaded) as refused:
        service.open(FAST, Heard())
    assert refused.value.retry_after_ms
    stats = service.stats()
    assert (stats.streams, stats.waiting, stats.refused) == (1, 1, 2)
    contexts[0].cancel()
    clock.now_s += 1.5
    settle(service)
    assert waiting.of(Started)[0].queue_ms == pytest.approx(1500)
    assert service.open(FAST, Heard()).opened.queue_position == 1
    assert sum(service.stats().queue_s.counts) == 2


def test_contexts_without_text_are_bounded_too():
    service = fake_service(all_contexts=2)
    contexts = [service.open(FAST, Heard()) for _ in range(2)]
    with pytest.raises(Overloaded, match="2 contexts are open") as refused:
        service.open(FAST, Heard())
    assert refused.value.retry_after_ms
    contexts[0].cancel()
    settle(service)
    service.open(FAST, Heard())


def test_loading_and_bad_settings():
    service = fake_service()
    with pytest.raises(UnknownVoice):
        service.open(ContextSettings(voice="nobody"), Heard())
    service.open(ContextSettings(voice="tiny"), Heard())
    service.drain()
    with pytest.raises(Loading):
        service.open(FAST, Heard())


@pytest.mark.parametrize(
    "field",
    [
        {"speed": 0.4}, {"speed": 2.1}, {"speed": float("nan")}, {"pitch": 0.0},
        {"pitch_range": -0.1}, {"pitch_range": 2.5}, {"seed": -1}, {"seed": 2**31},
        {"max_buffer_delay_ms": -1}, {"max_buffer_delay_ms": 10_001}, {"lead_ms": 60_001},
        {"text_format": "ssml"}, {"text_format": "html"}, {"speaker": "bob"}, {"streams": ()},
        {"streams": ("alignment",)}, {"streams": ("audio", "video")}, {"timestamps": ("letter",)},
        {"audio": AudioFormat("opus")}, {"audio": AudioFormat(sample_rate=11025)},
        {"audio": AudioFormat(frame_ms=0)},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_bad_fields(field):
    service = fake_service()
    with pytest.raises(BadField) as refused:
        service.open(ContextSettings(**field), Heard())
    assert "e+" not in str(refused.value)  # bounds are whole numbers, written out
    assert service.stats().opened == 0


def test_a_listener_that_fails_loses_its_context_only(caplog):
    service = fake_service()

    def broken(event):
        if isinstance(event, AudioChunk):
            raise RuntimeError("gone")

    bad = service.open(FAST, broken)
    bad.feed(TEXT)
    assert say(service, "Hello there.").of(Done)
    settle(service)
    assert bad.ended
    assert service.stats().streams == 0
    assert "listener failed" in caplog.text


def test_a_failing_front_end_or_model_ends_contexts_as_internal(caplog):
    class Broken(FakeFrontEnd):
        def feed(self, delta):
            if "!" in delta:
                raise ValueError("no")
            return super().feed(delta)

    service = fake_service(make_front_end=lambda text_format, normalize: Broken())
    heard, other = Heard(), Heard()
    context = service.open(FAST, heard)
    context.feed("Hello there ")
    settle(service)
    context.feed("!")
    settle(service)
    assert heard.of(Failed)[0].code == "internal"
    assert heard.of(Failed)[0].final
    step = service._engine.runner.step

    def fail(rows):
        raise RuntimeError("no memory")

    service._engine.runner.step = fail
    service.open(FAST, other).feed("Hello there, you.")
    settle(service)
    service._engine.runner.step = step
    assert other.of(Failed)[0].code == "internal"
    assert say(service, "Hello there.").of(Done)
    assert service.stats().failed == 2


def test_words_without_a_sound_are_told_once_in_a_context():
    class Deaf(FakeFrontEnd):
        def feed(self, delta):
            return replace(super().feed(delta), warnings=("lexicon", "lexicon"))

    service = fake_service(make_front_end=lambda text_format, normalize: Deaf())
    for _ in range(2):
        heard = say(service, TEXT, cuts=(20, 40))
        assert [warning.code for warning in heard.of(Warning_)] == ["lexicon"]
        assert heard.of(Done)


def test_stats_count():
    service = fake_service()
    service.warm_up()
    assert service.ready
    assert service.stats().opened == 0
    say(service, "Hello there.")
    service.open(FAST, Heard()).cancel()
    settle(service)
    stats = service.stats()
    assert (stats.opened, stats.done, stats.cancelled, stats.contexts) == (2, 1, 1, 0)
    assert stats.chars == len("Hello there.")
    assert stats.audio_s > 0
    service.drain()
    assert not service.ready


def test_threads_speak_and_stop():
    import time

    service = fake_service(clock=time.monotonic)
    service.start()
    service.warm_up()
    over = threading.Event()
    heard = Heard()

    def on_event(event):
        heard(event)
        if heard.ends:
            over.set()

    context = service.open(FAST, on_event)
    for word in TEXT.split(" "):
        context.feed(word + " ")
    context.end()
    left = Heard()
    service.open(FAST, left).feed("and so on, ")
    assert over.wait(60)
    assert heard.of(Done)
    service.drain()
    assert not service.wait_idle(0.0)
    service.close()
    assert service.wait_idle(0.0)
    assert left.of(Cancelled)
