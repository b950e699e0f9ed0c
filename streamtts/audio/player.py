"""The sound card, through the optional package sounddevice (extra `[play]`)."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from streamtts.errors import StreamTTSError

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray


class Player:
    """Plays mono sound as it comes, and silence while there is none.

    `write` never blocks: what bounds the queue is the server's lead, or `queued_s` and a caller
    that waits.

    Attributes:
        rate: Hz.
    """

    def __init__(self, rate: int) -> None:
        """Opens the default output.

        Raises:
            StreamTTSError: sounddevice or PortAudio is missing, or there is no output.
        """
        self.rate = rate
        self._blocks: deque[NDArray[np.float32]] = deque()
        self._lock = threading.Lock()
        self._queued = 0
        self._taken = 0
        sounddevice = _sounddevice()
        try:
            self._stream: Any = sounddevice.OutputStream(
                samplerate=rate, channels=1, dtype="float32", callback=self._fill
            )
            self._stream.start()
        except sounddevice.PortAudioError as error:
            raise StreamTTSError(f"cannot play: {error}") from error

    def write(self, samples: NDArray[np.float32]) -> None:
        """Queues float32 (S,), full scale at 1.0."""
        with self._lock:
            self._blocks.append(np.asarray(samples, np.float32))
            self._queued += len(samples)

    @property
    def queued_s(self) -> float:
        """Seconds of sound that the sound card has not taken yet."""
        with self._lock:
            return self._queued / self.rate

    @property
    def played_samples(self) -> int:
        """Samples that were heard: those taken, less what the sound card holds."""
        with self._lock:
            held = int(float(self._stream.latency) * self.rate) if self._queued else 0
            return max(self._taken - held, 0)

    def stop(self) -> None:
        """Falls silent and forgets what is queued; what is written later is played."""
        with self._lock:
            self._blocks.clear()
            self._queued = 0

    def close(self) -> None:
        """Gives the sound card back, after what it holds was heard."""
        self._stream.stop()
        self._stream.close()

    def __enter__(self) -> Player:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _fill(self, out: NDArray[np.float32], frames: int, time: object, status: object) -> None:
        """Called by PortAudio: fills out (frames, 1)."""
        at = 0
        with self._lock:
            while at < frames and self._blocks:
                block = self._blocks.popleft()
                part = block[: frames - at]
                out[at : at + len(part), 0] = part
                at += len(part)
                if len(part) < len(block):
                    self._blocks.appendleft(block[len(part) :])
            self._queued -= at
            self._taken += at
        out[at:, 0] = 0.0


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise StreamTTSError("playing needs sounddevice: pip install 'streamtts[play]'") from None
    except OSError as error:
        raise StreamTTSError(
            f"playing needs the PortAudio library (Debian: apt install libportaudio2): {error}"
        ) from error
    return sounddevice
