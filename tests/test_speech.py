import wave

import numpy as np
import pytest
import soundfile
import torch
from support.fake_voice import FakeFrontEnd, fake_service, write_tiny_voice

from streamtts.audio.formats import AudioFormat
from streamtts.config import Config, EngineConfig, VoiceConfig
from streamtts.errors import BadField, ConfigError, StreamTTSError, UnknownVoice, VoiceError
from streamtts.events import Done, Words
from streamtts.speech import ContextSettings, Speech, build

TEXT = "The quick brown fox jumped. Nobody saw it."


def tiny_speech(**options):
    return Speech(fake_service(**options), 16000)


def test_deltas_and_the_whole_give_the_same_sound():
    speech = tiny_speech()
    whole = speech.say(TEXT)
    chunks = list(speech.stream(TEXT[i : i + 3] for i in range(0, len(TEXT), 3)))
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(np.concatenate(chunks), whole)
    assert {len(c) for c in chunks[:-1]} == {640}


def test_sound_comes_before_the_rest_of_the_text_is_asked_for():
    speech = tiny_speech()
    heard = []

    def deltas():
        for word in TEXT.split(" "):
            yield word + " "
            progress.append(len(heard))

    progress = []
    for chunk in speech.stream(deltas()):
        heard.append(chunk)  # noqa: PERF402
    assert progress[2] > 0
    assert progress[-1] > progress[2]


def test_none_flushes():
    speech = tiny_speech()
    told = []

    def deltas():
        yield "Hello wor"
        yield "ld"
        yield None
        told.extend(words)
        yield " again"

    words = []
    for event in speech.events(deltas(), ContextSettings(timestamps=("word",))):
        if isinstance(event, Words):
            words += [item.text for item in event.items if item.end is not None]
    assert told == ["Hello", "world"]
    assert words == ["Hello", "world", "again"]
    assert isinstance(event, Done)


def test_a_stream_may_be_given_up():
    speech = tiny_speech()
    stream = speech.stream([TEXT])
    next(stream)
    stream.close()
    assert speech._service.stats().contexts == 0
    assert speech._service.stats().streams == 0
    assert len(speech.say("One.")) > 0


def test_two_streams_take_turns():
    speech = tiny_speech()
    alone = speech.say(TEXT)
    one, two = speech.stream(TEXT), speech.stream("Another text.")
    first = [next(one)]
    next(two)
    first += one
    assert len(np.concatenate(first)) == len(alone)
    assert sum(map(len, two)) > 0


def test_a_very_long_word_is_spoken():
    def words():
        yield "a" * 9000
        yield " b."

    sound = tiny_speech().stream(words())
    assert sum(len(next(sound)) for _ in range(50)) == 50 * 640


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_files_hold_what_was_said(tmp_path, name):
    speech = tiny_speech()
    samples = speech.write(TEXT, tmp_path / name)
    assert samples == len(speech.say(TEXT))
    data, rate = soundfile.read(tmp_path / name)
    assert rate == 16000
    assert samples <= len(data) < samples + 4000
    if name == "a.wav":
        with wave.open(str(tmp_path / name)) as file:
            assert file.getnframes() == samples


def test_a_file_at_another_rate(tmp_path):
    speech = tiny_speech()
    settings = ContextSettings(audio=AudioFormat(sample_rate=8000))
    samples = speech.write(TEXT, tmp_path / "a.wav", settings)
    assert samples == len(speech.say(TEXT)) // 2
    assert soundfile.info(tmp_path / "a.wav").samplerate == 8000


def test_errors_are_raised(tmp_path):
    class Broken(FakeFrontEnd):
        def feed(self, delta):
            raise ValueError("no")

    speech = tiny_speech(make_front_end=lambda text_format, normalize: Broken())
    with pytest.raises(StreamTTSError, match="ValueError"):
        speech.say("x")
    with pytest.raises(BadField, match="is not one of"):
        speech.write(TEXT, tmp_path / "a.aiff")
    with pytest.raises(BadField, match="speed"):
        speech.say("x", ContextSettings(speed=9.0))
    with pytest.raises(UnknownVoice):
        Speech.load(Config(voice=VoiceConfig(id="nobody")))
    with pytest.raises(VoiceError):
        Speech.load(Config(voice=VoiceConfig(id=str(tmp_path / "none"))))


def test_a_voice_folder_speaks_english(tmp_path):
    write_tiny_voice(tmp_path)
    config = Config(voice=VoiceConfig(id="tiny", dir=str(tmp_path)))
    text = "Dr. Smith paid $3.50 for 12 eggs, didn't he? It was 1999."
    with Speech.load(config) as speech:
        whole = speech.say(text)
        cut = list(speech.stream(text))  # a string is one delta
        letters = list(speech.stream(iter(text)))
        times = speech.events(iter(text), ContextSettings(timestamps=("word",)))
        words = {item.index: item for e in times if isinstance(e, Words) for item in e.items}
    np.testing.assert_array_equal(np.concatenate(cut), whole)
    np.testing.assert_array_equal(np.concatenate(letters), whole)
    assert [text[w.char_start : w.char_end] for w in words.values()] == [
        w.text for w in words.values()
    ]
    assert "".join(w.text for w in words.values()).startswith("Dr.Smith")
    assert len(words) >= 11
    assert all(w.end is not None for w in words.values())


def test_a_device_that_is_not_there_is_named():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ConfigError, match=r"engine\.device: there is no CUDA device"):
        build(Config(engine=EngineConfig(device="cuda")))
