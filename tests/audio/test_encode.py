import io

import numpy as np
import pytest
import soundfile

from streamtts.audio import encode
from streamtts.audio.encode import available_encodings, make_encoder, wav_header
from streamtts.audio.formats import RAW_ENCODINGS, AudioFormat, sample_rates, to_bytes, to_s16
from streamtts.audio.libsndfile import AppendOnly, set_ogg_page_latency
from streamtts.errors import BadField


def needs(encoding):
    able = encoding in available_encodings()
    return pytest.mark.skipif(not able, reason=f"this libsndfile cannot make {encoding}")


LOSSY = [pytest.param("ogg_opus", 0.98, marks=needs("ogg_opus")),
         pytest.param("mp3", 0.98, marks=needs("mp3"))]  # fmt: skip
# the longest that a listener may wait for the next bytes once the stream has begun
PROMPT = [pytest.param("wav", 0.04), pytest.param("flac", 0.2, marks=needs("flac")),
          pytest.param("ogg_opus", 0.12, marks=needs("ogg_opus")),
          pytest.param("mp3", 0.2, marks=needs("mp3"))]  # fmt: skip


def speechlike(rate, seconds=1.5):
    """A tone that glides and swells and never repeats, so that a delay can be found."""
    t = np.arange(round(rate * seconds)) / rate
    glide = np.sin(2 * np.pi * (150 * t + 300 * t * t))
    return (0.4 * glide * (0.3 + 0.7 * np.sin(2 * np.pi * 1.1 * t) ** 2)).astype(np.float32)


def encoded(encoding, rate, samples, frame_s=0.04):
    encoder = make_encoder(AudioFormat(encoding=encoding), rate)
    frame = round(rate * frame_s)
    chunks = [encoder.encode(samples[at : at + frame]) for at in range(0, len(samples), frame)]
    return [*chunks, encoder.flush()]


def decoded(data):
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        blocks = []
        while len(block := file.read(2048, dtype="float32")):
            blocks.append(block)
    return np.concatenate(blocks)


def with_total(flac, samples):
    """What libsndfile writes into a FLAC header at close; soundfile's own reader insists on it."""
    packed = int.from_bytes(flac[18:26], "big")
    return flac[:18] + (packed | samples).to_bytes(8, "big") + flac[26:]


def test_raw_encodings_are_the_bytes_of_the_format():
    samples = speechlike(16000, 0.2)
    for encoding in RAW_ENCODINGS:
        assert b"".join(encoded(encoding, 16000, samples)) == to_bytes(samples, encoding)


@pytest.mark.parametrize("rate", sample_rates("wav"))
def test_wav_is_exact_and_has_one_endless_header(rate):
    samples = speechlike(rate, 0.3)
    chunks = encoded("wav", rate, samples)
    assert chunks[0].startswith(b"RIFF\xff\xff\xff\xffWAVE")
    assert len(b"".join(chunks)) == 44 + 2 * len(samples)
    assert np.array_equal(decoded(b"".join(chunks)), to_s16(samples) / np.float32(32768))


def test_wav_header_with_a_length_is_a_plain_file(tmp_path):
    samples = speechlike(16000, 0.1)
    sound = to_bytes(samples, "pcm_s16le")
    path = tmp_path / "plain.wav"
    path.write_bytes(wav_header(16000, len(sound)) + sound)
    assert soundfile.info(path).frames == len(samples)


def test_wav_of_nothing_is_still_a_header():
    encoder = make_encoder(AudioFormat(encoding="wav"), 16000)
    assert encoder.flush() == wav_header(16000)
    assert encoder.flush() == b""


@needs("flac")
@pytest.mark.parametrize("rate", sample_rates("flac"))
def test_flac_is_exact(rate):
    samples = speechlike(rate, 0.5) * 3  # clips
    data = with_total(b"".join(encoded("flac", rate, samples)), len(samples))
    assert np.array_equal(decoded(data), to_s16(samples) / np.float32(32768))


def shift(heard, samples, rate):
    """Where in `heard` the sound begins, in samples, by the best match of its middle."""
    start, stop = rate // 4, rate // 2
    match = np.correlate(heard[: rate + rate // 4], samples[start:stop], "valid")
    return int(np.argmax(match)) - start


@pytest.mark.parametrize(("encoding", "alike"), LOSSY)
def test_lossy_encodings_come_out_near(encoding, alike):
    for rate in sample_rates(encoding):
        samples = speechlike(rate)
        heard = decoded(b"".join(encoded(encoding, rate, samples)))
        late = shift(heard, samples, rate)
        assert 0 <= late + rate // 200 <= 0.15 * rate, (rate, late)
        assert len(heard) >= len(samples)
        late = max(late, 0)
        length = len(samples) - rate // 100
        pair = heard[late : late + length], samples[:length]
        assert np.corrcoef(*pair)[0, 1] > alike, (rate, late)


@pytest.mark.parametrize(("encoding", "longest_s"), PROMPT)
def test_bytes_leave_while_the_sound_is_made(encoding, longest_s):
    for rate in sample_rates(encoding):
        frame_s = 0.02
        sizes = [len(chunk) for chunk in encoded(encoding, rate, speechlike(rate), frame_s)]
        gaps = np.diff([-1, *np.flatnonzero(sizes)]) * frame_s
        assert gaps.max() <= longest_s + 1e-9, rate


@needs("ogg_opus")
def test_opus_pages_are_short_because_libsndfile_was_told():
    assert encode.OpusEncoder(16000).prompt


@needs("ogg_opus")
def test_without_soundfiles_private_handle_opus_still_comes_out(monkeypatch):
    monkeypatch.delattr(soundfile, "_snd")
    file = io.BytesIO()
    with pytest.MonkeyPatch.context():
        assert set_ogg_page_latency(file, 50.0) is False


@needs("mp3")
def test_mp3_begins_with_sound():
    data = b"".join(encoded("mp3", 16000, speechlike(16000)))
    assert data[0] == 0xFF
    assert data[1] & 0xE0 == 0xE0
    assert any(data[6:40])


@pytest.mark.parametrize("rate", [22050, 44100])
def test_opus_refuses_rates_that_it_does_not_know(rate):
    with pytest.raises(BadField, match=str(rate)):
        make_encoder(AudioFormat(encoding="ogg_opus"), rate)


def test_unknown_encodings_are_named_with_what_there_is():
    with pytest.raises(BadField, match="'aac' is not one of pcm_s16le"):
        make_encoder(AudioFormat(encoding="aac"), 16000)


def test_an_encoding_that_this_build_lacks_is_not_offered(monkeypatch):
    class Broken:
        def __init__(self, rate):
            raise soundfile.SoundFileError("no such format")

    monkeypatch.setitem(encode._CONTAINERS, "mp3", Broken)
    assert encode._can_encode("mp3") is False
    assert encode._can_encode("wav") is True


@pytest.mark.parametrize("encoding", ["flac", "ogg_opus", "mp3"])
def test_after_flush_nothing_more(encoding):
    if encoding not in available_encodings():
        pytest.skip(f"this libsndfile cannot make {encoding}")
    encoder = make_encoder(AudioFormat(encoding=encoding), 16000)
    encoder.encode(np.zeros(640, np.float32))
    assert encoder.encode(np.zeros(0, np.float32)) is not None
    encoder.flush()
    assert encoder.flush() == b""
    with pytest.raises(ValueError, match="flushed"):
        encoder.encode(np.zeros(640, np.float32))


def test_two_streams_do_not_mix():
    samples = speechlike(16000, 0.4)
    alone = b"".join(encoded("flac", 16000, samples))
    one = make_encoder(AudioFormat(encoding="flac"), 16000)
    other = make_encoder(AudioFormat(encoding="flac"), 16000)
    mine = []
    for at in range(0, len(samples), 640):
        mine.append(one.encode(samples[at : at + 640]))
        other.encode(-samples[at : at + 640])
    assert b"".join([*mine, one.flush()]) == alone
    other.flush()


def test_only_what_is_appended_is_kept():
    kept = bytearray()
    file = AppendOnly(kept.extend)
    file.write(b"head")
    file.write(b"body")
    file.seek(0)
    file.write(b"HEAD")
    assert file.tell() == 4
    file.seek(0, 2)
    file.write(b"tail")
    assert kept == b"headbodytail"
    assert file.read() == b""
