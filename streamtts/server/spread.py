"""Which worker gets the next connection. No sockets, no processes, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streamtts.server.channel import Report
from streamtts.server.gateway import Phase

SILENT_S = 2.0  # a worker that has said nothing for so long hangs


@dataclass(slots=True, eq=False)
class Seat:
    """A worker, as far as the choice goes.

    Attributes:
        number: its name.
        report: its last one; None before the first.
        reported_s: when that came, on the caller's clock.
        handed: connections that it was ever given.
        turn: number of the last connection that it was given.
    """

    number: int
    report: Report | None = None
    reported_s: float = 0.0
    handed: int = 0
    turn: int = -1

    @property
    def ready(self) -> bool:
        """Whether it said that it takes contexts."""
        return self.report is not None and self.report.phase == Phase.READY.value

    @property
    def load(self) -> int:
        """What it reported, and every connection that it was given since."""
        return (self.report.load if self.report else 0) + self._unreported

    @property
    def connections(self) -> int:
        """Those it reported, and those that it was given since."""
        return (self.report.connections if self.report else 0) + self._unreported

    @property
    def _unreported(self) -> int:
        return self.handed - (self.report.taken if self.report else 0)

    def tell(self, report: Report, now_s: float) -> None:
        """Takes a report."""
        self.report = report
        self.reported_s = now_s

    def give(self, turn: int) -> None:
        """Counts a connection."""
        self.handed += 1
        self.turn = turn


def choose(seats: Iterable[Seat], now_s: float, limit: int) -> Seat | None:
    """The worker for the next connection; None if there is none.

    One that is ready, answers and has room comes before one that would refuse; then the one with
    the least load, the fewest connections, the longest time since its last one.

    Args:
        seats: workers that can be given something.
        now_s: the time of their reports' clock.
        limit: connections that one worker takes.
    """

    def order(seat: Seat) -> tuple[int, int, int, int]:
        answers = seat.report is not None and now_s - seat.reported_s < SILENT_S
        if seat.ready and answers:
            rank = 0 if seat.connections < limit else 1
        else:
            rank = 2 if answers else 3
        return rank, seat.load, seat.connections, seat.turn

    return min(seats, key=order, default=None)
