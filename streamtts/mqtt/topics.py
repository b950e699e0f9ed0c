"""Names on the broker: topics made and taken apart, and which ids may stand in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from streamtts.errors import BadField
from streamtts.protocol.codec import shown

SAY, TEXT, CANCEL, PLAYBACK = "say", "text", "cancel", "playback"
AUDIO, EVENT = "audio", "event"
STATUS = "status"
SHARE = "$share/streamtts/"  # the group of every bridge of a fleet
MAX_ID_CHARS = 128
MAX_TOPIC_BYTES = 1024

_NAME = re.compile(rf"[^/+#\x00-\x1f\x7f-\x9f]{{1,{MAX_ID_CHARS}}}")
_RESERVED = frozenset({SAY, TEXT, CANCEL, PLAYBACK, AUDIO})


class Place(NamedTuple):
    """What a topic says: whose it is, what it is for, and which request it is about."""

    site: str
    verb: str
    id: str | None


def check_name(what: str, name: object) -> str:
    """Checks that a name may be one level of a topic.

    Args:
        what: the name's own name, for the message.
        name: an id or a site.

    Raises:
        BadField: no string, empty, too long, or with a character that topics cannot hold.
    """
    if not isinstance(name, str):
        raise BadField(f"{what}: must be a string of 1 to {MAX_ID_CHARS} characters")
    if not _NAME.fullmatch(name) or name == "*" or _has_half(name):
        raise BadField(
            f"{what}: {shown(name)} must be 1 to {MAX_ID_CHARS} characters without / + # and "
            "control characters"
        )
    return name


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics below one prefix.

    Args:
        prefix: first level or levels, `streamtts` by default.
    """

    prefix: str

    def say_filter(self, *, shared: bool) -> str:
        """Every site's requests."""
        return f"{SHARE if shared else ''}{self.prefix}/+/{SAY}"

    def control_filters(self) -> tuple[str, ...]:
        """What must not wait behind requests."""
        return (f"{self.prefix}/+/{CANCEL}", f"{self.prefix}/+/{PLAYBACK}")

    def status_filter(self) -> str:
        """The state of every bridge."""
        return f"{self.prefix}/{STATUS}/+"

    def status(self, server_id: str) -> str:
        """The state of one bridge."""
        return f"{self.prefix}/{STATUS}/{server_id}"

    def text(self, site: str, id_: str) -> str:
        """Where the text of a request comes."""
        return f"{self.prefix}/{site}/{TEXT}/{id_}"

    def audio(self, site: str, id_: str) -> str:
        """Where its sound goes."""
        return f"{self.prefix}/{site}/{AUDIO}/{id_}"

    def event(self, site: str, id_: str) -> str:
        """Where its events go unless the request says otherwise."""
        return f"{self.prefix}/{site}/{EVENT}/{id_}"

    def read(self, topic: str) -> Place | None:
        """Takes a topic of this prefix apart; None when it is none of ours."""
        if not topic.startswith(f"{self.prefix}/"):
            return None
        levels = topic[len(self.prefix) + 1 :].split("/")
        if len(levels) not in (2, 3):
            return None
        return Place(levels[0], levels[1], levels[2] if len(levels) == 3 else None)

    def check_site(self, site: str) -> str:
        """Checks the name of a site.

        Raises:
            BadField: it cannot be one.
        """
        if site == STATUS:
            raise BadField(f"site: {STATUS!r} is where the servers tell their state")
        return check_name("site", site)

    def check_response(self, site: str, topic: str) -> str:
        """Checks that a site's answers may go to a topic.

        Raises:
            BadField: it is not below the device's own part of the tree, or would be heard as a
                request.
        """
        own = f"{self.prefix}/{site}/"
        rest = topic.removeprefix(own).split("/")
        if not topic.startswith(own) or not all(_NAME.fullmatch(level) for level in rest):
            raise BadField(f"response_topic: must be a topic below {own}, not {shown(topic)}")
        if rest[0] in _RESERVED or len(topic.encode()) > MAX_TOPIC_BYTES:
            raise BadField(f"response_topic: {shown(topic)} is in use or too long")
        return topic


def _has_half(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
