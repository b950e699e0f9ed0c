"""How sound ends that a cancel cuts while it still waits for a slow client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from streamtts.audio.formats import BYTES_PER_SAMPLE, AudioFormat, from_bytes, to_bytes
from streamtts.chunks import FADE_MS
from streamtts.events import (
    FLAG_FADED,
    FLAG_FILLER,
    FLAG_FIRST,
    FLAG_LAST,
    FLAG_MEL,
    AudioChunk,
    MelChunk,
)
from streamtts.protocol import messages
from streamtts.protocol.codec import decode_server
from streamtts.protocol.frames import HEADER_BYTES, Header, unpack_header
from streamtts.server.outbox import Entry

Piece: TypeAlias = tuple[Header, bytes]


def endings(dropped: Sequence[Entry], audio: AudioFormat) -> list[AudioChunk | MelChunk]:
    """The last chunks of a context in place of those that were dropped, audio before mel.

    Args:
        dropped: what `Outbox.drop` took.
        audio: the context's format with its rate.

    Returns:
        At most one of each kind; none of a kind of which nothing has been sent, so that nothing
        has to end.
    """
    first: dict[int, Piece] = {}
    for entry in dropped:
        piece = _piece(entry.frame)
        if piece is not None:
            first.setdefault(piece[0].flags & FLAG_MEL, piece)
    found: list[AudioChunk | MelChunk] = []
    for mel, piece in sorted(first.items()):
        if not piece[0].flags & FLAG_FIRST:
            found.append(_mel_end(piece[0]) if mel else _faded(piece, audio))
    return found


def _piece(frame: str | bytes) -> Piece | None:
    """The chunk that a frame holds, if it holds one."""
    if isinstance(frame, bytes):
        return unpack_header(frame), frame[HEADER_BYTES:]
    told = decode_server(frame)
    if not isinstance(told, messages.Audio):
        return None
    return Header(told.flags, 0, told.seq, told.first_sample), told.data


def _faded(piece: Piece, audio: AudioFormat) -> AudioChunk:
    """The beginning of a chunk, fading to silence; containers end where they were cut."""
    header, data = piece
    flags = header.flags & FLAG_FILLER | FLAG_LAST | FLAG_FADED
    encoding = "pcm_s16le" if audio.encoding == "wav" else audio.encoding
    if encoding not in BYTES_PER_SAMPLE:
        return AudioChunk(header.seq, flags, header.first_sample, b"", 0)
    assert audio.sample_rate is not None
    length = round(audio.sample_rate * FADE_MS / 1000)
    samples = from_bytes(data[: length * BYTES_PER_SAMPLE[encoding]], encoding)
    faded = samples * np.linspace(1.0, 0.0, len(samples), dtype=np.float32)
    return AudioChunk(
        header.seq, flags, header.first_sample, to_bytes(faded, encoding), len(samples)
    )


def _mel_end(header: Header) -> MelChunk:
    flags = FLAG_MEL | FLAG_LAST | FLAG_FADED
    return MelChunk(header.seq, flags, header.first_sample, b"")
