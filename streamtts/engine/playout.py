"""A listener that plays what it gets as it gets it: how far it is, and when it ran dry."""

from __future__ import annotations

_ON_TIME_S = 1e-6  # what rounding may add up to
_RESUME_S = 0.1  # from text that was waited for to its sound; no text can be spoken in no time


class Playout:
    """The playout model: it plays from the first arrival, and what comes late shifts the rest.

    Args:
        lead_s: how far ahead of the listener sound may be made; 0 for no bound.

    Attributes:
        sent_s: sound that went to the listener.
        underruns: arrivals that came too late though the text had been there.
        starved_s: silence because the text had not come.
        held: the stream has waited for text since the last arrival; what is late by then is booked
            on the text up to its coming, and on the engine if that took long after it.
    """

    def __init__(self, lead_s: float) -> None:
        self.lead_s = lead_s
        self.sent_s = 0.0
        self.underruns = 0
        self.starved_s = 0.0
        self.held = False
        self._text_s: float | None = None  # when the text came that was waited for
        self._excused = False
        self._origin_s: float | None = None  # when the listener would have played from
        self._report: tuple[float, float] | None = None

    @property
    def started(self) -> bool:
        """Something has been sent."""
        return self._origin_s is not None

    def sent(self, now_s: float, sound_s: float) -> None:
        """Notes that `sound_s` more seconds have gone out."""
        if sound_s <= 0:
            return
        if self._origin_s is None:
            self._origin_s = now_s
        late_s = now_s - self._origin_s - self.sent_s
        if late_s > _ON_TIME_S:
            self._origin_s += late_s
            self._book(now_s, late_s)
        self.sent_s += sound_s
        self.held = self._excused = False
        self._text_s = None

    def text_came(self, now_s: float) -> None:
        """Text that the stream has waited for is there."""
        self.held = True
        self._text_s = now_s

    def _book(self, now_s: float, late_s: float) -> None:
        text_s = now_s if self._text_s is None else self._text_s
        if self.held:
            dry_s = now_s - late_s
            self.starved_s += min(max(0.0, text_s - dry_s), late_s)
        if not self._excused and not (self.held and now_s - text_s <= _RESUME_S):
            self.underruns += 1

    def excuse(self) -> None:
        """The listener itself asked for a break: what comes late now is not counted."""
        self._excused = True

    def report(self, now_s: float, played_s: float) -> None:
        """The listener says how far it is; any thread may call this, and nobody need be honest."""
        self._report = (now_s, max(0.0, played_s))

    def played_s(self, now_s: float) -> float:
        """How much the listener has played, by its last report, else by the clock.

        It is never further than one that plays everything as it arrives, whatever it says, and
        however old its word is.
        """
        if self._origin_s is None:
            return 0.0
        played_s = max(0.0, now_s - self._origin_s)
        if self._report is not None:
            at_s, reported_s = self._report
            played_s = min(played_s, reported_s + max(0.0, now_s - at_s))
        return min(played_s, self.sent_s)

    def slack_s(self, now_s: float) -> float:
        """How long the listener can go on with what it has."""
        return self.sent_s - self.played_s(now_s)

    def room_at_s(self, now_s: float, chunk_s: float) -> float:
        """When `chunk_s` more may be made without exceeding the lead; `now_s` for at once.

        What has been made but not sent does not count: it is little, and a lead shorter than it
        would never be fallen below.
        """
        if self.lead_s <= 0:
            return now_s
        bound_s = max(self.lead_s - chunk_s, self.lead_s / 2)
        return now_s + max(0.0, self.slack_s(now_s) - bound_s - _ON_TIME_S)
