"""Characters to tokens: what the normaliser's rules look at.

Every character is folded on its own (no character is changed by its neighbours), runs of letters
and runs of digits become one token each, every other character is a token of its own. So the
tokens are a function of the text, never of how it was cut.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

MAX_RUN = 256  # a longer run of letters or digits is cut, so that no rule ever sees a longer token

WORD, DIGITS, SPACE, NEWLINE, SIGN, END = "w", "d", "s", "n", "p", ""

SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True))
GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta",
    "η": "eta", "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu",
    "ξ": "xi", "ο": "omicron", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "υ": "upsilon",
    "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "ς": "sigma",
}  # fmt: skip
_KEPT = set("°–—−×÷±≈≠≤≥→∞√©•§¢£¥€₹½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞") | set(SUPERSCRIPTS)
_FOLDED = {
    **dict.fromkeys("’‘‛ʼʹ′`´", "'"), "`": "`",
    **dict.fromkeys("“”„‟″«»〝〞", '"'), "‹": "'", "›": "'",
    **dict.fromkeys("‐‑⁃", "-"), **dict.fromkeys("―⸺⸻", "—"), "‒": "–",
    **dict.fromkeys("·‣◦▪●○■□", "•"), "⁄": "/", "∕": "/", "⋅": "×", "✕": "×", "✖": "×",
    "。": ".", "、": ",", "「": '"', "」": '"', "،": ",", "؛": ";", "؟": "?", "¿": "", "¡": "",
    "\u0085": "\n", "\u2028": "\n", "\u2029": "\n", "\f": "\n", "\v": "\n", "\n": "\n",
    "µ": "μ", "™": "", "®": "", "†": "", "‡": "", "ª": "", "º": "°",
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O", "œ": "oe", "Œ": "Oe",
    "đ": "d", "Đ": "D", "ł": "l", "Ł": "L", "þ": "th", "Þ": "Th", "ð": "th", "Ð": "Th",
    "ı": "i", "ŋ": "ng", "ħ": "h", "ŧ": "t", "№": "No.", "〜": "~", "−": "−", "‰": "‰",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """A run of letters, a run of digits, or one other character.

    Attributes:
        kind: WORD, DIGITS, SPACE (any run of blanks, and what cannot be spoken), NEWLINE, SIGN
            or END (nothing more comes).
        text: the folded characters.
        start: first code point in the client's text.
        end: one past the last code point in the client's text.
        joined: True for the second and later pieces of a run that was cut at MAX_RUN.
        cut: True for a piece that goes on in the next token.
    """

    kind: str
    text: str
    start: int
    end: int
    joined: bool = False
    cut: bool = False


@lru_cache(maxsize=8192)
def fold(char: str) -> str:
    """One character as the characters that the rules know.

    Args:
        char: one code point, lone halves of surrogate pairs included.

    Returns:
        ASCII or one of the signs that are spoken; "" for what is removed without a trace (zero
        width, combining marks), " " for what separates words but is not spoken (emoji, other
        scripts, control characters).
    """
    if char in _FOLDED:
        return _FOLDED[char]
    if " " <= char < "\x7f" or char in _KEPT:
        return char
    category = unicodedata.category(char)
    if category in ("Mn", "Me", "Mc", "Cf", "Cs"):
        return ""
    if char.lower() in GREEK:
        return char.lower()
    if category[0] in "ZC":
        return " "
    out = []
    for part in unicodedata.normalize("NFKD", char):
        part = _FOLDED.get(part, part)
        if all(c < "\x7f" or c in _KEPT for c in part):
            out.append(part)
        elif unicodedata.category(part) not in ("Mn", "Me", "Mc", "Cf"):
            return " "
    return "".join(out) or " "


class Lexer:
    """Cuts fed text into tokens; every character is looked at once.

    Attributes:
        tokens: the complete tokens that nobody has taken yet, oldest first.
        position: code points fed so far.
    """

    def __init__(self) -> None:
        self.tokens: list[Token] = []
        self.position = 0
        self._run: list[str] = []  # the characters of the run that may still grow
        self._kind = ""
        self._start = 0
        self._end = 0
        self._joined = False
        self._last = NEWLINE

    @property
    def open_kind(self) -> str:
        """Kind of the run that may still grow; END when there is none."""
        return self._kind if self._run else END

    @property
    def open_first(self) -> str:
        """First character of the run that may still grow; "" when there is none."""
        return self._run[0] if self._run else ""

    def feed(self, text: str) -> None:
        """Append text.

        Args:
            text: any text; positions go on where the last text ended.
        """
        for char in text:
            at = self.position
            self.position = at + 1
            folded = fold(char)
            if not folded:
                if self._run and unicodedata.category(char)[0] == "M":
                    self._end = at + 1
                continue
            for c in folded:
                self._take(c, at)

    def close(self) -> None:
        """End the run that may still grow."""
        self._close(cut=False)

    def _take(self, c: str, at: int) -> None:
        if "a" <= c <= "z" or "A" <= c <= "Z":
            kind = WORD
        elif "0" <= c <= "9":
            kind = DIGITS
        else:
            self._close(cut=False)
            kind = NEWLINE if c == "\n" else SPACE if c in " \t\r\x7f" or c < " " else SIGN
            if kind != SPACE or self._last not in (SPACE, NEWLINE):
                self.tokens.append(Token(kind, " " if kind == SPACE else c, at, at + 1))
                self._last = kind
            return
        if kind != self._kind:
            self._close(cut=False)
        elif len(self._run) >= MAX_RUN:
            self._close(cut=True)
            self._joined = True
        if not self._run:
            self._kind, self._start = kind, at
        self._run.append(c)
        self._end = at + 1

    def _close(self, *, cut: bool) -> None:
        if self._run:
            text = "".join(self._run)
            self.tokens.append(Token(self._kind, text, self._start, self._end, self._joined, cut))
            self._last = self._kind
            self._run = []
        self._kind = END
        self._joined = False


class Pending(Exception):
    """A rule needs a character that has not arrived."""


class Window:
    """What a rule may see: the tokens from where it stands, and no character that is not there.

    A rule that asks for what has not arrived is stopped by Pending and asked again when there is
    more, so that its answer depends on the text alone.
    """

    def __init__(self, lexer: Lexer) -> None:
        self._lexer = lexer
        self._head = 0
        self.final = False

    def __len__(self) -> int:
        return len(self._lexer.tokens) - self._head

    def peek(self, k: int) -> Token:
        """The k-th token from here, complete.

        Args:
            k: 0 or more.

        Returns:
            The token; one of kind END when the text ends before it.

        Raises:
            Pending: it is not complete yet.
        """
        tokens = self._lexer.tokens
        i = self._head + k
        if i < len(tokens):
            return tokens[i]
        if self.final:
            return Token(END, "", self._lexer.position, self._lexer.position)
        raise Pending

    def kind(self, k: int) -> str:
        """Kind of the k-th token, which may still grow.

        Raises:
            Pending: nothing of it has arrived.
        """
        return self._begun(k)[0]

    def first(self, k: int) -> str:
        """First character of the k-th token, which may still grow; "" at the end of the text.

        Raises:
            Pending: nothing of it has arrived.
        """
        return self._begun(k)[1]

    def text(self, k: int) -> str:
        """Text of the k-th token; "" at the end.

        Raises:
            Pending: it is not complete yet.
        """
        return self.peek(k).text

    def _begun(self, k: int) -> tuple[str, str]:
        i = self._head + k
        if i == len(self._lexer.tokens) and self._lexer.open_kind != END:
            return self._lexer.open_kind, self._lexer.open_first
        token = self.peek(k)
        return token.kind, token.text[:1]

    def advance(self, count: int) -> None:
        """Leave the first `count` tokens behind."""
        self._head += count
        if self._head > 512 and 2 * self._head > len(self._lexer.tokens):
            del self._lexer.tokens[: self._head]
            self._head = 0
