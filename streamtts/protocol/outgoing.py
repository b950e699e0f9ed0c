"""Events of a context as the frames that tell a client of them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from streamtts import events
from streamtts.protocol import messages, parts
from streamtts.protocol.codec import encode
from streamtts.protocol.frames import pack_header


def frame(
    event: events.Event,
    *,
    context_id: str,
    handle: int,
    queue_position: int = 0,
    base64: bool = False,
) -> str | bytes:
    """The one frame that an event becomes.

    Args:
        event: what happened.
        context_id: of the context.
        handle: the context's number in binary frames.
        queue_position: contexts of its connection in front of this one, for `opened`.
        base64: chunks as JSON, for clients that asked for `transport` base64.

    Returns:
        bytes for a binary frame, str for a text frame.
    """
    match event:
        case events.AudioChunk() | events.MelChunk() if not base64:
            return pack_header(event.flags, handle, event.seq, event.first_sample) + event.data
        case events.AudioChunk() | events.MelChunk():
            return encode(
                messages.Audio(
                    context_id=context_id,
                    seq=event.seq,
                    flags=event.flags,
                    first_sample=event.first_sample,
                    data=event.data,
                )
            )
        case events.Opened():
            return encode(_opened(event, context_id, handle, queue_position))
        case _:
            return encode(_message(event, context_id))


def _opened(
    event: events.Opened, context_id: str, handle: int, queue_position: int
) -> messages.Opened:
    return messages.Opened(
        context_id=context_id,
        handle=handle,
        audio=None if event.audio is None else parts.AudioInfo(**event.audio._asdict()),
        mel=UNSET if event.mel is None else parts.MelInfo(**event.mel._asdict()),
        queue_position=queue_position + event.queue_position,
    )


def _message(event: events.Event, context_id: str) -> messages.ServerMessage:
    match event:
        case events.Started():
            return messages.Started(
                context_id=context_id,
                ttfa_ms=round(event.ttfa_ms, 3),
                queue_ms=round(event.queue_ms, 3),
            )
        case events.Alignment():
            return messages.Alignment(
                context_id=context_id,
                steps=tuple(parts.Step(**step._asdict()) for step in event.steps),
                symbols=tuple(parts.Symbol(**symbol._asdict()) for symbol in event.symbols),
            )
        case events.Words():
            return messages.Words(context_id=context_id, items=_items(event.items))
        case events.Phones():
            return messages.Phones(context_id=context_id, items=_items(event.items))
        case events.Flushed():
            return messages.Flushed(
                context_id=context_id, flush_id=event.flush_id, sample=event.sample
            )
        case events.Warning_():
            return messages.Warning_(context_id=context_id, code=event.code, message=event.message)
        case _:
            return _ending(event, context_id)


def _ending(event: events.Event, context_id: str) -> messages.ServerMessage:
    match event:
        case events.Done():
            metrics = parts.Metrics(
                ttfa_ms=round(event.ttfa_ms, 3),
                rtf=round(event.rtf, 6),
                queue_ms=round(event.queue_ms, 3),
                steps=event.steps,
                underruns=event.underruns,
                starved_ms=round(event.starved_ms, 3),
            )
            return messages.Done(
                context_id=context_id,
                reason=event.reason,
                samples=event.samples,
                chars=event.chars,
                metrics=metrics,
            )
        case events.Cancelled():
            return messages.Cancelled(
                context_id=context_id,
                generated_samples=event.generated_samples,
                sent_samples=event.sent_samples,
                spoken=parts.Spoken(
                    chars=event.spoken_chars, words=event.spoken_words, text=event.spoken_text
                ),
            )
        case events.Failed():
            return messages.Error(
                context_id=context_id,
                code=event.code,
                message=event.message,
                retry_after_ms=UNSET if event.retry_after_ms is None else event.retry_after_ms,
                final=event.final,
            )
        case _:
            raise AssertionError(f"no message for {event!r}")


def _items(items: Sequence[events.TimedItem]) -> tuple[parts.Item, ...]:
    return tuple(
        parts.Item(
            index=item.index,
            text=item.text,
            start=item.start,
            end=UNSET if item.end is None else item.end,
            char_start=item.char_start,
            char_end=item.char_end,
        )
        for item in items
    )
