"""`card.md`: what a voice is, for people, with what was measured on it."""

from __future__ import annotations

from pathlib import Path

from streamtts.voice.manifest import Manifest


def write_card(path: Path, manifest: Manifest, table: str) -> None:
    """Writes a voice's card.

    Args:
        path: the file.
        manifest: of the voice.
        table: Markdown of the evaluation; empty when nothing was held out.
    """
    lookahead_ms = 1000 * manifest.lookahead_frames * manifest.hop_length / manifest.sample_rate
    path.write_text(
        f"""# {manifest.name}

{manifest.description}. Language {manifest.language}, {manifest.sample_rate} Hz, made on
{manifest.created}, format {manifest.format_version}, symbol table {manifest.symbols_version}.

- Licence: {manifest.licence}
- Origin: {manifest.origin}
- Look-ahead: {manifest.lookahead_symbols} symbols of text, {manifest.lookahead_frames} frames
  ({lookahead_ms:g} ms) of sound
- A synthetic copy of a synthetic voice: nobody was recorded for it.

## Evaluation

Against the teacher on sentences that were never trained on, from text through the front end that
serves. Brackets hold 95 % bootstrap intervals over sentences.

{table or "None: no sentences were held out."}
""",
        encoding="utf-8",
    )
