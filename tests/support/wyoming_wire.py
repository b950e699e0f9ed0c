"""Wyoming as its own package writes and reads it."""

from __future__ import annotations

import asyncio
import io
from typing import Any

from wyoming.event import Event, read_event, write_event


def wire(event: Event) -> bytes:
    """An event as the package writes it."""
    out = io.BytesIO()
    write_event(event, out)
    return out.getvalue()


def unwire(data: bytes) -> list[Event]:
    """Everything that the package reads."""
    stream = io.BytesIO(data)
    found: list[Event] = []
    while (event := read_event(stream)) is not None:
        found.append(event)
    assert stream.read() == b""
    return found


def ev(type_: str, /, **data: Any) -> Event:
    return Event(type=type_, data=data)


async def types_until(client: Any, last: str, timeout_s: float = 60.0) -> list[Event]:
    """Reads on until an event of that type; it is the last one of the list."""
    found: list[Event] = []
    while not found or found[-1].type != last:
        event = await asyncio.wait_for(client.read_event(), timeout_s)
        assert event is not None, [e.type for e in found]
        found.append(event)
    return found
