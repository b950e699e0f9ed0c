"""Speech by the plainest means: one sentence after the other, no engine, nothing streamed.

It is the reference that the engine's sound is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from streamtts.engine.runner import DROPPED_FRAMES
from streamtts.model.acoustic import Future
from streamtts.text.symbols import Symbol, encode
from streamtts.voice.store import Voice


@dataclass(frozen=True, slots=True)
class Spoken:
    """What was made.

    Attributes:
        frames: (T, 82), see `StepOutput.frames`, not delayed, without those that are dropped.
        samples: (S,) float32, S = T * hop_length.
        positions: (T / R,) int64, the symbol of each decoder step.
    """

    frames: NDArray[np.float32]
    samples: NDArray[np.float32]
    positions: NDArray[np.int64]


@torch.inference_mode()
def speak(voice: Voice, symbols: Sequence[Symbol], *, seed: int = 0) -> Spoken:
    """Speaks symbols.

    Args:
        voice: who speaks.
        symbols: of whole sentences.
        seed: of the vocoder's noise.

    Raises:
        ValueError: the last symbol does not end a sentence.
    """
    if not symbols or not symbols[-1].ends_sentence:
        raise ValueError("symbols of whole sentences are needed")
    model = voice.acoustic.prepare()
    ends = [i + 1 for i, s in enumerate(symbols) if s.ends_sentence]
    features = encode(symbols)
    row = torch.tensor([0])
    state = model.decoder_zeros(1)
    frames, positions = [], []
    for start, end in zip([0, *ends], ends, strict=False):
        memory, _ = model.encode(features[start:end], model.encoder_zeros(), Future.END)
        model.restart(state, row)
        at = 0
        while at < len(memory):
            last = at + 1 == len(memory)
            following = memory[at if last else at + 1][None]
            has_following = torch.tensor([not last])
            out = model.advance(None, memory[at][None], following, has_following, state)
            frames.append(out.frames[0])
            positions.append(start + at)
            at += int(out.leave)
    held = model.flush(state)
    made = torch.cat([*frames, held[0]])[model.lookahead_frames + DROPPED_FRAMES :]
    samples = voice.vocoder.offline(made[None], torch.tensor([seed]))[0]
    return Spoken(made.numpy(), samples.numpy(), np.array(positions))
