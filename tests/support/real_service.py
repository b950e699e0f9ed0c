"""The real service, threads and all, with a tiny voice of random weights."""

from __future__ import annotations

import functools
import time
from typing import Any

from streamtts.protocol.parts import VoiceInfo
from streamtts.service import MakeFrontEnd, Service
from streamtts.text.frontend import FrontEnd
from streamtts.text.phonemes import Pronouncer, load_lexicon
from support.fake_voice import FakeFrontEnd, fake_service

TINY = VoiceInfo(id="tiny", name="Tiny", language="en-US", sample_rate=16000)


@functools.cache
def pronouncer() -> Pronouncer:
    return Pronouncer(load_lexicon())


def english(text_format: str, normalize: bool) -> FrontEnd:
    """The product's own front end."""
    return FrontEnd(pronouncer(), text_format=text_format, normalize=normalize)


def letters(text_format: str, normalize: bool) -> FakeFrontEnd:
    """A front end for which runs of letters are words."""
    return FakeFrontEnd()


def load(
    make_front_end: MakeFrontEnd = letters, **options: Any
) -> tuple[Service, tuple[VoiceInfo, ...]]:
    """What `Lifecycle` loads."""
    service = fake_service(clock=time.monotonic, make_front_end=make_front_end, **options)
    service.start()
    service.warm_up()
    return service, (TINY,)
