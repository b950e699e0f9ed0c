"""A voice folder of tiny random models, as `streamtts train` would leave it."""

from __future__ import annotations

from pathlib import Path

from streamtts.voice.store import save_voice
from support.fake_voice import tiny_vocoder
from support.tiny import tiny_acoustic


def save_tiny_voice(voices: Path, voice_id: str = "tiny") -> Path:
    """Writes `voices/voice_id`; returns the folder."""
    folder = voices / voice_id
    save_voice(
        folder,
        tiny_acoustic(),
        tiny_vocoder(),
        "# A voice for tests",
        voice_id=voice_id,
        name="Tiny",
        language="en-US",
        description="says nothing that can be understood",
        licence="MIT",
        origin="random numbers",
    )
    return folder
