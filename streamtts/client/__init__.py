"""An asyncio client of the native protocol; needs only the base install, no torch.

Example::

    async with connect("ws://127.0.0.1:8765") as tts:
        async for event in tts.speak("Hello world."):
            if isinstance(event, Audio):
                play(event.samples)
"""

from streamtts.client.connection import Connection
from streamtts.client.dial import DEFAULT_URL, connect
from streamtts.client.events import (
    Alignment,
    Audio,
    Cancelled,
    Done,
    Event,
    Flushed,
    Mel,
    Opened,
    Phones,
    Refused,
    Started,
    Warning_,
    Words,
)
from streamtts.client.failures import ConnectionLost, Overrun
from streamtts.client.playout import PlayoutClock, Transcript
from streamtts.client.utterance import Utterance

__all__ = [
    "DEFAULT_URL",
    "Alignment",
    "Audio",
    "Cancelled",
    "Connection",
    "ConnectionLost",
    "Done",
    "Event",
    "Flushed",
    "Mel",
    "Opened",
    "Overrun",
    "Phones",
    "PlayoutClock",
    "Refused",
    "Started",
    "Transcript",
    "Utterance",
    "Warning_",
    "Words",
    "connect",
]
