"""What a service tells its operator. No torch: whoever shows it need not load the model."""

from __future__ import annotations

import msgspec

from streamtts.tally import Distribution


class ServiceStats(msgspec.Struct, frozen=True, kw_only=True):
    """A moment of the service, and totals since it started.

    Attributes:
        contexts: alive now.
        streams: that hold a slot now.
        waiting: streams that wait for a slot.
        slots: all of them.
        opened: contexts ever opened.
        done: ended by themselves.
        cancelled: cut short.
        failed: ended by an error.
        steps: decoder steps of the engine.
        stream_steps: decoder steps of all streams together.
        audio_s: seconds of sound made.
        compute_s: CPU seconds spent on them by the engine's thread.
        underruns: chunks that came too late.
        starved_s: gaps because text had not come.
        chars: code points fed.
        capacity: streams that the machine is believed to keep in time.
        refused: contexts that found no room, when they were opened or with their first words.
        expired: contexts that waited for a slot until their deadline.
        step_s: wall seconds of one decoder step.
        step_rows: streams in it.
        vocoder_s: wall seconds of one vocoder call.
        vocoder_rows: streams in it.
        queue_s: seconds for which streams waited for their slot.
        ttfa_s: seconds from a context's first text to its first chunk.
        ftts_s: the same to the first sound that can be heard.
        cancel_s: seconds from a cancel to the free slot.
        cancel_steps: decoder steps made for streams whose cancel had been asked for.
        leads_s: how far ahead of its listener each stream is that sounds and has text.
    """

    contexts: int
    streams: int
    waiting: int
    slots: int
    opened: int
    done: int
    cancelled: int
    failed: int
    steps: int
    stream_steps: int
    audio_s: float
    compute_s: float
    underruns: int
    starved_s: float
    chars: int
    capacity: int = 0
    refused: int = 0
    expired: int = 0
    step_s: Distribution = Distribution()
    step_rows: Distribution = Distribution()
    vocoder_s: Distribution = Distribution()
    vocoder_rows: Distribution = Distribution()
    queue_s: Distribution = Distribution()
    ttfa_s: Distribution = Distribution()
    ftts_s: Distribution = Distribution()
    cancel_s: Distribution = Distribution()
    cancel_steps: int = 0
    leads_s: tuple[float, ...] = ()
