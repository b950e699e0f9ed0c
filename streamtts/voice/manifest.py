"""`voice.json`: what a voice is, what it needs, and the hashes of its files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import msgspec

from streamtts.errors import VoiceError

FORMAT_VERSION = 1
MANIFEST = "voice.json"
CARD = "card.md"
MAX_MANIFEST_BYTES = 1 << 20

VoiceId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
FileName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]


class FileEntry(msgspec.Struct, frozen=True):
    """A file of the voice: its SHA-256 in hexadecimal and its size."""

    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `voice.json`.

    Attributes:
        id: names the voice on the wire and in the config.
        format_version: of this file and of the weights; other versions are refused.
        name: for people.
        language: BCP 47.
        description: one line.
        licence: of the weights.
        origin: what it was trained on, and by which command.
        created: date, ISO 8601.
        sample_rate: Hz of the sound.
        hop_length: samples a frame.
        n_mels: mel bins a frame.
        reduction_factor: frames a decoder step.
        lookahead_symbols: symbols that must be known behind the one that is spoken.
        lookahead_frames: frames that postnet and vocoder's net look ahead, together.
        delay_samples: by which the vocoder's sound is late.
        f0_mean_ln: mean of ln F0 in Hz, where `pitch_range` turns.
        symbols_version: of the symbol table.
        symbols: the values of each symbol feature, in the order of the model's ids.
        files: by name.
        acoustic: sizes of the acoustic model.
        vocoder: sizes of the vocoder.
    """

    id: VoiceId
    format_version: int
    name: str
    language: str
    description: str
    licence: str
    origin: str
    created: str
    sample_rate: int
    hop_length: int
    n_mels: int
    reduction_factor: int
    lookahead_symbols: int
    lookahead_frames: int
    delay_samples: int
    f0_mean_ln: float
    symbols_version: int
    symbols: dict[str, tuple[str, ...]]
    files: dict[FileName, FileEntry]
    acoustic: dict[str, Any]
    vocoder: dict[str, Any]


def read_manifest(folder: Path) -> Manifest:
    """Reads and checks `voice.json`; no other file of the voice is opened.

    Raises:
        VoiceError: missing, unreadable, of a wrong shape or of another format version.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise VoiceError(f"{path} is larger than {MAX_MANIFEST_BYTES} bytes: no manifest")
        raw = path.read_bytes()
    except OSError as error:
        raise VoiceError(f"no voice at {folder}: {path.name} cannot be read ({error})") from None
    try:
        version = msgspec.json.decode(raw, type=dict[str, Any]).get("format_version")
        if version != FORMAT_VERSION:
            raise VoiceError(
                f"{path} has format {version}, this version of streamtts reads {FORMAT_VERSION}; "
                "install the version that made it, or train the voice again"
            )
        return msgspec.json.decode(raw, type=Manifest)
    except msgspec.DecodeError as error:
        raise VoiceError(f"{path} is damaged: {error}") from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes `voice.json`, whole or not at all."""
    part = folder / (MANIFEST + ".part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    part.replace(folder / MANIFEST)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(folder: Path, manifest: Manifest) -> None:
    """Compares every file of a voice with its manifest.

    Raises:
        VoiceError: a file is missing, cut short, or is not the one that was hashed.
    """
    for name, entry in manifest.files.items():
        path = folder / name
        try:
            size = path.stat().st_size
        except OSError as error:
            raise VoiceError(f"voice {manifest.id}: {path} cannot be read ({error})") from None
        if size != entry.bytes:
            raise VoiceError(
                f"voice {manifest.id}: {path} has {size} bytes, {entry.bytes} are right; "
                "it was cut short or changed: install the voice again"
            )
        if sha256_of(path) != entry.sha256:
            raise VoiceError(
                f"voice {manifest.id}: {path} does not have the hash in {MANIFEST}; "
                "it was damaged or changed: install the voice again"
            )
