"""`streamtts say`: text to a file or the loudspeaker, without a server."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from streamtts import config as schema
from streamtts.audio.files import SoundFileWriter, check_name
from streamtts.audio.player import Player
from streamtts.config import Config
from streamtts.errors import ConfigError, StreamTTSError
from streamtts.settings import ContextSettings
from streamtts.speech import Speech

READ_BYTES = 4096
READ_AHEAD = 64  # pieces of standard input that wait for the voice; then its writer waits
QUEUED_S = 5.0  # of sound in front of the sound card


def run(config: Config, options: argparse.Namespace) -> str:
    """Speaks, and returns one line that says how it went.

    Args:
        config: `[voice]` and `[engine]` are read.
        options: `text` ("-" for standard input), `output`, `play`, `voice`, `speed`, `pitch`,
            `seed`, `rate`, `markdown`.

    Raises:
        StreamTTSError: of the voice, the settings, the file, the sound card or standard input. No
            file is left behind then.
    """
    if options.output is not None:
        check_name(options.output)
        if not options.output.parent.is_dir():
            raise ConfigError(f"{options.output}: there is no folder {options.output.parent}")
    delay_s = config.audio.max_buffer_delay_ms / 1000
    voice = schema.override(config.voice, id=options.voice)
    engine = schema.override(config.engine, slots=1)
    config = msgspec.structs.replace(config, voice=voice, engine=engine)
    with Speech.load(config) as speech, contextlib.ExitStack() as opened:
        rate = options.rate or speech.sample_rate
        file: SoundFileWriter | None = None
        player: Player | None = None
        if options.output is not None:
            part = opened.enter_context(whole_file(options.output))
            file = opened.enter_context(SoundFileWriter(part, rate))
        if options.play:
            player = opened.enter_context(Player(rate))
        samples = 0
        for chunk in speech.stream(deltas(options.text, delay_s), make_settings(options)):
            samples += len(chunk)
            if file is not None:
                file.write(chunk)
            if player is not None:
                player.write(chunk)
                time.sleep(max(0.0, player.queued_s - QUEUED_S))
        if player is not None:
            time.sleep(player.queued_s)
    return f"{options.output or 'played'}: {samples / rate:.2f} s of sound at {rate} Hz"


def make_settings(options: argparse.Namespace) -> ContextSettings:
    """The settings that the command line asks for; the rest is left as it is."""
    given = {name: getattr(options, name) for name in ("speed", "pitch", "seed")}
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if options.markdown:
        fields["text_format"] = "markdown"
    fields["audio"] = {"sample_rate": options.rate}
    return msgspec.convert(fields, ContextSettings)


def deltas(text: str, delay_s: float) -> Iterator[str | None]:
    """The text itself, or, for "-", standard input in the pieces in which it comes.

    Args:
        text: what to say.
        delay_s: None is yielded, once, when standard input has brought nothing for so long: what
            came so far is to be spoken.

    Raises:
        StreamTTSError: standard input is closed or cannot be read.
    """
    if text != "-":
        yield text
        return
    if sys.stdin is None:
        raise StreamTTSError("standard input is closed")
    pieces: queue.Queue[bytes | OSError] = queue.Queue(READ_AHEAD)
    arguments = (sys.stdin.fileno(), pieces)
    threading.Thread(target=_read, args=arguments, name="stdin", daemon=True).start()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    patience_s: float | None = None
    while True:
        try:
            piece = pieces.get(timeout=patience_s)
        except queue.Empty:
            patience_s = None
            yield None
            continue
        if isinstance(piece, OSError):
            raise StreamTTSError(f"cannot read standard input: {piece}") from piece
        yield decoder.decode(piece, final=not piece)
        if not piece:
            return
        patience_s = delay_s


def _read(descriptor: int, pieces: queue.Queue[bytes | OSError]) -> None:
    """Reads to the end, on a thread that may stay blocked for ever; b"" is the end."""
    try:
        while data := os.read(descriptor, READ_BYTES):
            pieces.put(data)
        pieces.put(b"")
    except OSError as error:
        pieces.put(error)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name to write to, that becomes `path` when all has gone well and is removed otherwise."""
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
