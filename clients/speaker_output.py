"""Where the sound of a loudspeaker goes: the sound card, a file, or nowhere, in real time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from streamtts.audio.files import SoundFileWriter, check_name
from streamtts.audio.player import Player

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CARD_S = 0.04  # sound that is given to the sound card ahead of time


class Output(Protocol):
    """Plays sound of one rate."""

    @property
    def held(self) -> int:
        """Samples that it has and that were not heard yet."""

    @property
    def silent(self) -> bool:
        """It has nothing to play now."""

    def start(self, now_s: float) -> None:
        """Sound begins after a time without any."""

    def room(self, now_s: float) -> int:
        """Samples that it wants now."""

    def write(self, samples: NDArray[np.float32]) -> None:
        """Takes float32 (S,)."""

    def close(self) -> None:
        """Ends it."""


class Clock:
    """Plays to nobody, in real time: what a device of that rate would want.

    Args:
        rate: Hz.
    """

    held = 0
    silent = True

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._at_s = 0.0
        self._fraction = 0.0

    def start(self, now_s: float) -> None:
        """See `Output`."""
        self._at_s, self._fraction = now_s, 0.0

    def room(self, now_s: float) -> int:
        """See `Output`; what is not taken then is lost, as time is."""
        due = (now_s - self._at_s) * self._rate + self._fraction
        self._at_s, self._fraction = now_s, due % 1.0
        return int(due)

    def write(self, samples: NDArray[np.float32]) -> None:
        """See `Output`."""

    def close(self) -> None:
        """See `Output`."""


class File(Clock):
    """Writes what would be heard, without the silence in between; in place once it is whole.

    Args:
        path: of the file; the ending names the format.
        rate: Hz.
    """

    def __init__(self, path: Path, rate: int) -> None:
        super().__init__(rate)
        self._path = path
        self._part = path.with_name(f".{path.stem}.part{path.suffix}")
        self._writer = SoundFileWriter(self._part, rate)

    def write(self, samples: NDArray[np.float32]) -> None:
        """See `Output`."""
        self._writer.write(samples)

    def close(self) -> None:
        """See `Output`."""
        self._writer.close()
        os.replace(self._part, self._path)


class Card:
    """The sound card.

    Args:
        rate: Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._player = Player(rate)
        self._written = 0

    @property
    def held(self) -> int:
        """See `Output`."""
        return max(0, self._written - self._player.played_samples)

    @property
    def silent(self) -> bool:
        """See `Output`."""
        return self._player.queued_s <= 0.0

    def start(self, now_s: float) -> None:
        """See `Output`."""

    def room(self, now_s: float) -> int:
        """See `Output`."""
        return max(0, round((CARD_S - self._player.queued_s) * self._rate))

    def write(self, samples: NDArray[np.float32]) -> None:
        """See `Output`."""
        self._player.write(samples)
        self._written += len(samples)

    def close(self) -> None:
        """See `Output`."""
        self._player.close()


class Outputs:
    """An output for every rate that comes along.

    Args:
        make: makes one for a rate.
    """

    def __init__(self, make: Callable[[int], Output]) -> None:
        self._make = make
        self._made: dict[int, Output] = {}

    def at(self, rate: int) -> Output:
        """The output for a rate in Hz.

        Raises:
            StreamTTSError: there is no sound card, or the file cannot be written.
        """
        if rate not in self._made:
            self._made[rate] = self._make(rate)
        return self._made[rate]

    def close(self) -> None:
        """Ends all of them; files are complete afterwards."""
        while self._made:
            self._made.popitem()[1].close()


def outputs(path: str | None, *, play: bool) -> Outputs:
    """What the command line asks for.

    Args:
        path: of a file; sound of a second rate goes to a second file beside it.
        play: use the sound card.

    Raises:
        StreamTTSError: there is no sound card, or such a file cannot be written.
    """
    if path is None:
        made = Outputs(Card if play else Clock)
        if play:
            made.at(16000)  # now, not when the first sound has come
        return made
    check_name(path)
    file = Path(path)
    rates: list[int] = []

    def make(rate: int) -> Output:
        rates.append(rate)
        return File(file if rates[0] == rate else file.with_stem(f"{file.stem}-{rate}"), rate)

    return Outputs(make)
