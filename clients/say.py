#!/usr/bin/env python3
"""Speaks text through a streamtts server: to a file, or to the loudspeaker while it is made.

python clients/say.py "Hello world." -o hello.wav
some-language-model | python clients/say.py - --play
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterable

from streamtts.audio.files import SoundFileWriter, check_name
from streamtts.audio.player import Player
from streamtts.client import (
    DEFAULT_URL,
    Audio,
    Cancelled,
    Done,
    Opened,
    Refused,
    Utterance,
    Warning_,
    connect,
)
from streamtts.client.terminal import chunks
from streamtts.errors import StreamTTSError
from streamtts.protocol.parts import AudioRequest

_QUEUED_S = 10.0


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="say.py", description="Speak text through a streamtts server."
    )
    made.add_argument("text", help="what to say; - for standard input, spoken as it arrives")
    made.add_argument("-o", "--output", metavar="FILE", help=".wav .flac .ogg .opus .mp3 .raw")
    made.add_argument("--play", action="store_true", help="play it (pip install sounddevice)")
    made.add_argument("--url", default=DEFAULT_URL, help="the server (default: %(default)s)")
    made.add_argument(
        "--token",
        default=os.environ.get("STREAMTTS_TOKEN"),
        help="key of the server (default: the environment variable STREAMTTS_TOKEN)",
    )
    made.add_argument("--voice", help="id of a voice (default: the server's)")
    made.add_argument("--speed", type=float, help="2 is twice as fast")
    made.add_argument("--pitch", type=float, help="ratio")
    made.add_argument("--seed", type=int, help="the same seed and text give the same sound")
    made.add_argument("--rate", type=int, metavar="HZ", help="sample rate (default: the voice's)")
    made.add_argument("--markdown", action="store_true", help="the text is markdown")
    return made


async def say(options: argparse.Namespace) -> str:
    """Speaks and returns one line that says how it went.

    Raises:
        StreamTTSError: of the server, the connection, the file or the sound card.
    """
    text: str | AsyncIterable[str] = options.text
    if text == "-":
        text = chunks(sys.stdin.fileno())
    lead_ms = None if options.play else 0
    async with connect(options.url, token=options.token, lead_ms=lead_ms) as tts:
        utterance = tts.speak(
            text,
            voice=options.voice,
            speed=options.speed,
            pitch=options.pitch,
            seed=options.seed,
            text_format="markdown" if options.markdown else None,
            audio=AudioRequest(encoding="pcm_f32le", sample_rate=options.rate),
        )
        async with utterance:
            return await deliver(utterance, options.output, play=options.play)


async def deliver(utterance: Utterance, output: str | None, *, play: bool) -> str:
    """Takes the sound to the file and the sound card until the end."""
    began = time.perf_counter()
    first_ms = 0.0
    line = "nothing was said"
    with contextlib.ExitStack() as opened:
        file: SoundFileWriter | None = None
        player: Player | None = None
        rate = 0
        async for event in utterance:
            if isinstance(event, Opened) and event.audio is not None:
                rate = event.audio.sample_rate
                if output is not None:
                    file = opened.enter_context(SoundFileWriter(output, rate))
                if play:
                    player = opened.enter_context(Player(rate))
            elif isinstance(event, Audio):
                first_ms = first_ms or (time.perf_counter() - began) * 1000
                if file is not None:
                    file.write(event.samples)
                if player is not None:
                    player.write(event.samples)
                    await wait_until_queued(player, _QUEUED_S)
            elif isinstance(event, Warning_):
                print(f"warning: {event.message}", file=sys.stderr)
            elif isinstance(event, Refused):
                print(f"refused: {event.error}", file=sys.stderr)
            elif isinstance(event, Done | Cancelled) and rate:
                samples = event.samples if isinstance(event, Done) else event.sent_samples
                seconds = samples / rate
                line = f"{seconds:.2f} s of sound at {rate} Hz, the first after {first_ms:.0f} ms"
        if player is not None:
            await wait_until_queued(player, 0.0)
    return line if output is None else f"{output}: {line}"


async def wait_until_queued(player: Player, seconds: float) -> None:
    """Waits until no more than about `seconds` of sound are left to be played."""
    await asyncio.sleep(max(0.0, player.queued_s - seconds))


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    made = parser()
    options = made.parse_args(arguments)
    if options.output is None and not options.play:
        made.error("say where the sound goes: -o FILE or --play")
    try:
        if options.output is not None:
            check_name(options.output)
        print(asyncio.run(say(options)), file=sys.stderr)
    except StreamTTSError as error:
        print(f"say.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
