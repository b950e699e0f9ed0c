import numpy as np
import pytest

from streamtts.audio.formats import AudioFormat, from_bytes
from streamtts.chunks import AudioPath, MelPath, held_back_s
from streamtts.events import FLAG_FADED, FLAG_FIRST, FLAG_LAST, FLAG_MEL

F32 = AudioFormat("pcm_f32le", 16000, 40)


def sine(samples):
    return np.sin(np.arange(samples) * 0.05).astype(np.float32)


def test_however_it_comes_it_leaves_in_frames_and_whole():
    x = sine(5000)
    for sizes in ((5000,), (1, 639, 1, 640, 3000, 719), (5,) * 1000):
        path = AudioPath(F32, 16000)
        chunks, start = [], 0
        for size in sizes:
            chunks += path.push(x[start : start + size])
            start += size
        assert len(chunks) == 7
        assert path.sent == 7 * 640
        chunks += path.finish()
        assert path.sent == path.generated == 5000
        np.testing.assert_array_equal(from_bytes(b"".join(c.data for c in chunks), "pcm_f32le"), x)
        assert [c.seq for c in chunks] == list(range(8))
        assert [c.flags for c in chunks] == [FLAG_FIRST, 0, 0, 0, 0, 0, 0, FLAG_LAST]


def test_nothing_at_all_is_one_empty_chunk():
    (chunk,) = AudioPath(F32, 16000).finish()
    assert (chunk.flags, chunk.data, chunk.samples) == (FLAG_FIRST | FLAG_LAST, b"", 0)


@pytest.mark.parametrize("buffered", [0, 30, 300])
def test_a_fade_is_five_milliseconds_without_a_jump(buffered):
    path = AudioPath(F32, 16000)
    x = sine(1280 + buffered)
    sent = path.push(x)
    chunk = path.fade()
    assert chunk.flags == FLAG_LAST | FLAG_FADED
    assert chunk.first_sample == 1280
    tail = from_bytes(chunk.data, "pcm_f32le")
    assert len(tail) == chunk.samples == 80
    assert tail[-1] == 0.0
    whole = np.concatenate([from_bytes(sent[-1].data, "pcm_f32le"), tail])
    assert np.abs(np.diff(whole[600:])).max() < 0.1


@pytest.mark.parametrize("encoding", ["pcm_s16le", "flac", "mp3", "ogg_opus"])
def test_what_is_finished_is_not_faded(encoding):
    path = AudioPath(AudioFormat(encoding, 16000, 40), 16000)
    path.push(sine(2000))
    path.finish()
    assert path.fade() is None


def test_nothing_sent_needs_no_fade():
    path = AudioPath(F32, 16000)
    path.push(sine(100))
    assert path.fade() is None


@pytest.mark.parametrize("encoding", ["pcm_s16le", "mulaw", "wav", "flac", "mp3", "ogg_opus"])
@pytest.mark.parametrize("rate", [8000, 24000, 48000])
def test_no_more_is_held_back_than_declared(encoding, rate):
    audio = AudioFormat(encoding, rate, 40)
    path = AudioPath(audio, 16000)
    declared = held_back_s(audio, 16000)
    for i in range(1, 60):
        path.push(sine(800))
        assert i * 0.05 - path.sent / rate <= declared


def test_a_fade_completes_a_container():
    path = AudioPath(AudioFormat("wav", 16000, 40), 16000)
    data = b"".join(c.data for c in path.push(sine(2000))) + path.fade().data
    assert data[:4] == b"RIFF"
    assert len(data) == 44 + 2 * (1920 + 80)


def test_mel_frames_are_numbered_in_output_samples():
    path = MelPath(100.0)
    first = path.push(np.zeros((4, 80), np.float32), last=False)
    second = path.push(np.ones((3, 80), np.float32), last=True)
    assert (first.flags, first.first_sample) == (FLAG_MEL | FLAG_FIRST, 0)
    assert (second.flags, second.first_sample) == (FLAG_MEL | FLAG_LAST, 400)
    assert len(second.data) == 3 * 80 * 2
    assert path.sent == 700
    assert path.cut() is None  # it has had its last chunk
    assert MelPath(100.0).cut() is None
