"""What a bridge sees of a server: the fake service behind a fake gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from streamtts.audio.formats import AudioFormat, resolve
from streamtts.errors import UnknownVoice
from streamtts.protocol.parts import VoiceInfo
from streamtts.settings import ContextSettings
from support.fake_service import RATE, VOICES, FakeService


class FakeDoor:
    """`server.gateway.Gateway`, as far as a bridge needs it."""

    def __init__(self, service: Any = None, voices: tuple[VoiceInfo, ...] = VOICES) -> None:
        self.service: Any = service or FakeService()
        self.voices = voices

    def settings(self, given: Mapping[str, Any]) -> ContextSettings:
        if given.get("voice") not in (None, *(voice.id for voice in self.voices)):
            raise UnknownVoice(f"there is no voice {given['voice']!r}")
        settings = msgspec.convert({**given, "audio": given.get("audio", {})}, ContextSettings)
        settings.check()
        audio = resolve(AudioFormat(**msgspec.to_builtins(settings.audio)), RATE)
        return msgspec.structs.replace(settings, audio=audio)
