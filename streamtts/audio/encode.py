"""One streaming encoder per stream: float samples in, bytes that may leave at once out.

`make_encoder` makes it; every block of samples goes through `encode`, and `flush` ends the stream.
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Protocol

import numpy as np
import soundfile

from streamtts.audio.formats import (
    CONTAINER_ENCODINGS,
    ENCODINGS,
    RAW_ENCODINGS,
    AudioFormat,
    sample_rates,
    to_bytes,
    to_s16,
)
from streamtts.audio.libsndfile import AppendOnly, set_ogg_page_latency
from streamtts.errors import BadField

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ENDLESS = 0xFFFFFFFF
_OPUS_PAGE_MS = 50.0
_PROBE_RATE = 16000


class Encoder(Protocol):
    """Turns one mono stream into bytes; not to be shared between threads."""

    def encode(self, samples: NDArray[np.float32]) -> bytes:
        """Takes float32 (S,); returns the bytes that are ready, perhaps none."""

    def flush(self) -> bytes:
        """Returns what was held back and ends the stream; a second call returns nothing."""


class RawEncoder:
    """Samples without a header, each in a fixed number of bytes."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding

    def encode(self, samples: NDArray[np.float32]) -> bytes:
        """Takes float32 (S,); returns all of it as bytes."""
        return to_bytes(samples, self._encoding)

    def flush(self) -> bytes:
        """Returns nothing: nothing is held back."""
        return b""


class WavEncoder:
    """16-bit WAV whose header says that it has no end, as a stream's must."""

    def __init__(self, rate: int) -> None:
        self._header = wav_header(rate)

    def encode(self, samples: NDArray[np.float32]) -> bytes:
        """Takes float32 (S,); returns all of it, the first time behind the header."""
        header, self._header = self._header, b""
        return header + to_bytes(samples, "pcm_s16le")

    def flush(self) -> bytes:
        """Returns the header when there was no sound at all."""
        header, self._header = self._header, b""
        return header


def wav_header(rate: int, data_bytes: int | None = None) -> bytes:
    """Makes the 44-byte header of a mono 16-bit WAV.

    Args:
        rate: Hz.
        data_bytes: length of the sound; None when it is not known yet.
    """
    data_bytes = _ENDLESS if data_bytes is None else data_bytes
    riff_bytes = min(data_bytes + 36, _ENDLESS)
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", riff_bytes, b"WAVE", b"fmt ", 16, 1, 1, rate,
                       rate * 2, 2, 16)  # fmt: skip
    return head + struct.pack("<4sI", b"data", data_bytes)


class _SoundfileEncoder:
    """What FLAC, Opus and MP3 share: libsndfile writes into memory, and what it appends leaves."""

    def __init__(self, file_format: str, subtype: str, rate: int, **options: object) -> None:
        self._ready = bytearray()
        self._file: soundfile.SoundFile | None = soundfile.SoundFile(
            AppendOnly(self._ready.extend),
            "w",
            samplerate=rate,
            channels=1,
            format=file_format,
            subtype=subtype,
            **options,
        )

    def encode(self, samples: NDArray[np.float32]) -> bytes:
        """Takes float32 (S,); returns the blocks that are complete.

        Raises:
            ValueError: after `flush`.
        """
        if self._file is None:
            raise ValueError("the stream was flushed: it takes no more samples")
        if len(samples):
            self._file.write(self._prepare(samples))
        return self._take()

    def flush(self) -> bytes:
        """Completes the last block and ends the stream."""
        if self._file is None:
            return b""
        self._file.close()
        self._file = None
        return self._take()

    def _prepare(self, samples: NDArray[np.float32]) -> NDArray[np.float32] | NDArray[np.int16]:
        return np.clip(np.asarray(samples, np.float32), -1.0, 1.0)

    def _take(self) -> bytes:
        ready = bytes(self._ready)
        self._ready.clear()
        return ready


class FlacEncoder(_SoundfileEncoder):
    """FLAC of 16 bits in blocks of 1,152 samples (level 2; from level 3 on they are 4,096)."""

    def __init__(self, rate: int) -> None:
        super().__init__("FLAC", "PCM_16", rate, compression_level=0.25)

    def _prepare(self, samples: NDArray[np.float32]) -> NDArray[np.int16]:
        return to_s16(samples)


class OpusEncoder(_SoundfileEncoder):
    """Ogg Opus, a page about every 50 ms.

    Attributes:
        prompt: whether libsndfile agreed to the short pages; otherwise they last a second.
    """

    def __init__(self, rate: int) -> None:
        super().__init__("OGG", "OPUS", rate)
        self.prompt = self._file is not None and set_ogg_page_latency(self._file, _OPUS_PAGE_MS)


class Mp3Encoder(_SoundfileEncoder):
    """MP3 of constant bit rate (a variable one needs a table that a stream cannot have).

    LAME begins with an empty frame, a place for that table: it is left out, as it would be heard
    as silence.
    """

    def __init__(self, rate: int) -> None:
        self._begun = False
        level = 0.8 if rate > 24000 else 0.5  # 96 kbit/s; 80, and 32 at 8 kHz
        super().__init__(
            "MP3", "MPEG_LAYER_III", rate, bitrate_mode="CONSTANT", compression_level=level
        )

    def _take(self) -> bytes:
        ready = super()._take()
        if not self._begun and ready:
            self._begun = True
            ready = _without_empty_frame(ready)
        return ready


def _without_empty_frame(data: bytes) -> bytes:
    """Drops the first MP3 frame when nothing but zeros follows its header."""
    second = data.find(data[:2], 4)
    end = len(data) if second < 0 else second
    return data[end:] if not any(data[6:end]) else data


def make_encoder(audio: AudioFormat, rate: int) -> Encoder:
    """Makes the encoder of one stream.

    Args:
        audio: only its `encoding` is read.
        rate: Hz of the samples that will be given.

    Raises:
        BadField: for an unknown encoding, one that this build of libsndfile lacks, or a rate
            that the encoding cannot carry.
    """
    encoding = audio.encoding
    if encoding not in available_encodings():
        able = ", ".join(available_encodings())
        raise BadField(f"audio.encoding {encoding!r} is not one of {able}")
    if encoding in RAW_ENCODINGS:
        return RawEncoder(encoding)
    if rate not in sample_rates(encoding):
        able = ", ".join(str(known) for known in sample_rates(encoding))
        raise BadField(f"audio.sample_rate {rate} is not one of {able} for {encoding}")
    return _CONTAINERS[encoding](rate)


@functools.cache
def available_encodings() -> tuple[str, ...]:
    """Lists the encodings that this machine's libsndfile can make, tried once on first use."""
    missing = {encoding for encoding in CONTAINER_ENCODINGS if not _can_encode(encoding)}
    return tuple(encoding for encoding in ENCODINGS if encoding not in missing)


def _can_encode(encoding: str) -> bool:
    try:
        encoder = _CONTAINERS[encoding](_PROBE_RATE)
        sound = encoder.encode(np.zeros(_PROBE_RATE // 5, np.float32)) + encoder.flush()
    except (soundfile.SoundFileError, TypeError, ValueError):
        return False
    return len(sound) > 0


_CONTAINERS: dict[str, type[WavEncoder | FlacEncoder | OpusEncoder | Mp3Encoder]] = {
    "wav": WavEncoder,
    "flac": FlacEncoder,
    "ogg_opus": OpusEncoder,
    "mp3": Mp3Encoder,
}
