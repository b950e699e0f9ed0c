"""One stream: where it stands in its symbols, what it may do next, and its listener's clock.

No torch here. A stream moves by whole units, a word or a pause: it enters one only when all its
memory and the row behind it are there, so that it holds between words and never inside one, and
so that what it reads depends on the text alone and not on when the text came.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence

from streamtts.engine.playout import Playout
from streamtts.engine.sink import Sink, Step, StreamRequest, StreamStats
from streamtts.text.symbols import EDGES, MARKS, PAUSE, Symbol

MAX_UNIT_SYMBOLS = 64  # a longer word is taken in pieces, or it would fill the memory
ROWS_AHEAD = 32  # memory rows made ahead of the position
MAX_DWELL_STEPS = 160  # on one symbol, whatever the model says
SPARE_FRAMES = 5  # of the first chunk: time for the second to be made
SHORT_CHUNK_FRAMES = 4  # of a vocoder call at least,
CHUNK_FRAMES = 8  # ordinarily,
SHORT_CHUNKS = 3  # and after so many chunks as long as pays, where the lead has room for it
LONG_CHUNK_FRAMES = 16
_LEAD_CHUNKS = 4  # chunks that a lead should hold at least

_STARTS = (EDGES.index("start"), EDGES.index("both"))
_FLUSH = MARKS.index("flush")


class Status(enum.Enum):
    """A stream's life."""

    WAITING = "waiting"  # for a slot
    ACTIVE = "active"  # has a slot
    OVER = "over"


class Stream:
    """One stream. Only the engine's thread may call what is not marked otherwise.

    Args:
        number: in order of submission.
        request: what to make.
        sink: who takes it.
        now_s: when it was submitted.
        flush_steps: least number of steps on a pause at which text runs out.
        first_frames: what the listener's first chunk takes.
        frame_s: seconds of sound in a frame.
    """

    def __init__(
        self,
        number: int,
        request: StreamRequest,
        sink: Sink,
        now_s: float,
        *,
        flush_steps: int,
        first_frames: int,
        frame_s: float,
    ) -> None:
        self.number = number
        self.request = request
        self.sink = sink
        self.status = Status.WAITING
        self.failed = False  # its listener has been told of an error
        self.slot = -1
        self.submitted_s = now_s
        self.queue_s = 0.0
        self.progress_s = now_s  # the last time that it moved, or had no reason to
        self.compute_s = 0.0
        self.playout = Playout(request.lead_s)
        self.flush_steps = flush_steps
        self.first_frames = first_frames
        self._frame_s = frame_s
        self._largest_frames = _largest_chunk(request.lead_s, frame_s)
        self.chunk_s = self._largest_frames * frame_s  # what must fit into the lead
        self.awake = True  # takes part in the steps that the scheduler makes together
        self.in_flight = False  # the vocoder is at work on its frames, on another thread
        self.ticked_s = 0.0  # sound made since the scheduler's last tick
        # Set by any thread, read by the engine's.
        self.cancel_requested = False
        self.cancel_asked_s = 0.0
        self.paused = False
        # The text: symbols from the one stood on.
        self.symbols: deque[Symbol] = deque()
        self.position = 0
        self.encoded = 0  # of `symbols`, given to the encoder
        self.final = 0  # of `symbols`, whose memory is there
        self.ended = False
        self._flushes: set[int] = set()  # positions behind which text was flushed
        self._free_until = 0  # positions below it may be entered without looking
        self._restart = False
        # On the symbol stood on.
        self.dwell = 0
        self.left = False
        # What it made.
        self.steps = 0
        self.records: list[Step] = []
        self.frames_pending = 0
        self._chunks = 0
        self._chunk_frames = first_frames  # of the next chunk
        self.starved_told = False

    # --- text -------------------------------------------------------------------------------

    def feed(self, symbols: Sequence[Symbol], now_s: float) -> None:
        """Takes whole words and pauses, which came at `now_s`."""
        if symbols:
            self._text_came(now_s)
        self.symbols.extend(symbols)
        self.starved_told = self.starved_told and not symbols

    @property
    def fed(self) -> int:
        """Symbols fed since the beginning."""
        return self.position + len(self.symbols)

    def flush(self, now_s: float) -> None:
        """What was fed so far is spoken without waiting for more; asked for at `now_s`."""
        self._text_came(now_s)
        if self.symbols:
            self._flushes.add(self.position + len(self.symbols) - 1)

    def end(self, now_s: float) -> None:
        """No more symbols will come, it was said at `now_s`."""
        self._text_came(now_s)
        self.ended = True

    def _text_came(self, now_s: float) -> None:
        if self.encoded == len(self.symbols) and not self.can_step:
            self.playout.text_came(now_s)

    def to_encode(self) -> tuple[list[Symbol], str] | None:
        """The next unit for the encoder, and what is known of its future (a `Future` value).

        Units are encoded one by one, however the text came, and a cut within a sentence is a call
        of its own, whenever it was asked for: so the numbers are the same. None when there is
        nothing to encode.
        """
        if self.encoded > self.final and self._is_cut(self.encoded - 1):
            return [], "unknown"
        if self.encoded == len(self.symbols):
            return None
        count = self._unit_length(self.encoded)
        unit = [self.symbols[self.encoded + i] for i in range(count)]
        return unit, "end" if unit[-1].ends_sentence else "more"

    def on_encoded(self, symbols: int, rows: int) -> None:
        """The encoder has taken `symbols` more and given `rows` more."""
        self.encoded += symbols
        self.final += rows

    @property
    def sounds(self) -> bool:
        """Its first chunk has been made."""
        return self._chunks > 0

    @property
    def wants_rows(self) -> bool:
        """Fewer memory rows are there than it likes to have, and there is more to encode."""
        return self.final < ROWS_AHEAD and self.encoded < len(self.symbols)

    def _unit_length(self, index: int) -> int:
        stop = min(len(self.symbols), index + MAX_UNIT_SYMBOLS)
        for i in range(index + 1, stop):
            if self.symbols[i].edge in _STARTS:
                return i - index
        return stop - index

    def _is_flushed(self, index: int) -> bool:
        symbol = self.symbols[index]
        flush_pause = symbol.phone == PAUSE and symbol.mark == _FLUSH
        return flush_pause or self.position + index in self._flushes

    def _is_cut(self, index: int) -> bool:
        """Nothing behind this symbol can still be waited for."""
        if self.symbols[index].ends_sentence or self._is_flushed(index):
            return True
        return self.ended and index == len(self.symbols) - 1

    # --- moving -----------------------------------------------------------------------------

    def _can_go(self, index: int) -> bool:
        """Whether the symbol at `index` may be stepped on."""
        if self.position + index < self._free_until:
            return True
        if index >= len(self.symbols):
            return False
        end = index + self._unit_length(index)
        needed = end if self._is_cut(end - 1) else end + 1
        if self.final < needed:
            return False
        self._free_until = self.position + end
        return True

    @property
    def lingers(self) -> bool:
        """Stays on a pause at which text ran out, to push out what the filters hold back."""
        return (
            self.left
            and self.dwell < self.flush_steps
            and self.symbols[0].phone == PAUSE
            and self._is_flushed(0)
        )

    @property
    def can_step(self) -> bool:
        """Whether its text allows a step."""
        if not self.left:
            return self._can_go(0)
        return self.lingers or self._can_go(1)

    @property
    def finished(self) -> bool:
        """Everything has been spoken."""
        if not self.ended or len(self.symbols) > 1:
            return False
        return not self.symbols or (self.left and not self.lingers)

    @property
    def must_move(self) -> bool:
        """It has symbols that it may not keep waiting: no progress means that it is stuck."""
        return self.can_step or self.finished or (bool(self.symbols) and self._has_cut_ahead())

    def _has_cut_ahead(self) -> bool:
        last = len(self.symbols) - 1
        return (last > 0 or not self.left) and self._is_cut(last)

    def before_step(self) -> tuple[int, bool, bool]:
        """Moves on to the next symbol if the last step said so; call when `can_step`.

        Returns:
            how many memory rows have been left behind (0 or 1), whether the row begins a new
            sentence, whether the symbol stood on has a next one to read.
        """
        passed = 0
        if self.left and not self.lingers:
            self._restart = self.symbols.popleft().ends_sentence
            self._flushes.discard(self.position)
            self.position += 1
            self.encoded -= 1
            self.final -= 1
            self.dwell = 0
            self.left = False
            passed = 1
        restart, self._restart = self._restart, False
        return passed, restart, not self._is_cut(0) and self.final > 1

    def after_step(self, hazard: float, leave: bool, frames: int) -> None:
        """Notes what a step gave; `frames` are new for the vocoder."""
        self.dwell += 1
        leaves = not self.left and (leave or self.dwell >= MAX_DWELL_STEPS)
        self.left = self.left or leaves
        self.records.append(Step(self.steps, self.position, hazard, leaves))
        self.steps += 1
        self.frames_pending += frames

    # --- sound ------------------------------------------------------------------------------

    @property
    def frames_due(self) -> int:
        """Frames that the vocoder should take now; the cuts depend on the text alone."""
        if self.left and self._is_flushed(0) and not self.lingers:
            return self.frames_pending
        return self._chunk_frames if self.frames_pending >= self._chunk_frames else 0

    def on_chunk(self, frames: int) -> tuple[Step, ...]:
        """Notes that `frames` went to the vocoder; returns the steps that were made meanwhile."""
        self.frames_pending -= frames
        self.ticked_s += frames * self._frame_s
        self._chunks += 1
        frames = CHUNK_FRAMES if self._chunks < SHORT_CHUNKS else LONG_CHUNK_FRAMES
        self._chunk_frames = min(frames, self._largest_frames)
        records, self.records = tuple(self.records), []
        return records

    def stats(self) -> StreamStats:
        """How it went."""
        return StreamStats(
            self.steps,
            self.queue_s,
            self.compute_s,
            self.playout.underruns,
            self.playout.starved_s,
        )


def _largest_chunk(lead_s: float, frame_s: float) -> int:
    """Frames of a vocoder call at most, so that a lead holds a few of them."""
    if lead_s <= 0:
        return LONG_CHUNK_FRAMES
    frames = LONG_CHUNK_FRAMES
    while frames > SHORT_CHUNK_FRAMES and frames * frame_s * _LEAD_CHUNKS > lead_s:
        frames //= 2
    return frames
