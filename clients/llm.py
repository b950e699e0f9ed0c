#!/usr/bin/env python3
"""Plays a language model that talks: tokens go out at a rate, words appear as they are heard.

python clients/llm.py                      a built-in text at 20 tokens a second
python clients/llm.py answer.txt --rate 62
some-language-model | python clients/llm.py -

Enter barges in: the server is told what was heard, falls silent, and says what it had said by then.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from streamtts.audio.player import Player
from streamtts.client import (
    DEFAULT_URL,
    Audio,
    Cancelled,
    Opened,
    PlayoutClock,
    Transcript,
    Utterance,
    Words,
    connect,
)
from streamtts.client.terminal import chunks
from streamtts.client.tokens import paced, tokens
from streamtts.errors import StreamTTSError
from streamtts.protocol.parts import AudioRequest

TEXT = (
    "Speech that waits for the end of a sentence comes late. Here every word is sent as soon as "
    "it is written, and you hear the first one while the second is still being thought of. You "
    "may interrupt me at any time: press Enter, and I will know how far you have listened. "
    "Nothing that you have not heard was said, so the conversation can go on from there."
)
_TICK_S = 0.03
_REPORT_S = 0.25


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    made = argparse.ArgumentParser(prog="llm.py", description="Stream tokens into speech.")
    made.add_argument("file", nargs="?", help="text file; - for standard input as it arrives")
    made.add_argument(
        "--rate", type=float, default=20.0, help="tokens a second (default: %(default)s)"
    )
    made.add_argument("--play", action="store_true", help="play it (pip install sounddevice)")
    made.add_argument("--url", default=DEFAULT_URL, help="the server (default: %(default)s)")
    made.add_argument(
        "--token",
        default=os.environ.get("STREAMTTS_TOKEN"),
        help="key of the server (default: the environment variable STREAMTTS_TOKEN)",
    )
    made.add_argument("--voice", help="id of a voice (default: the server's)")
    made.add_argument("--speed", type=float, help="2 is twice as fast")
    made.add_argument(
        "--barge-in-after", type=float, metavar="S", help="barge in by itself after S seconds"
    )
    return made


class Listener:
    """Hears one utterance: plays or simulates the sound and prints the words with it."""

    def __init__(self, utterance: Utterance, *, play: bool) -> None:
        self._utterance = utterance
        self._play = play
        self._player: Player | None = None
        self._clock: PlayoutClock | None = None
        self._transcript = Transcript()
        self._printed = 0

    @property
    def played_samples(self) -> int:
        """How much was heard by now."""
        if self._player is not None:
            return self._player.played_samples
        return 0 if self._clock is None else self._clock.played_samples

    async def listen(self) -> None:
        """Takes events until the utterance ends, then waits until all of it was heard."""
        async for event in self._utterance:
            if isinstance(event, Opened) and event.audio is not None:
                self._clock = PlayoutClock(event.audio.sample_rate)
                self._player = Player(event.audio.sample_rate) if self._play else None
            elif isinstance(event, Words):
                self._transcript.add(event.items)
            elif isinstance(event, Audio) and self._clock is not None:
                samples = event.samples
                self._clock.arrived(event.first_sample + len(samples))
                if self._player is not None:
                    self._player.write(samples)
            elif isinstance(event, Cancelled):
                return
        await asyncio.sleep(self._remaining_s())
        self.show()

    async def follow(self) -> None:
        """Prints words when they are heard, and tells the server how much that is."""
        loop = asyncio.get_running_loop()
        reported = loop.time()
        while True:
            self.show()
            if loop.time() - reported > _REPORT_S:
                reported = loop.time()
                await self._utterance.playback(self.played_samples)
            await asyncio.sleep(_TICK_S)

    def show(self) -> str:
        """Prints what was heard since the last call; returns all of it."""
        heard = self._transcript.heard(self._utterance.text, self.played_samples)
        print(heard[self._printed :], end="", flush=True)
        self._printed = max(self._printed, len(heard))
        return heard

    def silence(self) -> None:
        """Stops the sound card at once."""
        if self._player is not None:
            self._player.stop()

    def close(self) -> None:
        """Gives the sound card back."""
        if self._player is not None:
            self._player.close()

    def _remaining_s(self) -> float:
        if self._player is not None:
            return self._player.queued_s
        return 0.0 if self._clock is None else self._clock.remaining_s


async def converse(options: argparse.Namespace) -> None:
    """Speaks the whole text, or until somebody barges in.

    Raises:
        StreamTTSError: of the server, the connection or the sound card.
    """
    async with connect(options.url, token=options.token) as tts:
        utterance = tts.speak(
            source(options),
            voice=options.voice,
            speed=options.speed,
            audio=AudioRequest(encoding="pcm_f32le"),
        )
        async with utterance:
            listener = Listener(utterance, play=options.play)
            listening = asyncio.create_task(listener.listen(), name="listen")
            following = asyncio.create_task(listener.follow(), name="follow")
            barging = asyncio.create_task(barge_in(options), name="barge in")
            tasks = {listening, following, barging}
            try:
                ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if barging in ended and not listening.done():
                    await interrupt(utterance, listener)
                for task in ended:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                listener.close()
                print(flush=True)


async def interrupt(utterance: Utterance, listener: Listener) -> None:
    """Cancels, and prints what was heard and what was not."""
    listener.silence()
    played = listener.played_samples
    answer = await utterance.cancel(played)
    heard = answer.spoken.text if isinstance(answer, Cancelled) else utterance.text
    print(f"\n[heard, {played} samples] {heard}")
    print(f"[not heard] {utterance.text[len(heard) :].lstrip()}")


def source(options: argparse.Namespace) -> AsyncIterator[str]:
    """The tokens, at their rate; standard input comes at its own."""
    if options.file == "-":
        return chunks(sys.stdin.fileno())
    text = TEXT if options.file is None else Path(options.file).read_text(encoding="utf-8")
    return paced(tokens(text), options.rate)


def keyboard(options: argparse.Namespace) -> int | None:
    """The file descriptor on which Enter arrives; None when there is no terminal."""
    if options.file != "-":
        return sys.stdin.fileno() if sys.stdin.isatty() else None
    try:
        return os.open("/dev/tty", os.O_RDONLY)  # standard input is the text
    except OSError:
        return None


async def barge_in(options: argparse.Namespace) -> None:
    """Returns when Enter is pressed or the time given is over; never, without either."""
    if options.barge_in_after is not None:
        await asyncio.sleep(options.barge_in_after)
        return
    terminal = keyboard(options)
    if terminal is None:
        await asyncio.Event().wait()
    else:
        await anext(chunks(terminal))


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = parser().parse_args(arguments)
    try:
        asyncio.run(converse(options))
    except (StreamTTSError, OSError, UnicodeDecodeError) as error:
        print(f"llm.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
