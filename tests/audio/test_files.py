import numpy as np
import pytest
import soundfile

from streamtts.audio.encode import available_encodings
from streamtts.audio.files import SoundFileWriter, check_name
from streamtts.errors import BadField, StreamTTSError

SOUND = (0.7 * np.sin(np.arange(8000) / 20)).astype(np.float32)


@pytest.mark.parametrize(("name", "encoding"), [
    ("a.wav", "wav"), ("a.WAV", "wav"), ("a.flac", "flac"), ("a.ogg", "ogg_opus"),
    ("a.opus", "ogg_opus"), ("a.mp3", "mp3"),
])  # fmt: skip
def test_the_ending_names_the_format(name, encoding, tmp_path):
    if encoding not in available_encodings():
        pytest.skip(f"this libsndfile cannot make {encoding}")
    with SoundFileWriter(tmp_path / name, 16000) as file:
        for block in np.split(SOUND, 5):
            file.write(block)
        file.write(SOUND[:0])
        assert file.samples == len(SOUND)
    heard, rate = soundfile.read(tmp_path / name, dtype="float32")
    assert rate == 16000
    assert len(heard) == len(SOUND)
    if encoding in ("wav", "flac"):
        assert np.max(np.abs(heard - SOUND)) < 1e-4
    assert np.corrcoef(heard[800:], SOUND[800:])[0, 1] > 0.98


def test_raw_is_bare_samples(tmp_path):
    with SoundFileWriter(tmp_path / "a.raw", 16000) as file:
        file.write(np.array([0.5, -1.0], np.float32))
    assert (tmp_path / "a.raw").read_bytes() == b"\x00\x40\x00\x80"


@pytest.mark.parametrize("name", ["a.txt", "a", "wav", ".wav"])
def test_other_endings_are_refused_before_any_work(name):
    with pytest.raises(BadField, match=r"not one of \.wav"):
        check_name(name)


def test_what_cannot_be_written_is_told(tmp_path):
    with pytest.raises(StreamTTSError, match="cannot write"):
        SoundFileWriter(tmp_path / "nowhere" / "a.wav", 16000)
    with pytest.raises(BadField, match="not 22050"):
        SoundFileWriter(tmp_path / "a.ogg", 22050)
