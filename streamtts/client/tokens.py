"""Text as a language model would send it: token by token, at a given rate."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

_LONG_WORD = 7


def tokens(text: str) -> list[str]:
    """Cuts text as tokenizers do on average.

    A token is a word with the space in front of it; a word above 7 letters is cut in two.

    Returns:
        Pieces whose concatenation is `text`.
    """
    pieces: list[str] = []
    for word in re.findall(r"\s*\S+|\s+$", text):
        bare = word.lstrip()
        if sum(letter.isalpha() for letter in bare) > _LONG_WORD:
            middle = len(word) - len(bare) // 2
            pieces += [word[:middle], word[middle:]]
        else:
            pieces.append(word)
    return pieces


async def paced(pieces: Iterable[str], per_second: float) -> AsyncIterator[str]:
    """Yields the first piece at once and each further one `1 / per_second` later.

    Args:
        pieces: what is to be sent.
        per_second: pieces a second; the clock does not drift when a listener is slow.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number, piece in enumerate(pieces):
        delay = start + number / per_second - loop.time()
        if delay > 0:
            await asyncio.sleep(delay)
        yield piece
