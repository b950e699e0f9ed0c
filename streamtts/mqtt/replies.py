"""Events of a request as the JSON that its device gets."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from streamtts import events
from streamtts.protocol.parts import AudioInfo, Item, Metrics, Spoken


class _Reply(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """An event with its `type` and the id of its request."""

    id: str


class Accepted(_Reply, frozen=True, kw_only=True):
    """The request has a slot: sound will come, and text may."""

    server: str
    handle: int
    audio: AudioInfo


class Started(_Reply, frozen=True, kw_only=True):
    """The first chunk follows."""

    ttfa_ms: float
    queue_ms: float


class Words(_Reply, frozen=True, kw_only=True):
    """Words with their times."""

    items: tuple[Item, ...]


class Flushed(_Reply, frozen=True, kw_only=True):
    """Everything before a flush ends before `sample`."""

    flush_id: str | None
    sample: int


class Done(_Reply, frozen=True, kw_only=True):
    """All sound has been sent."""

    reason: str
    samples: int
    chars: int
    metrics: Metrics


class Cancelled(_Reply, frozen=True, kw_only=True):
    """Cut short; `reason` is cancel, preempted or offline."""

    reason: str
    generated_samples: int
    sent_samples: int
    spoken: Spoken


class Warning_(_Reply, frozen=True, kw_only=True, tag="warning"):  # noqa: N801 - a builtin
    """Something was odd and goes on."""

    code: str
    message: str


class Error(_Reply, frozen=True, kw_only=True):
    """Something was refused; with `final` the request is over."""

    code: str
    message: str
    final: bool
    retry_after_ms: int | UnsetType = UNSET


_encoder = msgspec.json.Encoder()


def accepted(id_: str, server_id: str, handle: int, audio: events.AudioInfo) -> bytes:
    """The first event of a request."""
    info = AudioInfo(**audio._asdict())
    return _encoder.encode(Accepted(id=id_, server=server_id, handle=handle, audio=info))


def encode(id_: str, event: events.Event, reason: str = "cancel") -> bytes | None:
    """An event as a payload; None for those that devices are not told.

    Args:
        id_: of the request.
        event: what happened.
        reason: why, for `Cancelled`.
    """
    reply = _reply(id_, event, reason)
    return None if reply is None else _encoder.encode(reply)


def _reply(id_: str, event: events.Event, reason: str) -> _Reply | None:
    match event:
        case events.Started():
            ttfa_ms, queue_ms = round(event.ttfa_ms, 3), round(event.queue_ms, 3)
            return Started(id=id_, ttfa_ms=ttfa_ms, queue_ms=queue_ms)
        case events.Words():
            return Words(id=id_, items=_items(event.items))
        case events.Flushed():
            return Flushed(id=id_, flush_id=event.flush_id, sample=event.sample)
        case events.Done():
            return Done(
                id=id_,
                reason=event.reason,
                samples=event.samples,
                chars=event.chars,
                metrics=_metrics(event),
            )
        case events.Cancelled():
            return Cancelled(
                id=id_,
                reason=reason,
                generated_samples=event.generated_samples,
                sent_samples=event.sent_samples,
                spoken=Spoken(
                    chars=event.spoken_chars, words=event.spoken_words, text=event.spoken_text
                ),
            )
        case events.Warning_():
            return Warning_(id=id_, code=event.code, message=event.message)
        case events.Failed():
            return Error(
                id=id_,
                code=event.code,
                message=event.message,
                final=event.final,
                retry_after_ms=UNSET if event.retry_after_ms is None else event.retry_after_ms,
            )
        case _:
            return None


def _metrics(done: events.Done) -> Metrics:
    return Metrics(
        ttfa_ms=round(done.ttfa_ms, 3),
        rtf=round(done.rtf, 6),
        queue_ms=round(done.queue_ms, 3),
        steps=done.steps,
        underruns=done.underruns,
        starved_ms=round(done.starved_ms, 3),
    )


def _items(items: Sequence[events.TimedItem]) -> tuple[Item, ...]:
    return tuple(
        Item(
            index=item.index,
            text=item.text,
            start=item.start,
            end=UNSET if item.end is None else item.end,
            char_start=item.char_start,
            char_end=item.char_end,
        )
        for item in items
    )
