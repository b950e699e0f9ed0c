"""Sound files by name: .wav .flac .ogg .opus .mp3, and .raw for bare 16-bit samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from streamtts.audio.formats import OPUS_SAMPLE_RATES, to_s16
from streamtts.errors import BadField, StreamTTSError

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

_KINDS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "OPUS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".raw": ("RAW", "PCM_16"),
}


class SoundFileWriter:
    """Writes mono sound to a file as it comes; complete once it is closed.

    Attributes:
        rate: Hz.
        samples: how many were written.
    """

    def __init__(self, path: str | Path, rate: int) -> None:
        """Creates the file.

        Args:
            path: the ending names the format.
            rate: Hz.

        Raises:
            BadField: an ending that is not known, or a rate that Opus cannot carry.
            StreamTTSError: the file cannot be written.
        """
        check_name(path)
        file_format, subtype = _KINDS[Path(path).suffix.lower()]
        if subtype == "OPUS" and rate not in OPUS_SAMPLE_RATES:
            able = ", ".join(map(str, OPUS_SAMPLE_RATES))
            raise BadField(f"{path}: Opus knows {able} Hz, not {rate}")
        self.rate = rate
        self.samples = 0
        self._exact = subtype == "PCM_16"
        try:
            self._file = soundfile.SoundFile(
                str(path), "w", samplerate=rate, channels=1, format=file_format, subtype=subtype
            )
        except soundfile.SoundFileError as error:
            raise StreamTTSError(f"cannot write {path}: {error}") from error

    def write(self, samples: NDArray[np.float32]) -> None:
        """Appends float32 (S,), full scale at 1.0."""
        if len(samples):
            self._file.write(to_s16(samples) if self._exact else np.clip(samples, -1.0, 1.0))
            self.samples += len(samples)

    def close(self) -> None:
        """Completes the file."""
        self._file.close()

    def __enter__(self) -> SoundFileWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def check_name(path: str | Path) -> None:
    """Checks the ending of a file's name before any work is done for it.

    Raises:
        BadField: it is none of those that can be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _KINDS:
        raise BadField(f"{path}: the ending {suffix!r} is not one of {' '.join(_KINDS)}")
