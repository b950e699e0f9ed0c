"""The Wyoming dialect as a translation: its events to native actions, native events to its own.

No IO. A connection carries requests one after the other: a whole text (`synthesize`), or a stream
(`synthesize-start`, `-chunk`, `-stop`). Home Assistant waits for `audio-stop`, for
`synthesize-stopped` or for the end of the connection and knows no `error`: so an error that ends a
request ends the connection behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event
from wyoming.ping import Ping, Pong
from wyoming.tts import SynthesizeStopped, SynthesizeVoice

from streamtts import events
from streamtts.errors import ContextLimit, Loading, StreamTTSError, UnknownContext
from streamtts.protocol import actions, messages
from streamtts.protocol.parts import VoiceInfo
from streamtts.protocol.wyoming_requests import (
    WIDTH,
    Action,
    Close,
    Fault,
    Request,
    fault,
    send,
    settings_of,
    text_of,
)
from streamtts.protocol.wyoming_voices import choose, info

SILENCE_MS = 200  # in place of no text at all: players fail on sound without samples


class WyomingSession(Generic[actions.S]):
    """One connection's requests, in the order in which they came.

    Args:
        voices: what the server has; the first is the default.
        settings: makes checked settings of the fields that a request gives; raises StreamTTSError.
        max_requests: waiting or being spoken at a time.
        version: of the server, for `info`.
    """

    def __init__(
        self,
        *,
        voices: Sequence[VoiceInfo],
        settings: Callable[[Mapping[str, Any]], actions.S],
        max_requests: int,
        version: str,
    ) -> None:
        self._voices = voices
        self._settings = settings
        self._max_requests = max_requests
        self._version = version
        self._requests: deque[Request[actions.S]] = deque()  # the first one is being spoken
        self._owners: dict[actions.Record[actions.S], Request[actions.S]] = {}
        self._stream: Request[actions.S] | None = None  # takes the next piece of text
        self._number = 0
        self._closed = False
        self._table: dict[str, Callable[[Event], list[Action]]] = {
            "describe": lambda event: [send(info(self._voices, self._version))],
            "ping": lambda event: [send(Pong(text=Ping.from_event(event).text), urgent=True)],
            "synthesize": self._synthesize,
            "synthesize-start": self._start,
            "synthesize-chunk": self._chunk,
            "synthesize-stop": lambda event: self._stop(self._streaming(event)),
        }

    @property
    def busy(self) -> bool:
        """Whether a request has not ended."""
        return bool(self._requests)

    @property
    def expectant(self) -> bool:
        """Whether it is for the client to go on: nothing to do, or a stream wants text."""
        return not self._requests or self._requests[0].open

    def receive(self, event: Event) -> list[Action]:
        """Takes an event of the client; those of other trades are ignored."""
        handle = self._table.get(event.type)
        if self._closed or handle is None:
            return []
        try:
            return handle(event)
        except StreamTTSError as error:
            return self.broken(error)

    def broken(self, error: StreamTTSError) -> list[Action]:
        """The client does not keep to the protocol, or asks for what cannot be."""
        if self._closed:
            return []
        self._closed = True
        return [fault(error), Close()]

    def event(self, record: actions.Record[actions.S], event: events.Event) -> list[Action]:
        """Takes what the service tells of a context."""
        request = self._owners.get(record)
        if request is None or record.over or self._closed:
            return []
        match event:
            case events.Opened(audio=events.AudioInfo(sample_rate=rate)):
                request.rate = rate
            case events.AudioChunk(data=data):
                return self._audio(request, data)
            case events.Done():
                return self._done(request, event)
            case events.Cancelled():
                return self._fail(request, fault(Loading("the server is going away")))
            case events.Failed(code=code, message=message, final=final):
                told = Fault(code, message)
                return self._fail(request, told) if final else [told]
        return []

    def refused(self, record: actions.Record[actions.S], error: StreamTTSError) -> list[Action]:
        """The service does not open a context."""
        request = self._owners.get(record)
        return [] if request is None else self._fail(request, fault(error))

    def report(self, record: actions.Record[actions.S], error: StreamTTSError) -> list[Action]:
        """The service does not take a piece of text: a stream ends with what came before."""
        request = self._owners.get(record)
        if request is None or request.deaf:
            return []
        request.deaf = True
        if request.stream:
            return self._tell(request, fault(error))
        cancel = messages.Cancel(context_id=record.context_id)
        return [*self._fail(request, fault(error)), actions.Pass(record, cancel)]

    # --- what the client sends

    def _synthesize(self, event: Event) -> list[Action]:
        if self._stream is not None:
            return []  # the copy of the whole text, for servers that know no streams
        text = text_of(event)
        request = self._request(event, stream=False)
        return [*self._enter(request), *self._whole(request, text)]

    def _start(self, event: Event) -> list[Action]:
        request = self._request(event, stream=True)
        before = self._stop(self._stream) if self._stream is not None else []
        self._stream = request
        return [*before, *self._enter(request)]

    def _chunk(self, event: Event) -> list[Action]:
        return self._feed(self._streaming(event), text_of(event))

    def _stop(self, request: Request[actions.S]) -> list[Action]:
        request.open, self._stream = False, None
        if request.failure is not None:
            return []
        if request.record is None and request.started:
            return self._finish(request)
        return self._whole(request, "")

    def _streaming(self, event: Event) -> Request[actions.S]:
        if self._stream is None:
            raise UnknownContext(f"{event.type}: no synthesize-start came before it")
        return self._stream

    def _request(self, event: Event, *, stream: bool) -> Request[actions.S]:
        """Makes a request of what `synthesize` and `synthesize-start` have in common."""
        if len(self._requests) >= self._max_requests:
            raise ContextLimit(f"{self._max_requests} requests wait already on this connection")
        given = settings_of(event)
        voice = SynthesizeVoice.from_dict(event.data["voice"])
        given["voice"], unknown = choose(self._voices, voice)
        request = Request(self._settings(given), stream=stream, open=stream)
        if unknown is not None:
            request.faults.append(fault(unknown))
        return request

    def _enter(self, request: Request[actions.S]) -> list[Action]:
        self._requests.append(request)
        return self._begin() if len(self._requests) == 1 else []

    # --- a request's text

    def _feed(self, request: Request[actions.S], text: str) -> list[Action]:
        if not text or request.deaf or request.failure is not None:
            return []
        admit, record = self._record(request)
        fed = actions.feed(record, text)
        for action in fed:
            if isinstance(action, actions.Feed):
                request.note(action.text)
        return [*admit, *fed]

    def _whole(self, request: Request[actions.S], text: str) -> list[Action]:
        """The last piece of text, and its end."""
        fed = self._feed(request, text)
        admit, record = self._record(request)
        end = actions.Pass(record, messages.End(context_id=record.context_id))
        return [*fed, *admit, end]

    def _record(
        self, request: Request[actions.S]
    ) -> tuple[list[Action], actions.Record[actions.S]]:
        """The context of a request; opened, if it has none."""
        if request.record is not None:
            return [], request.record
        self._number += 1
        position = self._requests.index(request)
        record = actions.Record(
            str(self._number), 0, request.settings, False, position > 0, position
        )
        request.record, request.fed, request.tail = record, 0, ""
        self._owners[record] = request
        return [actions.Admit(record)], record

    # --- a request's sound and its end

    def _begin(self) -> list[Action]:
        """The turn of the next request has come."""
        if not self._requests:
            return []
        request = self._requests[0]
        told: list[Action] = [*request.faults]
        request.faults.clear()
        if request.failure is not None:
            self._closed = True
            return [*told, request.failure, Close()]
        if request.record is not None and request.record.held:
            request.record.held = False
            told.append(actions.Release(request.record))
        return told

    def _tell(self, request: Request[actions.S], told: Fault) -> list[Action]:
        if self._requests[0] is request:
            return [told]
        request.faults.append(told)
        return []

    def _audio(self, request: Request[actions.S], data: bytes) -> list[Action]:
        if not data:
            return []
        sent: list[Action] = []
        rate, at_ms = request.rate, request.sent_ms
        if not request.started:
            request.started = True
            sent.append(send(AudioStart(rate=rate, width=WIDTH, channels=1, timestamp=0)))
        chunk = AudioChunk(rate=rate, width=WIDTH, channels=1, audio=data, timestamp=at_ms)
        request.samples += len(data) // WIDTH
        return [*sent, send(chunk)]

    def _done(self, request: Request[actions.S], done: events.Done) -> list[Action]:
        record = request.record
        assert record is not None
        lost = request.lost(done.chars) if done.reason == "idle" else ""
        self._over(request)
        if lost and not request.deaf:  # came when the context had just ended
            return self._feed(request, lost) if request.open else self._whole(request, lost)
        return [] if request.open else self._finish(request)

    def _finish(self, request: Request[actions.S]) -> list[Action]:
        assert self._requests[0] is request
        sent: list[Action] = []
        if not request.started:
            sent += self._audio(request, bytes(WIDTH * (request.rate * SILENCE_MS // 1000)))
        sent.append(send(AudioStop(timestamp=request.sent_ms)))
        if request.stream:
            sent.append(send(SynthesizeStopped()))
        self._requests.popleft()
        return [*sent, *self._begin()]

    def _fail(self, request: Request[actions.S], failure: Fault) -> list[Action]:
        self._over(request)
        request.failure = failure
        return self._begin() if self._requests[0] is request else []

    def _over(self, request: Request[actions.S]) -> None:
        if request.record is not None:
            request.record.over = True
            del self._owners[request.record]
            request.record = None
