"""A listener that plays what it gets as it gets it: how far it is, and when it ran dry."""

from __future__ import annotations

_ON_TIME_S = 1e-6  # what rounding may add up to


class Playout:
    """The playout model: it plays from the first arrival, and what comes late shifts the rest.

    Args:
        lead_s: how far ahead of the listener sound may be made; 0 for no bound.

    Attributes:
        sent_s: sound that went to the listener.
        underruns: arrivals that came too late though the text had been there.
        starved_s: silence because the text had not come.
        held: the stream has waited for text since the last arrival.
    """

    def __init__(self, lead_s: float) -> None:
        self.lead_s = lead_s
        self.sent_s = 0.0
        self.underruns = 0
        self.starved_s = 0.0
        self.held = False
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
            if self.held:
                self.starved_s += late_s
            elif not self._excused:
                self.underruns += 1
        self.sent_s += sound_s
        self.held = self._excused = False

    def excuse(self) -> None:
        """The listener itself asked for a break: what comes late now is not counted."""
        self._excused = True

    def report(self, now_s: float, played_s: float) -> None:
        """The listener says how far it is; any thread may call this."""
        self._report = (now_s, played_s)

    def played_s(self, now_s: float) -> float:
        """How much the listener has played, by its last report, else by the clock."""
        if self._report is not None:
            at_s, played_s = self._report
            return min(played_s + max(0.0, now_s - at_s), self.sent_s)
        if self._origin_s is None:
            return 0.0
        return min(max(0.0, now_s - self._origin_s), self.sent_s)

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
