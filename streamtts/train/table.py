"""The evaluation's table: one row a sentence in, Markdown with intervals out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.markdown import Markdown
from torch.utils.flop_counter import FlopCounterMode

from streamtts.train.metrics import interval
from streamtts.voice.store import Voice

SYMBOLS_PER_S = 12.0  # of speech, about; what a symbol costs the decoder is counted with it


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured on one sentence; see `Distance` for the distances.

    Attributes:
        words: expected.
        errors: of the recogniser on our sound; `teacher_errors`: on the teacher's.
        skipped: words missing in our sound; repeated: words said once more.
        streaming_difference: largest |sample| by which the engine differs from `synthesis.speak`.
        samples_too_many: by which the engine's sound is longer.
        rtf: CPU seconds for a second of sound, one stream, front end included.
        pesq: wide band, copy synthesis, like `stoi` and `stft`; `griffin_lim_*`: the floor.
        f0_std_semitones: liveliness; `teacher_f0_std_semitones`: the teacher's.
    """

    words: int
    errors: int
    teacher_errors: int
    skipped: int
    repeated: int
    mcd_db: float
    f0_rmse_hz: float
    voicing_error: float
    duration_ratio: float
    streaming_difference: float
    samples_too_many: int
    rtf: float
    pesq: float
    stoi: float
    stft: float
    griffin_lim_pesq: float
    griffin_lim_stoi: float
    griffin_lim_stft: float
    f0_std_semitones: float
    teacher_f0_std_semitones: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Size and work of a voice."""

    acoustic_parameters: int
    vocoder_parameters: int
    macs_per_audio_s: float


def cost_of(voice: Voice) -> Cost:
    """Parameters, and multiply-accumulates of decoder and vocoder for a second of sound."""
    model, vocoder = voice.acoustic.prepare(), voice.vocoder
    D = model.config.memory_width
    steps = voice.manifest.sample_rate / voice.manifest.hop_length / model.reduction_factor
    row, true = torch.zeros(1, D), torch.ones(1, dtype=torch.bool)
    nobody = torch.zeros(0, dtype=torch.int64)
    with torch.inference_mode():
        state = model.decoder_zeros(1)
        vocoder_state = vocoder.zeros(1, torch.zeros(1, dtype=torch.int64))
        with FlopCounterMode(display=False) as staying:
            model.advance(nobody, row[:0], row[:0], true[:0], state)
        with FlopCounterMode(display=False) as moving:
            model.advance(None, row, row, true, state)
        frames = torch.zeros(1, model.reduction_factor, model.config.n_mels + 2)
        with FlopCounterMode(display=False) as vocoder_count:
            vocoder.step(frames, vocoder_state)
    each_step = staying.get_total_flops() + vocoder_count.get_total_flops()
    each_symbol = moving.get_total_flops() - staying.get_total_flops()
    return Cost(
        sum(p.numel() for p in voice.acoustic.parameters()),
        sum(p.numel() for p in vocoder.parameters()),
        (each_step * steps + each_symbol * SYMBOLS_PER_S) / 2,
    )


def _column(rows: Sequence[Row], *names: str) -> np.ndarray:
    return np.array([[getattr(r, n) for n in names] for r in rows], dtype=np.float64)


def _mean(rows: Sequence[Row], name: str, digits: int) -> str:
    value, low, high = interval(_column(rows, name)[:, 0])
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _word_errors(rows: Sequence[Row]) -> tuple[str, str, str]:
    """Ours, the teacher's, and the difference in points, each with its interval."""
    table = _column(rows, "errors", "teacher_errors", "words")

    def show(values: tuple[float, float, float], sign: str) -> str:
        return "{:{s}.1f} ({:{s}.1f} to {:{s}.1f})".format(*values, s=sign)

    return (
        show(interval(table, lambda t: 100 * t[:, 0].sum() / t[:, 2].sum()), ""),
        show(interval(table, lambda t: 100 * t[:, 1].sum() / t[:, 2].sum()), ""),
        show(interval(table, lambda t: 100 * (t[:, 0] - t[:, 1]).sum() / t[:, 2].sum()), "+"),
    )


def summarise(rows: Sequence[Row], hard: Sequence[Row], cost: Cost) -> str:
    """The table as Markdown; brackets hold 95 % bootstrap intervals over sentences.

    Args:
        rows: held-out sentences.
        hard: the robustness list.
        cost: of the voice.
    """
    ours, teacher, difference = _word_errors(rows)
    rtf = float(np.median(_column(rows, "rtf")))
    words, hard_words = (int(_column(r, "words").sum()) for r in (rows, hard))
    lost = [int(_column(r, "skipped", "repeated").sum()) for r in (rows, hard)]
    streaming = max(r.streaming_difference for r in (*rows, *hard))
    longer = max(abs(r.samples_too_many) for r in (*rows, *hard))
    lines = [
        f"| {len(rows)} held-out sentences, {words} words | voice | teacher |",
        "|---|---|---|",
        f"| word errors, % (pocketsphinx, open vocabulary) | {ours} | {teacher} |",
        f"| difference, points | {difference} | |",
        f"| words skipped or repeated beyond the teacher's | {lost[0]} | |",
        f"| the same on the robustness list ({len(hard)} texts, {hard_words} words) "
        f"| {lost[1]} | |",
        f"| MCD with DTW, dB | {_mean(rows, 'mcd_db', 2)} | |",
        f"| F0 RMSE, Hz | {_mean(rows, 'f0_rmse_hz', 1)} | |",
        f"| F0 standard deviation, semitones | {_mean(rows, 'f0_std_semitones', 2)} "
        f"| {_mean(rows, 'teacher_f0_std_semitones', 2)} |",
        f"| voicing error | {_mean(rows, 'voicing_error', 3)} | |",
        f"| duration ratio | {_mean(rows, 'duration_ratio', 3)} | |",
        f"| largest difference, engine against offline | {streaming:.1e} ({longer} samples) | |",
        f"| CPU seconds a second of sound, one stream, median | {rtf:.3f} | |",
        f"| million multiply-accumulates a second of sound | {cost.macs_per_audio_s / 1e6:.0f} | |",
        f"| million parameters, acoustic model + vocoder | {cost.acoustic_parameters / 1e6:.2f} + "
        f"{cost.vocoder_parameters / 1e6:.2f} | |",
        "",
        "| copy synthesis of the same recordings | vocoder | Griffin-Lim, 60 rounds |",
        "|---|---|---|",
    ]
    for label, name, digits in (
        ("PESQ-WB", "pesq", 2), ("STOI", "stoi", 3), ("log-STFT distance", "stft", 3),
    ):  # fmt: skip
        floor = _mean(rows, f"griffin_lim_{name}", digits)
        lines.append(f"| {label} | {_mean(rows, name, digits)} | {floor} |")
    return "\n".join(lines) + "\n"


def print_table(table: str) -> None:
    """Shows a Markdown table on the terminal."""
    Console().print(Markdown(table))
