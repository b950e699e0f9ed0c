"""Our voice by the plainest means: whole sentences, one or several at a time, made to their end.

What servers without an engine do. The model is called once a step for all sentences of a batch,
rows leave the batch when they are over, the encoder sees a sentence at once and the vocoder makes
all of it in one call, so nothing here pays for streaming.
"""

import re

import torch

from streamtts.config import Config
from streamtts.engine.runner import DROPPED_FRAMES
from streamtts.model.acoustic import EncodeJob, Future
from streamtts.nn.state import select
from streamtts.text.frontend import FrontEnd
from streamtts.text.phonemes import Pronouncer, load_lexicon
from streamtts.text.symbols import encode
from streamtts.voice.store import SHIPPED, list_voices, load_voice

_END = re.compile(r"[.!?][\"')\]]*\s+")
WARM_UP = "Ready to speak."


def load(threads=1):
    """The shipped voice, or the first of them; torch gets that many threads."""
    torch.set_num_threads(threads)
    wanted = Config().voice.id or list_voices((SHIPPED,))[0].id
    return load_voice(wanted, (SHIPPED,))


class Cutter:
    """Deltas of text in, whole sentences out."""

    def __init__(self):
        self._text = ""

    def feed(self, delta):
        """The sentences that this delta completes."""
        self._text += delta
        ready = []
        while (end := _END.search(self._text)) is not None:
            ready.append(self._text[: end.end()])
            self._text = self._text[end.end() :]
        return ready

    def end(self):
        """The rest, when there is any."""
        rest, self._text = self._text, ""
        return [rest] if rest.strip() else []


class Sentences:
    """Makes sentences; any number of threads may call it.

    Args:
        voice: who speaks.
    """

    def __init__(self, voice):
        self.sample_rate = voice.manifest.sample_rate
        self._acoustic = voice.acoustic.prepare()
        self._vocoder = voice.vocoder
        self._pronouncer = Pronouncer(load_lexicon(), {})
        self.make([WARM_UP])

    @torch.inference_mode()
    def make(self, texts):
        """Texts to sounds, float32 (S,) each; they are one batch and end together."""
        memories = self._encode(texts)
        rows = [row for row, memory in enumerate(memories) if memory is not None]
        sounds = [torch.zeros(0).numpy()] * len(texts)
        if rows:
            made = self._decode([memories[row] for row in rows])
            for row, frames in zip(rows, made, strict=True):
                seeds = torch.zeros(1, dtype=torch.int64)
                sounds[row] = self._vocoder.offline(frames[None], seeds)[0].numpy()
        return sounds

    def _symbols(self, text):
        """Features (N, F) of a text's symbols; N is 0 when there is nothing to say."""
        front_end = FrontEnd(self._pronouncer)
        return encode([*front_end.feed(text).symbols, *front_end.end().symbols])

    def _encode(self, texts):
        """Memory (N, D) of each text, in one pass of the encoder; None for one without symbols."""
        features = [self._symbols(text) for text in texts]
        rows = [row for row, symbols in enumerate(features) if len(symbols)]
        zeros = self._acoustic.encoder_zeros()
        jobs = [EncodeJob(features[row], zeros, Future.END) for row in rows]
        memories = [None] * len(texts)
        for row, (memory, _) in zip(rows, self._acoustic.encode_batch(jobs), strict=True):
            memories[row] = memory
        return memories

    def _decode(self, memories):
        """Memories to frames (T, M + 2), for all of them step by step together."""
        model = self._acoustic
        lengths = torch.tensor([len(memory) for memory in memories])
        memory = torch.nn.utils.rnn.pad_sequence(memories, batch_first=True)
        alive = moved = torch.arange(len(memories))
        at = torch.zeros(len(memories), dtype=torch.int64)
        state = model.decoder_zeros(len(memories))
        frames = [[] for _ in memories]
        while len(alive):
            rows, here = alive[moved], at[moved]
            has_following = here + 1 < lengths[rows]
            following = memory[rows, torch.where(has_following, here + 1, here)]
            out = model.advance(moved, memory[rows, here], following, has_following, state)
            for row, new in zip(alive.tolist(), out.frames, strict=True):
                frames[row].append(new)
            at = at + out.leave
            moved = out.leave.nonzero()[:, 0]
            over = at >= lengths[alive]
            if over.any():
                for row in over.nonzero()[:, 0].tolist():
                    held = model.flush(select(state, torch.tensor([row])))
                    frames[int(alive[row])].append(held[0])
                moved = out.leave[~over].nonzero()[:, 0]
                alive, at, state = alive[~over], at[~over], select(state, ~over)
        hidden = model.lookahead_frames + DROPPED_FRAMES
        return [torch.cat(parts)[hidden:] for parts in frames]
