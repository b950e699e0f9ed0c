"""Train the vocoder: crops of real frames in, the sound they came from wanted out."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from streamtts.errors import TrainError
from streamtts.train import checkpoint
from streamtts.train.clips import Clip, Clips
from streamtts.train.spectral_loss import SpectralLoss
from streamtts.vocoder.vocoder import Vocoder, VocoderConfig

_log = logging.getLogger(__name__)

Progress = Callable[[int, int, float, float], None]
"""Called after each step: steps done, steps in all, loss, steps a second."""


@dataclass(frozen=True, slots=True)
class VocoderTraining:
    """How the vocoder is trained.

    Attributes:
        steps: optimiser steps; the learning rate falls over them, as half a cosine.
        batch: crops in a step.
        crop_frames: frames of a crop that are compared.
        lead_in_frames: frames before them, so that the net has a past.
        learning_rate: at its highest.
        warmup: steps over which the learning rate rises.
        max_grad_norm: gradients are clipped to it.
        decay: of the averaged weights, which are the ones that ship.
        checkpoint_s: at most this long between two checkpoints.
        valid_steps: between two looks at the validation crops.
        cache_bytes: as many clips as fit are held in memory; the others are not used.
        seed: of crops, noise and first weights.
    """

    steps: int = 6_500
    batch: int = 12
    crop_frames: int = 40
    lead_in_frames: int = 12
    learning_rate: float = 2e-3
    warmup: int = 100
    max_grad_norm: float = 5.0
    decay: float = 0.999
    checkpoint_s: float = 40.0
    valid_steps: int = 250
    cache_bytes: int = 1 << 30
    seed: int = 1


class VocoderTrainer:
    """One training run: weights, optimiser and averages, and the step they are at.

    Every step draws its crops and noise from its own number, so a run that was killed and goes
    on from a checkpoint comes to the same weights as one that was not.

    Args:
        config: sizes of the vocoder.
        training: how to train.

    Attributes:
        steps_done: optimiser steps so far.
    """

    def __init__(self, config: VocoderConfig, training: VocoderTraining) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.config = config
        self.training = training
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)
            self.vocoder = Vocoder(config).to(self.device)
        self.average = checkpoint.Average(self.vocoder, training.decay)
        self.loss = SpectralLoss().to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.vocoder.parameters(), training.learning_rate, betas=(0.8, 0.99)
        )
        self.steps_done = 0

    def averaged(self) -> Vocoder:
        """A vocoder with the averaged weights, in eval mode."""
        vocoder = Vocoder(self.config).to(self.device)
        vocoder.load_state_dict(self.average.weights)
        return vocoder.eval().requires_grad_(False)

    def _distance(self, vocoder: Vocoder, clips: Clips, key: tuple[int, ...], rows: int) -> Tensor:
        """Loss on crops that `key` alone decides."""
        rng = np.random.default_rng([self.training.seed, *key])
        lead_in, hop = self.training.lead_in_frames, vocoder.hop_length
        # A sample needs frames up to its delay later, so the last ones only serve as a future.
        future = -(-vocoder.delay_samples // hop)
        count = lead_in + self.training.crop_frames + future
        frames, wanted = clips.crops(rng, rows, count, lead_in)
        seeds = torch.from_numpy(rng.integers(0, 1 << 62, size=rows)).to(self.device)
        made, _ = vocoder.step(frames.to(self.device), vocoder.zeros(rows, seeds))
        made = made[:, vocoder.delay_samples + lead_in * hop :]
        distance: Tensor = self.loss(made, wanted.to(self.device)[:, : made.shape[1]])
        return distance

    def step(self, clips: Clips) -> float:
        """Take one step; gives the loss before it."""
        training = self.training
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.steps_done, training)
        loss = self._distance(self.vocoder, clips, (0, self.steps_done), training.batch)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.vocoder.parameters(), training.max_grad_norm)
        if bool(torch.isfinite(norm)):
            self.optimizer.step()
        self.average.update(self.vocoder, self.steps_done)
        self.steps_done += 1
        return float(loss.detach())

    @torch.no_grad()
    def validate(self, clips: Clips) -> float:
        """Loss of the averaged weights on the same crops every time."""
        return float(self._distance(self.averaged(), clips, (1,), 4 * self.training.batch))

    def save(self, path: Path) -> None:
        """Write a checkpoint to go on from."""
        content = {
            "step": self.steps_done,
            "model": self.vocoder.state_dict(),
            "average": self.average.weights,
            "optimizer": self.optimizer.state_dict(),
            "config": asdict(self.config),
        }
        checkpoint.save(path, content)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one.

        Raises:
            TrainError: it is of a vocoder of other sizes.
        """
        saved = checkpoint.load(path)
        if saved is None:
            return
        if saved["config"] != asdict(self.config):
            raise TrainError(f"{path} is of a vocoder of other sizes: delete it to begin anew")
        self.vocoder.load_state_dict(saved["model"])
        self.average.weights = {n: w.to(self.device) for n, w in saved["average"].items()}
        self.optimizer.load_state_dict(saved["optimizer"])
        self.steps_done = saved["step"]


def learning_rate(step: int, training: VocoderTraining) -> float:
    """Linear warm-up, then half a cosine down to a fiftieth of the peak."""
    if step < training.warmup:
        return training.learning_rate * (step + 1) / training.warmup
    part = (step - training.warmup) / max(1, training.steps - training.warmup)
    return training.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, part))))


def train_vocoder(
    train: Sequence[Clip],
    valid: Sequence[Clip],
    out_dir: Path,
    config: VocoderConfig,
    training: VocoderTraining,
    progress: Progress | None = None,
) -> Path:
    """Train a vocoder, or go on where a run that was killed has stopped.

    Writes into `out_dir`: `vocoder.pt` (checkpoint), `vocoder.csv` (step, loss, validation loss),
    and at the end `vocoder.safetensors` (averaged weights).

    Args:
        train: clips to learn from.
        valid: clips to look at.
        out_dir: made where it is missing.
        config: sizes.
        training: how.
        progress: called after each step.

    Returns:
        Path of the averaged weights.

    Raises:
        TrainError: no clip can be used, or the checkpoint is of a vocoder of other sizes.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    trainer = VocoderTrainer(config, training)
    trainer.resume(out_dir / "vocoder.pt")
    shortest = training.lead_in_frames + training.crop_frames + 4
    learnt, looked_at = (
        Clips(clips, config.hop_length, config.sample_rate, shortest, training.cache_bytes)
        for clips in (train, valid)
    )
    _log.info(
        "vocoder training clips=%d valid=%d broken=%d device=%s step=%d",
        len(learnt), len(looked_at), learnt.broken + looked_at.broken, trainer.device,
        trainer.steps_done,
    )  # fmt: skip
    every = checkpoint.Every(training.checkpoint_s)
    begun_s, begun_at = time.monotonic(), trainer.steps_done
    recent: list[float] = []
    while trainer.steps_done < training.steps:
        loss = trainer.step(learnt)
        recent.append(loss)
        done = trainer.steps_done
        if done % training.valid_steps == 0 or done == training.steps:
            with (out_dir / "vocoder.csv").open("a", encoding="utf-8") as file:
                file.write(f"{done},{np.mean(recent):.4f},{trainer.validate(looked_at):.4f}\n")
            recent.clear()
        if every.due() or done == training.steps:
            trainer.save(out_dir / "vocoder.pt")
        if progress is not None:
            rate = (done - begun_at) / max(1e-9, time.monotonic() - begun_s)
            progress(done, training.steps, loss, rate)
    return _export(trainer, out_dir / "vocoder.safetensors")


def _export(trainer: VocoderTrainer, path: Path) -> Path:
    """Write the averaged weights, whole or not at all."""
    part = path.with_suffix(".part")
    weights = {n: w.detach().cpu().contiguous() for n, w in trainer.average.weights.items()}
    save_file(weights, part)
    part.replace(path)
    return path
