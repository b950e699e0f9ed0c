"""The voices as Wyoming tells of them, and which of them a request means."""

from __future__ import annotations

from collections.abc import Sequence

from wyoming.info import Attribution, Info, TtsProgram, TtsVoice
from wyoming.tts import SynthesizeVoice

from streamtts.errors import UnknownVoice
from streamtts.protocol.codec import shown
from streamtts.protocol.parts import VoiceInfo

PROGRAM = "streamtts"
_ATTRIBUTION = Attribution(name=PROGRAM, url="")


def info(voices: Sequence[VoiceInfo], version: str) -> Info:
    """The answer to `describe`."""
    return Info(
        tts=[
            TtsProgram(
                name=PROGRAM,
                attribution=_ATTRIBUTION,
                installed=True,
                description="Speaks while the text is still coming",
                version=version,
                voices=[_voice(voice) for voice in voices],
                supports_synthesize_streaming=True,
            )
        ]
    )


def choose(
    voices: Sequence[VoiceInfo], wanted: SynthesizeVoice | None
) -> tuple[str, UnknownVoice | None]:
    """The id of the voice for a request; when there is no such voice, the default one.

    A house whose answers are all silent because a voice was renamed is worse off than one that
    hears another voice; the error that comes with it says what is wrong.
    """
    default = voices[0]
    if wanted is None:
        return default.id, None
    if wanted.name:
        found = _named(voices, wanted.name)
        missing = f"there is no voice {shown(wanted.name)}"
    elif wanted.language:
        found = _speaking(voices, wanted.language)
        missing = f"no voice speaks {shown(wanted.language)}"
    else:
        found, missing = default, ""
    if found is None:
        known = ", ".join(f"{voice.id} ({voice.language})" for voice in voices)
        return default.id, UnknownVoice(f"{missing}; there is {known}; {default.id} speaks instead")
    if wanted.speaker:
        return found.id, UnknownVoice(
            f"the voice {found.id} has one speaker, who speaks; not {shown(wanted.speaker)}"
        )
    return found.id, None


def _named(voices: Sequence[VoiceInfo], name: str) -> VoiceInfo | None:
    exact = next((voice for voice in voices if voice.id == name), None)
    folded = name.casefold()
    return exact or next(
        (voice for voice in voices if folded in (voice.id.casefold(), voice.name.casefold())), None
    )


def _speaking(voices: Sequence[VoiceInfo], language: str) -> VoiceInfo | None:
    """The voice of a language: `en_US`, `en-us`; else of its first part: `en`, `en-GB`."""
    wanted = _parts(language)
    same = next((voice for voice in voices if _parts(voice.language) == wanted), None)
    return same or next((v for v in voices if _parts(v.language)[0] == wanted[0]), None)


def _parts(language: str) -> list[str]:
    return language.replace("_", "-").casefold().split("-")


def _voice(voice: VoiceInfo) -> TtsVoice:
    return TtsVoice(
        name=voice.id,
        attribution=_ATTRIBUTION,
        installed=True,
        description=voice.name or voice.id,
        version=None,
        languages=[voice.language],
    )
