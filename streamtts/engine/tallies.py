"""What an engine counts for its operator."""

from __future__ import annotations

from streamtts.tally import Tally

TIME_BOUNDS_S = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0,
)  # fmt: skip
ROW_BOUNDS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
QUEUE_BOUNDS_S = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Tallies:
    """Filled by the engine's thread, read by any.

    Attributes:
        step_s: wall seconds of one decoder step.
        step_rows: rows of it.
        sound_s: wall seconds of one vocoder call.
        sound_rows: rows of it.
        queue_s: seconds for which a stream waited for its slot.
        cancel_s: seconds from asking for a cancel to the free slot.
        cancel_steps: decoder steps made for streams whose cancel had been asked for.
        refused: streams that found no place in the queue.
        expired: streams that waited in the queue until their deadline.
    """

    def __init__(self) -> None:
        self.step_s = Tally(TIME_BOUNDS_S)
        self.step_rows = Tally(ROW_BOUNDS)
        self.sound_s = Tally(TIME_BOUNDS_S)
        self.sound_rows = Tally(ROW_BOUNDS)
        self.queue_s = Tally(QUEUE_BOUNDS_S)
        self.cancel_s = Tally(TIME_BOUNDS_S)
        self.cancel_steps = 0
        self.refused = 0
        self.expired = 0
