"""The 16-byte header in front of every binary frame."""

from __future__ import annotations

import struct
from typing import NamedTuple

from streamtts.errors import BadField

VERSION = 1
HEADER_BYTES = 16
FIRST, LAST, FILLER, FADED, MEL = 1, 2, 4, 8, 16
MAX_HANDLE = 65_535

_HEADER = struct.Struct("<BBHIQ")


class Header(NamedTuple):
    """What a binary frame carries, and where in its context it belongs.

    Attributes:
        flags: FIRST, LAST, FILLER (silence for what cannot be spoken), FADED (cut by a cancel)
            and MEL (mel frames in place of audio).
        handle: the context's number, as `opened` told it.
        seq: 0, 1, 2 ... for each kind of chunk of a context.
        first_sample: samples of the context before this chunk.
    """

    flags: int
    handle: int
    seq: int
    first_sample: int


def pack_header(flags: int, handle: int, seq: int, first_sample: int) -> bytes:
    """Packs a header into its 16 little-endian bytes."""
    return _HEADER.pack(VERSION, flags, handle, seq & 0xFFFF_FFFF, first_sample)


def unpack_header(frame: bytes | bytearray | memoryview) -> Header:
    """Reads the header of a binary frame; the payload follows it.

    Raises:
        BadField: shorter than a header, or of another version.
    """
    if len(frame) < HEADER_BYTES:
        raise BadField(f"a binary frame of {len(frame)} bytes is shorter than its header")
    version, flags, handle, seq, first_sample = _HEADER.unpack_from(frame)
    if version != VERSION:
        raise BadField(f"binary frames of version {version}; this side knows {VERSION}")
    return Header(flags, handle, seq, first_sample)
