import math
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamtts.audio.formats import (
    ENCODINGS,
    RAW_ENCODINGS,
    SAMPLE_RATES,
    AudioFormat,
    from_bytes,
    resolve,
    sample_rates,
    to_bytes,
    to_s16,
)
from streamtts.errors import BadField

EVERY_S16 = np.arange(-32768, 32768).astype(np.int16)


def floats(linear):
    return np.asarray(linear, np.float32) / np.float32(32768)


def test_s16_rounds_to_the_nearest_and_clips():
    samples = np.array([0, 0.6 / 32768, -0.6 / 32768, 1.0, 1.5, -1.0, -7.0, np.inf], np.float32)
    assert to_s16(samples).tolist() == [0, 1, -1, 32767, 32767, -32768, -32768, 32767]


@pytest.mark.parametrize("encoding", RAW_ENCODINGS)
def test_what_was_decoded_encodes_to_the_same_bytes(encoding):
    data = to_bytes(floats(EVERY_S16), encoding)
    again = to_bytes(from_bytes(data, encoding), encoding)
    if encoding == "mulaw":  # negative zero is the one value with two codes
        again = again.replace(b"\x7f", b"\xff")
        data = data.replace(b"\x7f", b"\xff")
    assert again == data


def test_pcm_keeps_every_value():
    assert np.array_equal(from_bytes(to_bytes(floats(EVERY_S16), "pcm_s16le"), "pcm_s16le"),
                          floats(EVERY_S16))  # fmt: skip
    loud = np.array([1.25, -3.5, 1e-20], np.float32)
    assert np.array_equal(from_bytes(to_bytes(loud, "pcm_f32le"), "pcm_f32le"), loud)


def test_little_endian_on_the_wire():
    assert to_bytes(floats([258, -2]), "pcm_s16le") == b"\x02\x01\xfe\xff"
    assert to_bytes(np.array([1.0], np.float32), "pcm_f32le") == b"\x00\x00\x80\x3f"


# ITU-T G.711 tables 1 and 2: decision values and code words, here on the 16-bit scale.
MULAW = {0: 0xFF, -1: 0x7F, 32635: 0x80, 32767: 0x80, -32768: 0x00, 8 * 4: 0xFB, 1000: 0xCE,
         -1000: 0x4E, 31 * 4 : 0xEF, 30 * 4: 0xF0, 95 * 4: 0xDF}  # fmt: skip
ALAW = {0: 0xD5, -1: 0x55, 15: 0xD5, 16: 0xD4, 32767: 0xAA, -32768: 0x2A, 1000: 0xFA, -1000: 0x7A,
        256: 0xC5, 512: 0xF5, 1024: 0xE5}  # fmt: skip


@pytest.mark.parametrize(("encoding", "known"), [("mulaw", MULAW), ("alaw", ALAW)])
def test_g711_code_words(encoding, known):
    codes = to_bytes(floats(list(known)), encoding)
    assert {value: code for value, code in zip(known, codes, strict=True)} == known


@pytest.mark.parametrize(("encoding", "subtype"), [("mulaw", "ULAW"), ("alaw", "ALAW")])
def test_g711_values_are_libsndfiles(encoding, subtype, tmp_path):
    path = tmp_path / "codes.raw"
    path.write_bytes(bytes(range(256)))
    theirs, _ = soundfile.read(path, dtype="int16", samplerate=8000, channels=1, format="RAW",
                               subtype=subtype)  # fmt: skip
    assert np.array_equal(from_bytes(bytes(range(256)), encoding), floats(theirs))


@pytest.mark.parametrize(("encoding", "smallest", "relative"), [
    ("mulaw", 4, 1 / 32), ("alaw", 8, 1 / 32),
])  # fmt: skip
def test_g711_is_monotonic_and_near(encoding, smallest, relative):
    linear = EVERY_S16.astype(np.float64)
    decoded = from_bytes(to_bytes(floats(EVERY_S16), encoding), encoding).astype(float) * 32768
    assert np.all(np.diff(decoded) >= 0)
    inside = np.abs(linear) <= 31000
    bound = smallest + (np.abs(linear) + 132) * relative
    assert np.all(np.abs(decoded - linear)[inside] <= bound[inside])


@given(st.lists(st.floats(-2, 2, width=32), max_size=40), st.integers(0, 40),
       st.sampled_from(RAW_ENCODINGS))  # fmt: skip
def test_raw_bytes_do_not_depend_on_the_cut(values, cut, encoding):
    samples = np.array(values, np.float32)
    halves = to_bytes(samples[:cut], encoding) + to_bytes(samples[cut:], encoding)
    assert halves == to_bytes(samples, encoding)
    assert len(from_bytes(halves, encoding)) == len(samples)


def test_a_sample_cut_in_two_and_unknown_encodings_are_named():
    with pytest.raises(BadField, match="3 bytes of pcm_s16le"):
        from_bytes(b"abc", "pcm_s16le")
    with pytest.raises(BadField, match="flac"):
        from_bytes(b"", "flac")
    with pytest.raises(BadField, match="pcm_s8"):
        to_bytes(np.zeros(1, np.float32), "pcm_s8")


def test_resolve_fills_in_the_rate_of_the_voice():
    assert resolve(AudioFormat(), 16000) == AudioFormat("pcm_s16le", 16000, 40)
    assert resolve(AudioFormat("mulaw", 8000, 20), 16000) == AudioFormat("mulaw", 8000, 20)
    assert resolve(AudioFormat(), 11025).sample_rate == 11025


@pytest.mark.parametrize(("audio", "says"), [
    (AudioFormat("speex"), "encoding 'speex'"),
    (AudioFormat(sample_rate=11025), "sample_rate 11025"),
    (AudioFormat("ogg_opus", 22050), "8000, 16000, 24000, 48000 for ogg_opus"),
    (AudioFormat("ogg_opus", 44100), "sample_rate 44100"),
    (AudioFormat(frame_ms=0), "frame_ms 0"),
    (AudioFormat(frame_ms=5000), "within 10 to 1000"),
])  # fmt: skip
def test_resolve_names_what_is_wrong(audio, says):
    with pytest.raises(BadField, match=says):
        resolve(audio, 16000)


def test_an_opus_stream_of_a_voice_that_it_cannot_carry_needs_a_rate():
    with pytest.raises(BadField, match="22050"):
        resolve(AudioFormat("ogg_opus"), 22050)


def test_every_encoding_has_rates():
    assert {encoding: sample_rates(encoding) for encoding in ENCODINGS}["mulaw"] == SAMPLE_RATES
    assert math.gcd(*sample_rates("ogg_opus")) == 8000


def test_formats_and_encoders_need_no_soxr():
    code = "import sys, streamtts.audio.encode; sys.exit('soxr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
