"""From the voice's samples and frames to the chunks that leave: resampled, cut, encoded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamtts.audio.encode import make_encoder
from streamtts.audio.formats import BYTES_PER_SAMPLE, RAW_ENCODINGS, AudioFormat
from streamtts.audio.resample import StreamingResampler, resampler_delay
from streamtts.events import (
    FLAG_FADED,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_MEL,
    AudioChunk,
    MelChunk,
)

FADE_MS = 5
JOINED_MS = 200  # of frames that leave as one chunk at most
_CONTAINER_SAMPLES = 2304  # what the slowest container holds back: two frames of MP3
_CONTAINER_S = 0.06  # and the longest page


def held_back_s(audio: AudioFormat, voice_rate: int) -> float:
    """Sound that an `AudioPath` may hold back between two pushes, in seconds.

    Args:
        audio: with its rate resolved.
        voice_rate: Hz of what goes in.
    """
    rate = audio.sample_rate or voice_rate
    held_s = resampler_delay(voice_rate, rate) / rate + audio.frame_ms / 1000
    if audio.encoding not in RAW_ENCODINGS:
        held_s += _CONTAINER_SAMPLES / rate + _CONTAINER_S
    return held_s


class AudioPath:
    """One context's sound: samples of the voice in, chunks of `frame_ms` out.

    Args:
        audio: with its rate resolved.
        voice_rate: Hz of what goes in.

    Attributes:
        rate: Hz of what comes out.
        sent: output samples that have left in chunks.
        flags: added to every chunk.
    """

    def __init__(self, audio: AudioFormat, voice_rate: int) -> None:
        self.rate = audio.sample_rate or voice_rate
        self.sent = 0
        self.flags = 0
        self._ratio = self.rate / voice_rate
        self._frame = max(1, round(self.rate * audio.frame_ms / 1000))
        self._most = self._frame * (max(1, JOINED_MS // audio.frame_ms) if audio.joined else 1)
        self._resampler = StreamingResampler(voice_rate, self.rate)
        self._encoder = make_encoder(audio, self.rate)
        self._sample_bytes = BYTES_PER_SAMPLE.get(audio.encoding, 0)  # 0: not raw
        self._taken = 0  # samples of the voice
        self._buffer = np.zeros(0, np.float32)
        self._encoded = 0  # given to the encoder since the last chunk
        self._newest = np.float32(0.0)
        self._seq = 0
        self._over = False

    @property
    def generated(self) -> int:
        """Output samples that what came in stands for."""
        return round(self._taken * self._ratio)

    def push(self, samples: NDArray[np.float32]) -> list[AudioChunk]:
        """Takes float32 (S,) at the voice's rate; returns the chunks that are full."""
        self._taken += len(samples)
        return self._cut(self._resampler.process(samples))

    def finish(self) -> list[AudioChunk]:
        """Everything that is held back; the last chunk carries FLAG_LAST and may be empty."""
        chunks = self._cut(self._resampler.flush())
        rest, self._buffer = self._buffer, np.zeros(0, np.float32)
        self._over = True
        data = self._encode(rest) + self._encoder.flush()
        return [*chunks, self._chunk(data, FLAG_LAST)]

    def fade(self) -> AudioChunk | None:
        """Ends early: at most 5 ms of what had been made, fading to silence.

        None when nothing has been sent, so that nothing has to be faded, or all of it.
        """
        if self._seq == 0 or self._over:
            return None
        self._over = True
        length = round(self.rate * FADE_MS / 1000)
        tail = self._buffer[:length]
        newest = tail[-1] if len(tail) else self._newest
        tail = np.concatenate([tail, np.full(length - len(tail), newest, np.float32)])
        tail *= np.linspace(1.0, 0.0, length, dtype=np.float32)
        self._buffer = np.zeros(0, np.float32)
        data = self._encode(tail) + self._encoder.flush()
        return self._chunk(data, FLAG_LAST | FLAG_FADED)

    def _cut(self, samples: NDArray[np.float32]) -> list[AudioChunk]:
        buffer = np.concatenate([self._buffer, samples])
        whole = len(buffer) - len(buffer) % self._frame
        self._buffer = buffer[whole:]
        if self._sample_bytes:
            return self._cut_bytes(buffer[:whole])
        chunks = []
        for start in range(0, whole, self._most):
            data = self._encode(buffer[start : min(start + self._most, whole)])
            if data:
                chunks.append(self._chunk(data, 0))
        return chunks

    def _cut_bytes(self, samples: NDArray[np.float32]) -> list[AudioChunk]:
        """Whole frames in a raw encoding: encoded at once, cut as bytes."""
        data = self._encode(samples)
        size = self._most * self._sample_bytes
        chunks = []
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            self._encoded = len(piece) // self._sample_bytes
            chunks.append(self._chunk(piece, 0))
        return chunks

    def _encode(self, samples: NDArray[np.float32]) -> bytes:
        self._encoded += len(samples)
        if len(samples):
            self._newest = samples[-1]
        return self._encoder.encode(samples)

    def _chunk(self, data: bytes, flags: int) -> AudioChunk:
        flags |= self.flags | (0 if self._seq else FLAG_FIRST)
        chunk = AudioChunk(self._seq, flags, self.sent, data, self._encoded)
        self.sent += self._encoded
        self._encoded = 0
        self._seq += 1
        return chunk


class MelPath:
    """One context's mel frames, numbered.

    Args:
        samples_per_frame: output samples between two frames.

    Attributes:
        sent: output samples that the frames sent stand for.
        flags: added to every chunk.
    """

    def __init__(self, samples_per_frame: float) -> None:
        self.sent = 0
        self.flags = 0
        self._samples_per_frame = samples_per_frame
        self._frames = 0
        self._seq = 0
        self._over = False

    def push(self, mel: NDArray[np.float32], *, last: bool) -> MelChunk:
        """Takes (T, M) natural logarithms."""
        self._over = last
        return self._chunk(mel.astype("<f2").tobytes(), len(mel), FLAG_LAST if last else 0)

    def cut(self) -> MelChunk | None:
        """An empty last chunk for a context that was cut short; None where none is missing."""
        if self._seq == 0 or self._over:
            return None
        self._over = True
        return self._chunk(b"", 0, FLAG_LAST | FLAG_FADED)

    def _chunk(self, data: bytes, frames: int, flags: int) -> MelChunk:
        flags |= FLAG_MEL | self.flags | (0 if self._seq else FLAG_FIRST)
        chunk = MelChunk(self._seq, flags, self.sent, data)
        self._seq += 1
        self._frames += frames
        self.sent = round(self._frames * self._samples_per_frame)
        return chunk
