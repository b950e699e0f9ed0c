"""Raw deltas to text whose code points can be counted.

A client may cut its text anywhere, even between the two halves of a surrogate pair (JavaScript
strings are UTF-16). The halves are joined here, so that every code point behind this point is
one that the client meant, and positions count those.
"""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")
_PAIR = re.compile("([\ud800-\udbff])([\udc00-\udfff])")
_REPLACEMENT = "\ufffd"


class Segmenter:
    """Joins halves of surrogate pairs across deltas; changes nothing else.

    A base character is never held back for a combining mark that may follow: the normaliser
    keeps a word open until a character shows that it is over, and a mark does not.

    Attributes:
        held: number of code units held back, 0 or 1.
    """

    def __init__(self) -> None:
        self._high = ""

    @property
    def held(self) -> int:
        """Code units held back: 1 when the text so far ends in half a character."""
        return len(self._high)

    def feed(self, delta: str) -> str:
        """Takes a delta as it came.

        Args:
            delta: any string, lone halves of surrogate pairs included.

        Returns:
            Text without surrogates: pairs joined, lone halves as U+FFFD. A high half at the end
            is held back.
        """
        text = self._high + delta
        self._high = ""
        if not _SURROGATE.search(text):
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            self._high = text[-1]
            text = text[:-1]
        return _SURROGATE.sub(_REPLACEMENT, _PAIR.sub(_join, text))

    def flush(self) -> str:
        """What is held back, as if no more text came: U+FFFD or nothing."""
        high, self._high = self._high, ""
        return _REPLACEMENT if high else ""


def _join(pair: re.Match[str]) -> str:
    high, low = ord(pair[1]), ord(pair[2])
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
