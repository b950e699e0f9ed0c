"""One context listened to from end to end, with all that can be checked of it later."""

import time
from dataclasses import dataclass, field

import numpy as np

from streamtts.client import Audio, Done, Opened, Words

SAMPLE_RATE = 16_000  # what the recogniser knows
BEFORE_S, AFTER_S = 0.1, 0.15  # around a sentence, cut with it


@dataclass
class Take:
    """What came of one context."""

    samples: np.ndarray
    starts: list[int]  # first sample of each chunk, as told
    misplaced: int  # chunks that are told to begin elsewhere than where the last one ended
    words: dict[int, tuple[int, int, int, int]]  # index: start, end, char_start, char_end
    backwards: int  # items out of order, or told anew with another start
    done: Done
    wall_s: float
    rss: list[tuple[float, int]] = field(default_factory=list)  # (s of audio, bytes)

    @property
    def seconds(self):
        return len(self.samples) / SAMPLE_RATE


async def listen(tts, text, rss=None):
    """Speaks a text in a context of its own; `rss` is read at every second of its sound."""
    chunks, starts, words, memory = [], [], {}, []
    total = misplaced = backwards = 0
    newest = (-1, 0)  # index and start of the last word
    done = None
    began = time.monotonic()
    async for event in tts.speak(text, timestamps=("word",)):
        if isinstance(event, Opened) and event.audio.sample_rate != SAMPLE_RATE:
            raise SystemExit(f"the voice has {event.audio.sample_rate} Hz, not {SAMPLE_RATE}")
        if isinstance(event, Audio):
            misplaced += event.first_sample != total
            starts.append(event.first_sample)
            chunks.append(event.samples)
            total += len(event.samples)
            if rss is not None and total >= (len(memory) + 1) * SAMPLE_RATE:
                memory.append((total / SAMPLE_RATE, rss()))
        elif isinstance(event, Words):
            for item in event.items:
                told = words.get(item.index)
                if told is None:
                    backwards += item.index != newest[0] + 1 or item.start < newest[1]
                    newest = (item.index, item.start)
                else:
                    backwards += told[0] != item.start
                end = item.end if isinstance(item.end, int) else -1
                words[item.index] = (item.start, end, item.char_start, item.char_end)
        elif isinstance(event, Done):
            done = event
    samples = np.concatenate(chunks)
    wall_s = time.monotonic() - began
    return Take(samples, starts, misplaced, words, backwards, done, wall_s, memory)


def cut(take, span):
    """The sound of a line, from a little before its first word to a little after its last."""
    inside = [i for i, word in sorted(take.words.items()) if span[0] <= word[2] < span[1]]
    if not inside:
        return np.zeros(SAMPLE_RATE // 10, np.float32)
    start = take.words[inside[0]][0] - round(BEFORE_S * SAMPLE_RATE)
    end = take.words[inside[-1]][1] + round(AFTER_S * SAMPLE_RATE)
    if before := take.words.get(inside[0] - 1):
        start = max(start, before[1])
    if after := take.words.get(inside[-1] + 1):
        end = min(end, after[0])
    return take.samples[max(0, start) : end]
