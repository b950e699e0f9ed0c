"""Trains the acoustic model along known alignments."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from streamtts.model.acoustic import AcousticConfig, AcousticModel
from streamtts.text.symbols import BOUNDARY_ID, FEATURE_SIZES, UNKNOWN_ID
from streamtts.train import checkpoint
from streamtts.train.batches import Batch, Disturbance, collate, order
from streamtts.train.corpus import Item
from streamtts.train.precision import autocast


@dataclass(frozen=True, slots=True)
class AcousticTraining:
    """How to train.

    Attributes:
        steps: updates.
        batch: sentences an update.
        learning_rate: at the peak.
        warmup: updates until the peak; a cosine leads down to a hundredth of it at the end.
        decay: of the average of the weights.
        disturbance: how often sentences are read as live streams may meet them.
        checkpoint_s: seconds between checkpoints.
        seed: of the first weights, the order of sentences, cuts and dropout.
    """

    steps: int = 9_000
    batch: int = 16
    learning_rate: float = 1.5e-3
    warmup: int = 200
    decay: float = 0.999
    disturbance: Disturbance = field(default_factory=Disturbance)
    checkpoint_s: float = 45.0
    seed: int = 0


def loss_of(model: AcousticModel, batch: Batch) -> dict[str, Tensor]:
    """The losses of a batch, by name; "total" is what training descends."""
    config = model.config
    memory = model.encoder(batch.features, batch.lengths, batch.cuts)
    D = memory.shape[-1]
    last = batch.lengths[:, None] - 1
    following = torch.minimum(batch.position + 1, last)
    has_following = (batch.position < last) & (batch.position != batch.cuts[:, None])

    def gather(at: Tensor) -> Tensor:
        return torch.gather(memory, 1, at[..., None].expand(-1, -1, D))

    before, after, logits = model.decoder(
        gather(batch.position), gather(following), has_following, batch.dwell
    )
    steps = torch.arange(batch.position.shape[1], device=memory.device)
    step_mask = (steps < batch.steps[:, None]).float()
    mask = step_mask.repeat_interleave(config.reduction_factor, 1)[:, None]
    target = ((batch.frames - model.offset) / model.scale).mT
    voiced = batch.frames[..., -1][:, None] * mask
    mels = slice(0, config.n_mels)

    def mean(x: Tensor, weight: Tensor) -> Tensor:
        return (x * weight).sum() / (weight.sum() * x.shape[1]).clamp(min=1)

    before, after = before.float(), after.float()
    parts = {
        "mel": mean((after - target)[:, mels].abs(), mask) * config.mel_scale,
        "mel_before": mean((before - target)[:, mels].abs(), mask) * config.mel_scale,
        "f0": mean((after - target)[:, -2:-1].abs(), voiced),
        "voicing": mean(
            F.binary_cross_entropy_with_logits(after[:, -1:], voiced, reduction="none"), mask
        ),
        "hazard": mean(
            F.binary_cross_entropy_with_logits(logits.float(), batch.leave, reduction="none")[
                :, None
            ],
            step_mask[:, None],
        ),
    }
    parts["total"] = (
        parts["mel"] + 0.5 * parts["mel_before"] + 0.2 * parts["f0"] + 0.2 * parts["voicing"]
        + 0.6 * parts["hazard"]
    )  # fmt: skip
    return parts


def speaker_config(items: Sequence[Item], frames: Sequence[NDArray[np.float16]]) -> AcousticConfig:
    """The default sizes, with the pitch scale of this corpus."""
    voiced = np.concatenate([f[f[:, -1] > 0.5, -2].astype(np.float64) for f in frames])
    return AcousticConfig(
        feature_sizes=FEATURE_SIZES,
        boundary_id=BOUNDARY_ID,
        unknown_id=UNKNOWN_ID,
        f0_mean_ln=round(float(voiced.mean()), 5),
        f0_std_ln=round(float(voiced.std()), 5),
    )


def learning_rate(step: int, config: AcousticTraining) -> float:
    """Linear warm-up, then half a cosine down to a hundredth of the peak."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    part = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, part))))


def _batches(items: Sequence[Item], config: AcousticTraining, start: int) -> Iterator[list[int]]:
    """Batches from update `start` on, the same whether the run was interrupted or not."""
    per_epoch = -(-len(items) // config.batch)
    for step in range(start, config.steps):
        epoch, place = divmod(step, per_epoch)
        if place == 0 or step == start:
            batches = order(items, config.batch, epoch, config.seed)
        yield batches[place]


def train_acoustic(
    items: Sequence[Item],
    out_dir: Path,
    training: AcousticTraining,
    progress: Callable[[int, float], None],
    model_config: AcousticConfig | None = None,
) -> AcousticModel:
    """Trains, or goes on with a run that was interrupted.

    Args:
        items: the corpus.
        out_dir: `acoustic.pt` (the checkpoint) and `acoustic.csv` (losses) go there.
        training: how.
        progress: called with (updates done, loss) now and then.
        model_config: sizes; default is `speaker_config` of the corpus.

    Returns:
        the model with the averaged weights, in eval mode, on the CPU.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    frames = [np.load(i.frames) for i in items]
    cast = autocast(device)  # before the seed: its trial draws random numbers
    torch.manual_seed(training.seed)
    model = AcousticModel(model_config or speaker_config(items, frames)).to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(), training.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    average = checkpoint.Average(model, training.decay)
    path, start = out_dir / "acoustic.pt", 0
    if (saved := checkpoint.load(path)) is not None:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        average.weights = {n: w.to(device) for n, w in saved["average"].items()}
        torch.set_rng_state(saved["rng"])
        start = saved["step"]
    model.train()
    every = checkpoint.Every(training.checkpoint_s)
    recent: list[list[float]] = []
    for step, batch_ids in enumerate(_batches(items, training, start), start):
        rng = np.random.default_rng((training.seed, 1, step))
        batch = collate(
            [items[i] for i in batch_ids], [frames[i] for i in batch_ids], training.disturbance, rng
        ).to(device)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, training)
        with cast():
            parts = loss_of(model, batch)
        optimizer.zero_grad(set_to_none=True)
        parts["total"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model, step)
        recent.append([float(v.detach()) for v in parts.values()])
        done = step + 1
        if done % 25 == 0 or done == training.steps:
            means = np.mean(recent, axis=0)
            recent.clear()
            with (out_dir / "acoustic.csv").open("a") as log:
                log.write(",".join([str(done), *(f"{m:.4f}" for m in means)]) + "\n")
            progress(done, float(means[0]))
        if every.due() or done == training.steps:
            checkpoint.save(
                path,
                {
                    "step": done, "model": model.state_dict(), "optimizer": optimizer.state_dict(),
                    "average": average.weights, "rng": torch.get_rng_state(),
                },
            )  # fmt: skip
    model.load_state_dict(average.weights, strict=True)
    return model.cpu().eval()
