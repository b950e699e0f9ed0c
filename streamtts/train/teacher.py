"""Teachers: programs that read a sentence aloud and say where each phone ends."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamtts.errors import TrainError

FLITE_VOICES = ("rms", "slt", "awb", "kal16")


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word for the teacher to say, with the phones it shall say.

    Attributes:
        word: lower-case spelling; the teacher places its accents by it.
        phones: (phone, stress) pairs, stress as in text/symbols.py.
        mark: "" or the punctuation mark to put behind it.
    """

    word: str
    phones: tuple[tuple[str, int], ...]
    mark: str


@dataclass(frozen=True, slots=True)
class TimedPhone:
    """A phone of the teacher's and the second at which it ends."""

    phone: str
    end_s: float


class FliteTeacher:
    """Debian's flite 2.2: prints the end of every phone, 60 times faster than real time.

    Args:
        voice: one of FLITE_VOICES.

    Raises:
        TrainError: flite is not installed, or has no such voice.
    """

    licence = "flite 2.2 and the CMU ARCTIC voices (BSD-like, Carnegie Mellon University)"

    def __init__(self, voice: str) -> None:
        if voice not in FLITE_VOICES:
            raise TrainError(f"flite has no voice {voice!r}; it has {', '.join(FLITE_VOICES)}")
        if shutil.which("flite") is None:
            raise TrainError("the teacher `flite` is not installed; try: apt-get install flite")
        self.voice = voice
        self.name = f"flite-{voice}"

    def speak(self, words: Sequence[SpokenWord], wav: Path) -> list[TimedPhone]:
        """Reads one sentence aloud.

        Args:
            words: what to say; two words of one spelling and different phones are told apart.
            wav: file to write, 16 kHz mono.

        Returns:
            the phones in order, pauses ("pau") included.

        Raises:
            TrainError: flite failed or printed no phones.
        """
        text, lexicon = _script(words)
        with tempfile.NamedTemporaryFile("w", suffix=".lex", encoding="utf-8") as file:
            file.write(lexicon)
            file.flush()
            command = ["flite", "-voice", self.voice, "-add_lex", file.name, "-psdur"]
            done = subprocess.run(
                [*command, "-t", text, "-o", str(wav)],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
        if done.returncode != 0 or not done.stdout.strip():
            raise TrainError(f"flite failed on {text[:60]!r}: {done.stderr.strip()[:200]}")
        pairs = (item.rsplit(":", 1) for item in done.stdout.split())
        return [TimedPhone(phone, float(end)) for phone, end in pairs]


def _script(words: Sequence[SpokenWord]) -> tuple[str, str]:
    """The text to read and the lexicon that makes flite say our phones."""
    said: dict[str, tuple[tuple[str, int], ...]] = {}
    parts, lines = [], []
    for word in words:
        name = word.word
        # A spelled letter, and a second pronunciation of one spelling, get a made-up word that
        # flite's tokeniser leaves alone because it could be one.
        if len(name) == 1 or said.get(name, word.phones) != word.phones:
            name = next(n for n in _made_up() if said.get(n, word.phones) == word.phones)
        if name not in said:
            said[name] = word.phones
            phones = " ".join(p + (str(max(0, s - 1) and 1) if s else "") for p, s in word.phones)
            lines.append(f"{name} nil : {phones}\n")
        parts.append(name + word.mark)
    return " ".join(parts), "".join(lines)


def _made_up() -> list[str]:
    """Words that nobody writes, pronounceable by their letters."""
    return [f"za{a}o{b}en" for a in "bdfgklmnprst" for b in "bdfgklmnprst"]
