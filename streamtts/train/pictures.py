"""Pictures of a voice: alignment, mel beside the teacher's, training curves."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

matplotlib.use("Agg")

_STEP_S = 0.025
_FRAME_S = 0.0125


def draw_alignment(path: Path, positions: NDArray[np.int64], phones: list[str], text: str) -> None:
    """Where the attention stood at each step: (T,) symbol positions, and the symbols' names."""
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    axes = figure.subplots()
    picture = np.zeros((len(phones), len(positions)))
    picture[positions, np.arange(len(positions))] = 1
    axes.imshow(
        picture, aspect="auto", origin="lower", cmap="Greys", interpolation="nearest",
        extent=(0, len(positions) * _STEP_S, -0.5, len(phones) - 0.5),
    )  # fmt: skip
    axes.set_yticks(range(len(phones)), phones, fontsize=5)
    axes.set_xlabel("seconds")
    axes.set_title(f"alignment: {text[:90]}", fontsize=9)
    figure.savefig(path, dpi=110)


def draw_mels(
    path: Path, ours: NDArray[np.float32], teacher: NDArray[np.float32], text: str
) -> None:
    """Frames (T, 82) of the voice above those of its teacher, with F0 over them."""
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    low, high = -11.5, float(max(ours[:, :-2].max(), teacher[:, :-2].max()))
    for axes, frames, name in zip(
        figure.subplots(2, 1), (ours, teacher), ("voice", "teacher"), strict=True
    ):
        seconds = len(frames) * _FRAME_S
        axes.imshow(
            frames[:, :-2].T, aspect="auto", origin="lower", vmin=low, vmax=high,
            extent=(0, seconds, 0, frames.shape[1] - 2),
        )  # fmt: skip
        f0 = np.where(frames[:, -1] > 0.5, np.exp(frames[:, -2]), np.nan)
        pitch = axes.twinx()
        pitch.plot(np.arange(len(frames)) * _FRAME_S, f0, color="white", linewidth=1.2)
        pitch.set_ylim(50, 300)
        pitch.set_ylabel("F0, Hz")
        axes.set_ylabel(f"{name}: mel bin")
        axes.set_xlabel("seconds")
    figure.suptitle(text[:110], fontsize=9)
    figure.savefig(path, dpi=110)


def draw_training(path: Path, acoustic: Path, vocoder: Path) -> None:
    """Losses of both models over their updates, from the logs that training wrote."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    if acoustic.exists():
        rows = np.atleast_2d(np.loadtxt(acoustic, delimiter=","))
        for column, name in ((1, "mel, natural log"), (3, "F0"), (5, "hazard")):
            left.semilogy(rows[:, 0], rows[:, column], label=name, linewidth=0.8)
        left.legend()
    left.set_xlabel("updates")
    left.set_title("acoustic model")
    if vocoder.exists():
        rows = np.atleast_2d(np.loadtxt(vocoder, delimiter=","))
        right.plot(rows[:, 0], rows[:, 2])
    right.set_xlabel("updates")
    right.set_title("vocoder, held-out clips")
    figure.savefig(path, dpi=110)
