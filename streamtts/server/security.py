"""Who may connect: keys, and the web pages that may drive this server."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from streamtts.config import LOOPBACK, Config
from streamtts.errors import ConfigError
from streamtts.protocol.messages import SUBPROTOCOL

DEFAULT_PORTS = {"http": 80, "https": 443}
BEARER_ENTRY = "bearer."
TOKEN_ENTRY = "token"


def load_keys(config: Config) -> tuple[str, ...]:
    """The keys of the configuration itself and of its `auth.keys_file`.

    Raises:
        ConfigError: the file cannot be read, or holds no key.
    """
    if not config.auth.keys_file:
        return config.auth.keys
    try:
        lines = Path(config.auth.keys_file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"auth.keys_file: {error}") from None
    found = tuple(x.strip() for x in lines if x.strip() and not x.lstrip().startswith("#"))
    if not found:
        raise ConfigError(f"auth.keys_file: there is no key in {config.auth.keys_file}")
    return config.auth.keys + found


class Keys:
    """The keys that are accepted. Compared in constant time, kept as digests, never logged."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(_digest(key) for key in keys)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accept(self, candidates: Iterable[str]) -> bool:
        """True without keys, or when one of the candidates is a key."""
        if not self._digests:
            return True
        found = False
        for candidate in candidates:
            digest = _digest(candidate)
            for known in self._digests:
                found |= hmac.compare_digest(digest, known)
        return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def shown_keys(
    headers: Mapping[str, str], subprotocols: Sequence[str] = (), query_key: str | None = None
) -> list[str]:
    """Every key that a request shows, in whatever way.

    Args:
        headers: with a case-insensitive lookup.
        subprotocols: entries of Sec-WebSocket-Protocol, for browsers: `bearer.K`, or `token` and
            then `K`.
        query_key: the address's `key`, when the configuration allows it.
    """
    found = [] if query_key is None else [query_key]
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() in ("bearer", "token"):
        found.append(value.strip())
    if "xi-api-key" in headers:
        found.append(headers["xi-api-key"])
    for i, entry in enumerate(subprotocols):
        if entry.startswith(BEARER_ENTRY):
            found.append(entry.removeprefix(BEARER_ENTRY))
        if entry == TOKEN_ENTRY and i + 1 < len(subprotocols):
            found.append(subprotocols[i + 1])
    return found


def choose_subprotocol(offered: Sequence[str]) -> str | None:
    """The subprotocol to answer with; a browser that offers some must get one of them back."""
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    return next((x for x in offered if x == TOKEN_ENTRY or x.startswith(BEARER_ENTRY)), None)


def origin_allowed(
    origin: str | None, *, host: str, secure: bool, listen: str, allowed: Sequence[str]
) -> bool:
    """Whether the web page that opens a WebSocket may do so.

    Any page that somebody looks at could otherwise drive a server on his own machine.

    Args:
        origin: the Origin header; None for clients that are no browsers.
        host: the Host header.
        secure: the server speaks TLS.
        listen: the address that the server listens on. On a loopback address a Host with another
            name is refused: a hostile name server could give that name our address.
        allowed: further origins, or "*".
    """
    if origin is None or "*" in allowed or origin in allowed:
        return True
    page = _netloc(origin)
    own = _netloc(f"{'https' if secure else 'http'}://{host}")
    if page is None or page != own:
        return False
    return listen not in LOOPBACK or own[0] in LOOPBACK


def _netloc(url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not parts.hostname or port is None:
        return None
    return parts.hostname, port
