"""What a server elsewhere tells, as the events that a service here would have told."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from msgspec import UNSET

from streamtts import events
from streamtts.audio.formats import BYTES_PER_SAMPLE
from streamtts.errors import StreamTTSError
from streamtts.protocol import messages
from streamtts.protocol.parts import Item


@runtime_checkable
class AudioLike(Protocol):
    """A chunk as the client library tells it (`streamtts.client.Audio`)."""

    seq: int
    flags: int
    first_sample: int
    data: bytes
    encoding: str


@runtime_checkable
class RefusedLike(Protocol):
    """A report as the client library tells it (`streamtts.client.Refused`)."""

    error: StreamTTSError


def read_event(message: object) -> events.Event | None:
    """The event behind a message; None for those that a bridge has no use for."""
    match message:
        case messages.Opened():
            return _opened(message)
        case messages.Started():
            return events.Started(message.ttfa_ms, message.queue_ms)
        case messages.Words():
            return events.Words(tuple(map(_item, message.items)))
        case messages.Flushed():
            return events.Flushed(message.flush_id, message.sample)
        case messages.Warning_():
            return events.Warning_(message.code, message.message)
        case messages.Done():
            return _done(message)
        case messages.Cancelled():
            spoken = message.spoken
            return events.Cancelled(
                message.generated_samples,
                message.sent_samples,
                spoken.chars,
                spoken.words,
                spoken.text,
            )
        case AudioLike():
            samples = len(message.data) // BYTES_PER_SAMPLE.get(message.encoding, 1)
            return events.AudioChunk(
                message.seq, message.flags, message.first_sample, message.data, samples
            )
        case RefusedLike():
            error = message.error
            return events.Failed(error.code, str(error), error.retry_after_ms, final=False)
        case _:
            return None


def _opened(message: messages.Opened) -> events.Opened:
    audio = message.audio
    info = None
    if audio is not None:
        info = events.AudioInfo(
            audio.encoding, audio.sample_rate, audio.channels, audio.frame_ms or 0
        )
    return events.Opened(info, None, message.queue_position)


def _done(message: messages.Done) -> events.Done:
    metrics = message.metrics
    return events.Done(
        reason=message.reason,
        samples=message.samples,
        chars=message.chars,
        ttfa_ms=metrics.ttfa_ms,
        rtf=metrics.rtf,
        queue_ms=metrics.queue_ms,
        steps=metrics.steps,
        underruns=metrics.underruns,
        starved_ms=metrics.starved_ms,
    )


def _item(item: Item) -> events.TimedItem:
    return events.TimedItem(
        index=item.index,
        text=item.text,
        start=item.start,
        end=None if item.end is UNSET else item.end,
        char_start=item.char_start,
        char_end=item.char_end,
    )
