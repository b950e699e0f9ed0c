"""The server's side of one connection: frames in, actions out. No IO, no engine.

What a context does with a message is read from `table.TABLE`. The transport carries out the
actions in order and hands back what the service says.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Generic

from msgspec import UNSET

from streamtts import events
from streamtts.errors import BadField, ContextLimit, StreamTTSError, TextTooLong, UnknownContext
from streamtts.protocol import messages, outgoing
from streamtts.protocol.actions import (
    Action,
    Admit,
    Feed,
    Given,
    Pass,
    Record,
    Release,
    S,
    Send,
    changes,
    error_frame,
    feed,
    given,
    merge,
)
from streamtts.protocol.codec import decode_client, encode, shown
from streamtts.protocol.frames import MAX_HANDLE
from streamtts.protocol.table import FREE, TABLE, Do, State

CHUNKS = (events.AudioChunk, events.MelChunk)
DROPPED_AT_CANCEL = (*CHUNKS, events.Words, events.Phones, events.Alignment, events.Flushed)
CUT_RETRY_MS = 100  # for text that must come in pieces anyway
REMEMBERED = 1024  # ids of contexts that have ended, so that what crosses their end is ignored


class ServerSession(Generic[S]):
    """One connection's contexts and defaults.

    Args:
        max_contexts: alive at a time.
        settings: makes checked settings of the fields that a client gave (those of `hello` under
            those of `open`); raises StreamTTSError with what is wrong.
        clock: seconds since 1970, for `pong`.
    """

    def __init__(
        self,
        *,
        max_contexts: int,
        settings: Callable[[Given], S],
        clock: Callable[[], float],
    ) -> None:
        self._max_contexts = max_contexts
        self._settings = settings
        self._clock = clock
        self._defaults: Given = {}
        self._base64 = False
        self._handle = 0
        self._live: dict[str, Record[S]] = {}  # in the order of their opening
        self._ended: OrderedDict[str, State] = OrderedDict()

    @property
    def live(self) -> tuple[Record[S], ...]:
        """The contexts that have not ended, oldest first."""
        return tuple(self._live.values())

    def receive(self, frame: str | bytes) -> list[Action]:
        """Takes one frame of the client."""
        message = decode_client(frame)
        match message:
            case messages.Malformed():
                return self._malformed(message)
            case messages.Ping():
                pong = messages.Pong(t=message.t, server_t=self._clock())
                return [Send(encode(pong), urgent=True)]
            case messages.Hello():
                return self._hello(message)
            case messages.Cancel(context_id=messages.EVERY):
                return self._cancel_all(message)
            case _:
                return self._apply(message)

    def event(self, record: Record[S], event: events.Event) -> list[Action]:
        """Takes what the service tells of a context."""
        if record.over:
            return []
        if isinstance(event, events.Opened):
            record.counted = events.MelChunk if event.audio is None else events.AudioChunk
        if record.cut is not None:
            if isinstance(event, DROPPED_AT_CANCEL):
                return []
            if isinstance(event, events.Cancelled):
                event = replace(event, sent_samples=record.cut)
        send = Send(
            outgoing.frame(
                event,
                context_id=record.context_id,
                handle=record.handle,
                queue_position=record.position,
                base64=record.base64,
            ),
            record=record,
            droppable=isinstance(event, DROPPED_AT_CANCEL),
            sample=event.first_sample if isinstance(event, record.counted) else None,
        )
        if isinstance(event, events.Done):
            return [send, *self._end(record, State.DONE)]
        if isinstance(event, events.Cancelled) or (
            isinstance(event, events.Failed) and event.final
        ):
            return [send, *self._end(record, State.GONE)]
        return [send]

    def refused(self, record: Record[S], error: StreamTTSError) -> list[Action]:
        """The service would not open a context: ends it with a final error."""
        return [
            error_frame(error, record.context_id, final=True),
            *self._end(record, State.GONE),
        ]

    def report(self, record: Record[S], error: StreamTTSError) -> list[Action]:
        """Something that a context was asked for was refused; it goes on."""
        if record.over:
            return []
        if isinstance(error, TextTooLong) and error.retry_after_ms is None:
            why = f"{error}; no piece may be longer than that: cut it"
            error = TextTooLong(why, retry_after_ms=CUT_RETRY_MS)
        return [error_frame(error, record.context_id)]

    # --- what the client may send

    def _malformed(self, message: messages.Malformed) -> list[Action]:
        context_id = message.context_id
        final = message.type == "open" and context_id is not None and self.state(context_id) in FREE
        if final and context_id is not None:
            self._remember(context_id, State.GONE)
        error = messages.Error(
            code=message.code,
            message=message.message,
            context_id=UNSET if context_id is None else context_id,
            final=final,
        )
        return [Send(encode(error))]

    def _hello(self, message: messages.Hello) -> list[Action]:
        defaults = merge(self._defaults, given(message))
        try:
            self._settings(defaults)
        except StreamTTSError as error:
            return [error_frame(error)]
        self._defaults = defaults
        if message.transport is not None:
            self._base64 = message.transport == "base64"
        return []

    def _cancel_all(self, message: messages.Cancel) -> list[Action]:
        actions: list[Action] = []
        for record in self.live:
            each = messages.Cancel(
                context_id=record.context_id, played_samples=message.played_samples
            )
            actions += self._apply(each)
        return actions

    def _apply(
        self,
        message: messages.Open
        | messages.Flush
        | messages.End
        | messages.Cancel
        | messages.Playback,
    ) -> list[Action]:
        context_id = message.context_id
        before = self.state(context_id)
        do, after = TABLE[before, str(message.__struct_config__.tag)]
        if do is Do.ADMIT:
            assert isinstance(message, messages.Open)
            return self._admit(message)
        record = self._live.get(context_id)
        if record is not None:
            record.state = after
        elif before is not State.ABSENT:
            self._ended[context_id] = after
        match do:
            case Do.IGNORE:
                return []
            case Do.FEED | Do.COMPARE | Do.PASS:
                assert record is not None
                return self._forward(record, message)
            case Do.LATE:
                why = f"context {shown(context_id)} takes no more text: wait for its end"
                return [error_frame(BadField(f"{why}, or use another context_id"), context_id)]
            case Do.GONE:
                why = f"context {shown(context_id)} is over: `open` it again"
                return [
                    error_frame(UnknownContext(f"{why}, or use another context_id"), context_id)
                ]
            case Do.UNKNOWN:
                why = f"context {shown(context_id)} was never opened on this connection"
                return [error_frame(UnknownContext(why), context_id)]

    def _forward(self, record: Record[S], message: object) -> list[Action]:
        match message:
            case messages.Text():
                return [*self._compare(record, message), *feed(record, message.text)]
            case messages.Open():
                return self._compare(record, message)
            case messages.Flush() | messages.End():
                rest: list[Action] = [Feed(record, "\ufffd")] if record.half else []
                record.half = ""
                return [*rest, Pass(record, message)]
            case messages.Cancel() | messages.Playback():
                return [Pass(record, message)]
            case _:
                raise AssertionError(f"no context takes {message!r}")

    def _admit(self, message: messages.Open) -> list[Action]:
        actions: list[Action] = []
        on_conflict = message.on_conflict or "queue"
        try:
            if message.context_id == messages.EVERY:
                raise BadField('context_id: "*" means every context, and is for `cancel` only')
            settings = self._settings(merge(self._defaults, given(message)))
            if on_conflict == "preempt":
                actions += self._cancel_all(messages.Cancel(context_id=messages.EVERY))
            alive = [record for record in self.live if record.state is not State.CANCELLING]
            if len(alive) >= self._max_contexts:
                raise ContextLimit(
                    f"{len(alive)} contexts of this connection are alive, no more are allowed; "
                    "wait for one to end"
                )
        except StreamTTSError as error:
            self._remember(message.context_id, State.GONE)
            return [*actions, error_frame(error, message.context_id, final=True)]
        held = on_conflict == "queue" and bool(self._live)
        record = Record(
            context_id=message.context_id,
            handle=self._next_handle(),
            settings=settings,
            base64=self._base64,
            held=held,
            position=len(self._live) if held else 0,
        )
        self._ended.pop(message.context_id, None)
        self._live[message.context_id] = record
        text = message.text if isinstance(message, messages.Text) else ""
        return [*actions, Admit(record), *feed(record, text)]

    def _compare(self, record: Record[S], message: messages.Open) -> list[Action]:
        """Warns, once for each field, when a later message asks for something else."""
        changed = changes(record, given(message))
        if not changed:
            return []
        record.warned.update(changed)
        warning = messages.Warning_(
            code="settings_ignored",
            message=f"{', '.join(changed)}: fixed since the context was opened",
            context_id=record.context_id,
        )
        return [Send(encode(warning), record=record)]

    # --- the book of contexts

    def state(self, context_id: str) -> State:
        """Where a context of that name stands."""
        record = self._live.get(context_id)
        return record.state if record else self._ended.get(context_id, State.ABSENT)

    def _end(self, record: Record[S], state: State) -> list[Action]:
        record.over = True
        self._live.pop(record.context_id, None)
        self._remember(record.context_id, state)
        first = next(iter(self._live.values()), None)
        if first is None or not first.held:
            return []
        first.held = False
        return [Release(first)]

    def _remember(self, context_id: str, state: State) -> None:
        self._ended[context_id] = state
        self._ended.move_to_end(context_id)
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)

    def _next_handle(self) -> int:
        taken = {record.handle for record in self._live.values()}
        while True:
            self._handle = self._handle % MAX_HANDLE + 1
            if self._handle not in taken:
                return self._handle
