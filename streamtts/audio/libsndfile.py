"""The one place that reaches behind soundfile's public face.

libsndfile sends an Ogg Opus page once a second of sound unless told otherwise, and soundfile has
no call to tell it. It is told here through soundfile's private handle; where a version of
soundfile has no such handle the stream is still right, only less prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import soundfile

if TYPE_CHECKING:
    from collections.abc import Callable

SFC_SET_OGG_PAGE_LATENCY_MS = 0x1302


def set_ogg_page_latency(file: soundfile.SoundFile, latency_ms: float) -> bool:
    """Asks libsndfile to close an Ogg page at least every `latency_ms` of sound.

    Args:
        file: open for writing, format OGG.
        latency_ms: libsndfile takes 50 to 1600 and treats less as its least.

    Returns:
        Whether libsndfile took it.
    """
    ffi: Any = getattr(soundfile, "_ffi", None)
    library: Any = getattr(soundfile, "_snd", None)
    handle: Any = getattr(file, "_file", None)
    if ffi is None or library is None or handle is None:
        return False
    value = ffi.new("double *", latency_ms)
    size = ffi.sizeof("double")
    return bool(library.sf_command(handle, SFC_SET_OGG_PAGE_LATENCY_MS, value, size) == 0)


class AppendOnly:
    """A file for libsndfile to write to, of which only what is appended is kept.

    libsndfile goes back to complete its headers when a file is closed; a listener has had them by
    then, so what is not written at the end is dropped.
    """

    def __init__(self, keep: Callable[[bytes], None]) -> None:
        self._keep = keep
        self._position = 0
        self._end = 0

    def write(self, data: bytes) -> int:
        """Passes on what lies at the end of the file."""
        block = bytes(data)
        if self._position == self._end:
            self._keep(block)
        self._position += len(block)
        self._end = max(self._end, self._position)
        return len(block)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Moves as a file does."""
        self._position = offset + (0, self._position, self._end)[whence]
        return self._position

    def tell(self) -> int:
        """Tells the position in bytes."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Nothing can be read back."""
        return b""
