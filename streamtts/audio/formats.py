"""What audio on the wire looks like, and the change between float samples and raw bytes.

Inside streamtts sound is float32, mono, full scale at 1.0. On the wire it is one of
`RAW_ENCODINGS` (no header, every sample in a fixed number of bytes) or one of
`CONTAINER_ENCODINGS` (streamtts.audio.encode).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from streamtts.errors import BadField

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_RATES = (8000, 16000, 22050, 24000, 44100, 48000)
BYTES_PER_SAMPLE = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}
RAW_ENCODINGS = tuple(BYTES_PER_SAMPLE)
CONTAINER_ENCODINGS = ("wav", "flac", "ogg_opus", "mp3")
ENCODINGS = (*RAW_ENCODINGS, *CONTAINER_ENCODINGS)
OPUS_SAMPLE_RATES = (8000, 16000, 24000, 48000)
FRAME_MS_RANGE = (10, 1000)


class AudioFormat(msgspec.Struct, frozen=True):
    """How a listener wants its sound.

    Attributes:
        encoding: one of `ENCODINGS`.
        sample_rate: Hz, one of `SAMPLE_RATES`; None is the voice's own rate.
        frame_ms: length of one chunk in milliseconds, within `FRAME_MS_RANGE`.
        joined: frames that are ready together leave as one chunk: the first ones alone, later
            ones, when sound is made well ahead of the listener, several at a time.
    """

    encoding: str = "pcm_s16le"
    sample_rate: int | None = None
    frame_ms: int = 40
    joined: bool = False


def sample_rates(encoding: str) -> tuple[int, ...]:
    """Lists the sample rates in Hz that an encoding can carry.

    Raises:
        BadField: for an encoding that is not one of `ENCODINGS`.
    """
    if encoding not in ENCODINGS:
        raise BadField(f"audio.encoding {encoding!r} is not one of {', '.join(ENCODINGS)}")
    return OPUS_SAMPLE_RATES if encoding == "ogg_opus" else SAMPLE_RATES


def resolve(audio: AudioFormat, voice_rate: int) -> AudioFormat:
    """Checks a format and fills in the rate of the voice where none was asked for.

    Args:
        audio: what was asked for.
        voice_rate: the sample rate of the voice in Hz.

    Returns:
        The same format with `sample_rate` set.

    Raises:
        BadField: for an unknown encoding, a rate that the encoding cannot carry, or a
            `frame_ms` out of range.
    """
    rates = sample_rates(audio.encoding)
    rate = voice_rate if audio.sample_rate is None else audio.sample_rate
    own_raw = audio.sample_rate is None and audio.encoding in RAW_ENCODINGS
    if rate not in rates and not own_raw:
        able = ", ".join(str(known) for known in rates)
        raise BadField(f"audio.sample_rate {rate} is not one of {able} for {audio.encoding}")
    low, high = FRAME_MS_RANGE
    if not low <= audio.frame_ms <= high:
        raise BadField(f"audio.frame_ms {audio.frame_ms} is not within {low} to {high}")
    return msgspec.structs.replace(audio, sample_rate=rate)


def to_s16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Turns floats (S,) into 16 bits by rounding; what is beyond full scale is clipped."""
    scaled = np.asarray(samples, np.float32) * np.float32(32768.0)
    np.rint(scaled, out=scaled)
    np.minimum(scaled, np.float32(32767.0), out=scaled)
    np.maximum(scaled, np.float32(-32768.0), out=scaled)
    return scaled.astype(np.int16)


def to_bytes(samples: NDArray[np.float32], encoding: str) -> bytes:
    """Turns floats (S,) into raw bytes.

    Args:
        samples: float32, full scale at 1.0.
        encoding: one of `RAW_ENCODINGS`. No dither; only `pcm_f32le` keeps what is beyond full
            scale.

    Raises:
        BadField: for an encoding that is not raw.
    """
    if encoding == "pcm_s16le":
        return to_s16(samples).astype("<i2", copy=False).tobytes()
    if encoding == "pcm_f32le":
        return np.asarray(samples).astype("<f4", copy=False).tobytes()
    if encoding in ("mulaw", "alaw"):
        table = _mulaw_codes() if encoding == "mulaw" else _alaw_codes()
        return table[to_s16(samples).view(np.uint16)].tobytes()
    raise BadField(f"{encoding!r} is not a raw encoding: {', '.join(RAW_ENCODINGS)}")


def from_bytes(data: bytes | bytearray | memoryview, encoding: str) -> NDArray[np.float32]:
    """Turns raw bytes into floats (S,).

    Args:
        data: whole samples.
        encoding: one of `RAW_ENCODINGS`.

    Raises:
        BadField: for an encoding that is not raw, or when a sample is cut in two.
    """
    if encoding not in BYTES_PER_SAMPLE:
        raise BadField(f"{encoding!r} is not a raw encoding: {', '.join(RAW_ENCODINGS)}")
    if memoryview(data).nbytes % BYTES_PER_SAMPLE[encoding]:
        raise BadField(f"{memoryview(data).nbytes} bytes of {encoding} cut a sample in two")
    if encoding == "pcm_f32le":
        return np.frombuffer(data, "<f4").astype(np.float32)
    if encoding == "pcm_s16le":
        linear: NDArray[Any] = np.frombuffer(data, "<i2")
    else:
        table = _mulaw_values() if encoding == "mulaw" else _alaw_values()
        linear = table[np.frombuffer(data, np.uint8)]
    return linear.astype(np.float32) / np.float32(32768.0)


def _all_s16() -> NDArray[np.int32]:
    """Every 16-bit value, at the index that its bits spell as an unsigned number."""
    return np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)


def _exponent(magnitude: NDArray[np.int32]) -> NDArray[np.int32]:
    """Position of the highest bit that is set (magnitude > 0)."""
    return (np.frexp(magnitude.astype(np.float64))[1] - 1).astype(np.int32)


@functools.cache
def _mulaw_codes() -> NDArray[np.uint8]:
    """ITU-T G.711 table 2a/2b: 14 bits, bias 33; negative values by ones' complement."""
    linear = _all_s16()
    magnitude = np.where(linear < 0, ~linear, linear) >> 2
    magnitude = np.minimum(magnitude + 33, 0x1FFF)
    segment = _exponent(magnitude) - 5
    code = (segment << 4) | ((magnitude >> (segment + 1)) & 0x0F)
    signed: NDArray[np.int32] = np.where(linear < 0, code | 0x80, code)
    return (~signed & 0xFF).astype(np.uint8)


@functools.cache
def _mulaw_values() -> NDArray[np.int16]:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    segment = (code >> 4) & 0x07
    magnitude = ((((code & 0x0F) << 1) + 33) << segment) - 33
    return (np.where(code & 0x80, -magnitude, magnitude) * 4).astype(np.int16)


@functools.cache
def _alaw_codes() -> NDArray[np.uint8]:
    """ITU-T G.711 table 1a/1b: 13 bits, even bits inverted; negative by ones' complement."""
    linear = _all_s16()
    magnitude = np.where(linear < 0, ~linear, linear) >> 4
    segment = np.maximum(_exponent(np.maximum(magnitude, 1)) - 3, 1)
    curved = (segment << 4) + (magnitude >> (segment - 1)) - 16
    code = np.where(magnitude > 15, curved, magnitude)
    return (np.where(linear < 0, code, code | 0x80) ^ 0x55).astype(np.uint8)


@functools.cache
def _alaw_values() -> NDArray[np.int16]:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code >> 4) & 0x07
    mantissa = (code & 0x0F) + np.where(segment > 0, 16, 0)
    magnitude = ((mantissa << 4) + 8) << np.maximum(segment - 1, 0)
    signed: NDArray[np.int32] = np.where(code & 0x80, magnitude, -magnitude)
    return signed.astype(np.int16)
