"""M1, M2 and M9 for the table: how soon the first sound is there."""

import argparse
import contextlib

import first_sound
from bench_server import StrategyProcess

from streamtts.client import connect
from streamtts.config import Config
from streamtts.speech import Speech

BLOCKS = 5


async def measure(bench, wanted):
    """M1 against S5 (a server of its own), M2, M9."""
    options = argparse.Namespace(blocks=BLOCKS, repeats=4, requests=20, idle=200)
    if "M9" in wanted:
        await first_sound.idle(bench.server, bench.report, options)
    if "M1" in wanted:
        await _first_sound(bench, options)
    if {"M2", "M9"} & set(wanted):
        await _all_text(bench, options)


async def _first_sound(bench, options):
    with StrategyProcess("S5") as collected:
        async with connect(bench.server.url) as ours, connect(collected.url) as theirs:
            await first_sound.spoken(ours)
            await first_sound.spoken(theirs)
            for per_second in first_sound.RATES:
                blocks = await first_sound.first_sounds(
                    _way(ours, per_second),
                    _way(theirs, per_second),
                    options.blocks,
                    options.repeats,
                )
                first_sound.first_sound_rows(bench.report, per_second, *blocks, "S5")


def _way(tts, per_second):
    return lambda text: first_sound.ear_ms(tts, text, per_second, sentences=False)


async def _all_text(bench, options):
    with contextlib.closing(Speech.load(Config())) as speech:
        for _ in speech.stream([first_sound.bench_texts.text(0)]):
            pass
        async with connect(bench.server.url) as tts:
            await first_sound.spoken(tts)
            await first_sound.all_text(tts, speech, bench.report, options)
