"""Finds voices by id, loads them, and writes new ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from streamtts.errors import UnknownVoice, VoiceError
from streamtts.model.acoustic import AcousticConfig, AcousticModel
from streamtts.text.symbols import FEATURES, SYMBOLS_VERSION
from streamtts.vocoder.vocoder import Vocoder, VocoderConfig
from streamtts.voice.manifest import (
    CARD,
    FORMAT_VERSION,
    MANIFEST,
    FileEntry,
    Manifest,
    read_manifest,
    sha256_of,
    verify,
    write_manifest,
)

SHIPPED = Path(__file__).parent.parent / "voices"
ACOUSTIC, VOCODER = "acoustic.safetensors", "vocoder.safetensors"
C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice that is ready to speak: float32, eval mode, no gradients."""

    manifest: Manifest
    acoustic: AcousticModel
    vocoder: Vocoder

    @property
    def id(self) -> str:
        """The manifest's id."""
        return self.manifest.id


def list_voices(directories: Sequence[Path] = (SHIPPED,)) -> list[Manifest]:
    """The voices in these folders, by id; a damaged one is an error, not a gap.

    Raises:
        VoiceError: a folder with a manifest that cannot be read.
    """
    folders = (f for d in directories if d.is_dir() for f in d.iterdir())
    found = [read_manifest(f) for f in folders if (f / MANIFEST).is_file()]
    return sorted(found, key=lambda m: m.id)


def find_voice(voice: str, directories: Sequence[Path] = (SHIPPED,)) -> Path:
    """The folder of a voice.

    Args:
        voice: an id, or the path of a voice's folder.
        directories: searched in order.

    Raises:
        UnknownVoice: none of that name; the message names those that there are.
    """
    if "/" in voice or "\\" in voice:
        return Path(voice)
    for directory in directories:
        if (directory / voice / MANIFEST).is_file():
            return directory / voice
    have = ", ".join(m.id for m in list_voices(directories)) or "none"
    raise UnknownVoice(f"there is no voice {voice!r}; there is: {have}")


def load_voice(voice: str | Path, directories: Sequence[Path] = (SHIPPED,)) -> Voice:
    """Verifies and loads a voice.

    Args:
        voice: an id, or a voice's folder.
        directories: where ids are looked up.

    Raises:
        UnknownVoice: no such id.
        VoiceError: a file is missing, cut short, changed, or of another format.
    """
    folder = voice if isinstance(voice, Path) else find_voice(voice, directories)
    manifest = read_manifest(folder)
    table = {name: tuple(values) for name, values in FEATURES}
    if manifest.symbols_version != SYMBOLS_VERSION or manifest.symbols != table:
        raise VoiceError(
            f"voice {manifest.id} speaks symbol table {manifest.symbols_version}, this version of "
            f"streamtts {SYMBOLS_VERSION}: train it again, or use the version that made it"
        )
    verify(folder, manifest)
    acoustic = AcousticModel(_config(AcousticConfig, manifest.acoustic, manifest.id))
    vocoder = Vocoder(_config(VocoderConfig, manifest.vocoder, manifest.id))
    _load_weights(acoustic, folder / ACOUSTIC)
    _load_weights(vocoder, folder / VOCODER)
    return Voice(manifest, acoustic, vocoder)


def _config(cls: type[C], values: dict[str, Any], voice: str) -> C:
    """A frozen config dataclass from the manifest; JSON's lists become tuples."""
    names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if set(values) != names:
        odd = ", ".join(sorted(set(values) ^ names))
        raise VoiceError(f"voice {voice}: sizes that do not fit this version: {odd}")
    return cls(**{k: _tuple(v) for k, v in values.items()})


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value


def _load_weights(module: nn.Module, path: Path) -> None:
    try:
        module.load_state_dict(load_file(path))
    except (SafetensorError, OSError, RuntimeError, KeyError) as error:
        raise VoiceError(f"{path} cannot be loaded: {str(error).splitlines()[0]}") from None
    module.eval().requires_grad_(False)


def save_voice(
    folder: Path,
    acoustic: AcousticModel,
    vocoder: Vocoder,
    card: str,
    *,
    voice_id: str,
    name: str,
    language: str,
    description: str,
    licence: str,
    origin: str,
) -> Manifest:
    """Writes a voice's folder; the manifest comes last, so a folder with one is whole.

    Args:
        folder: made if missing; files of an earlier voice in it are replaced.
        acoustic: trained.
        vocoder: trained.
        card: Markdown for people.
        voice_id: see `Manifest`, like the rest.
        name: for people.
        language: BCP 47.
        description: one line.
        licence: of the weights.
        origin: what it was trained on, and how.

    Returns:
        the manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    save_file({k: v.contiguous() for k, v in acoustic.state_dict().items()}, folder / ACOUSTIC)
    save_file({k: v.contiguous() for k, v in vocoder.state_dict().items()}, folder / VOCODER)
    (folder / CARD).write_text(card, encoding="utf-8")
    files = {
        n: FileEntry(sha256_of(folder / n), (folder / n).stat().st_size)
        for n in (ACOUSTIC, VOCODER)
    }
    manifest = Manifest(
        id=voice_id,
        format_version=FORMAT_VERSION,
        name=name,
        language=language,
        description=description,
        licence=licence,
        origin=origin,
        created=datetime.now(UTC).date().isoformat(),
        sample_rate=vocoder.sample_rate,
        hop_length=vocoder.hop_length,
        n_mels=acoustic.config.n_mels,
        reduction_factor=acoustic.reduction_factor,
        lookahead_symbols=acoustic.lookahead_symbols,
        lookahead_frames=acoustic.lookahead_frames + vocoder.lookahead_frames,
        delay_samples=vocoder.delay_samples,
        f0_mean_ln=acoustic.config.f0_mean_ln,
        symbols_version=SYMBOLS_VERSION,
        symbols=dict(FEATURES),
        files=files,
        acoustic=dataclasses.asdict(acoustic.config),
        vocoder=dataclasses.asdict(vocoder.config),
    )
    write_manifest(folder, manifest)
    return manifest
