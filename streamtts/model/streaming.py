"""The encoder as it speaks: words of many streams in one pass, each behind its own past.

The same function as `Encoder.forward`, made for inference: every convolution keeps its last
inputs, so that a symbol is computed once; rows of different lengths lie end to end, not padded;
the first convolution, whose inputs are sums of embeddings, is a sum of table rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from streamtts.model.encoder import Encoder, Future

_Ints = NDArray[np.int64]
_VOID = 0  # the code of what lies before a sentence


@dataclass(frozen=True, slots=True)
class EncoderState:
    """What one stream's encoder keeps; its size does not grow with the text.

    Attributes:
        codes: (K - 1, F) int64, the newest symbols as rows of the embedding table.
        seen: symbols of the sentence so far, as far as it matters: at most the look-ahead.
        pending: how many of them have not come out yet.
        past: ((layers - 1) * (K - 1) + 1, D), the newest inputs of every convolution but the
            first, oldest first, and the GRU's hidden vector.
    """

    codes: _Ints
    seen: int
    pending: int
    past: Tensor


class EncodeJob(NamedTuple):
    """One stream's new symbols.

    Attributes:
        features: (N, F) int64, N may be 0.
        state: what the last call gave for this stream, or `StreamingEncoder.zeros()`.
        future: what is known about the symbols behind them.
    """

    features: _Ints
    state: EncoderState
    future: Future


class StreamingEncoder:
    """A copy of an encoder's weights, laid out for inference; it does not follow the original.

    Args:
        encoder: to copy from.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.lookahead = encoder.lookahead
        self.width = encoder.width
        self.kernel = encoder.kernel
        embeddings = [e for e in encoder.embeddings if isinstance(e, nn.Embedding)]
        sizes = [e.num_embeddings for e in embeddings]
        self._offsets = 1 + np.cumsum([0, *sizes[:-1]])
        self._pads = {
            Future.UNKNOWN: self._pad_codes(encoder.unknown_id),
            Future.END: self._pad_codes(encoder.boundary_id),
        }
        self._embedding = F.pad(torch.cat([e.weight for e in embeddings]), (0, 0, 1, 0))
        convs = [c for c in encoder.convs if isinstance(c, nn.Conv1d)]
        assert convs[0].bias is not None
        taps = torch.einsum("vi,oik->vko", self._embedding, convs[0].weight)
        taps[1 : 1 + sizes[0], -2] += convs[0].bias  # every position has one phone in the centre
        self._first = taps.flatten(0, 1).contiguous()  # (V K, D)
        self._convs = [
            (c.weight.permute(2, 1, 0).flatten(0, 1).contiguous(), c.bias.clone())
            for c in convs[1:]
            if c.bias is not None
        ]
        norms = [n for n in encoder.norms if isinstance(n, nn.LayerNorm)]
        self._norms = [(n.weight.clone(), n.bias.clone(), n.eps) for n in norms]
        self._taps = np.arange(self.kernel)[:, None]
        w_in, w_hidden, b_in, b_hidden = encoder.gru.all_weights[0]
        D = self.width
        self._gru_in = w_in.T.contiguous()
        self._gru_hidden = w_hidden.T.contiguous()
        # What the reset gate does not touch is added once, with the input's bias.
        self._gru_bias = b_in + torch.cat([b_hidden[: 2 * D], torch.zeros_like(b_hidden[2 * D :])])
        self._gru_new_bias = torch.cat([torch.zeros_like(b_hidden[: 2 * D]), b_hidden[2 * D :]])

    def _pad_codes(self, phone: int) -> _Ints:
        features = np.zeros((self.lookahead, len(self._offsets)), np.int64)
        features[:, 0] = phone
        return features + self._offsets

    def zeros(self) -> EncoderState:
        """The state at the start of a sentence, of one stream."""
        rows = len(self._convs) * (self.kernel - 1) + 1
        codes = np.full((self.kernel - 1, len(self._offsets)), _VOID, np.int64)
        return EncoderState(codes, 0, 0, self._embedding.new_zeros(rows, self.width))

    def encode(self, jobs: Sequence[EncodeJob]) -> list[tuple[Tensor, EncoderState]]:
        """New symbols of several streams.

        Args:
            jobs: each of another stream.

        Returns:
            for each job (n, D) memory of the symbols that are final now, and the state to go on
            with: after `Future.END` that of a fresh sentence. Memory and state share no storage
            with those of other jobs.
        """
        out: list[tuple[Tensor, EncoderState]] = []
        busy = [i for i, job in enumerate(jobs) if self._has_work(job)]
        if busy:
            made = iter(self._pass([jobs[i] for i in busy]))
        for i, job in enumerate(jobs):
            if busy and i == busy[0]:
                busy.pop(0)
                out.append(next(made))
            else:
                after = self.zeros() if job.future is Future.END else job.state
                out.append((self._embedding.new_zeros(0, self.width), after))
        return out

    @staticmethod
    def _has_work(job: EncodeJob) -> bool:
        return len(job.features) > 0 or (job.future is not Future.MORE and job.state.pending > 0)

    def _pass(self, jobs: Sequence[EncodeJob]) -> list[tuple[Tensor, EncoderState]]:
        device = self._embedding.device
        shapes = [
            _Shape(len(j.features), j.future is not Future.MORE, j.state.pending, j.state.seen)
            for j in jobs
        ]
        if len(jobs) == 1:
            layout = _layout_of_one(shapes[0], self.lookahead, self.kernel, device)
        else:
            layout = _Layout(shapes, self.lookahead, self.kernel, device)
        parts: list[_Ints] = []
        for job in jobs:
            parts += (job.state.codes, job.features + self._offsets)
            if job.future is not Future.MORE:
                parts.append(self._pads[job.future])
        codes = np.concatenate(parts)
        past = torch.stack([job.state.past for job in jobs])
        x, tails = self._convolve(layout, codes, past)
        memory, hidden = self._recur(layout, x, past[:, -1])
        memories = memory.split(layout.ready)
        pasts = torch.cat([*tails, hidden[:, None]], dim=1).unbind()
        kept = codes[layout.kept_codes]
        return [
            (memory.clone(), self._after(job, codes, past))
            for job, memory, codes, past in zip(jobs, memories, kept, pasts, strict=True)
        ]

    def _after(self, job: EncodeJob, codes: _Ints, past: Tensor) -> EncoderState:
        if job.future is Future.END:
            return self.zeros()
        pending = job.state.pending + len(job.features)
        seen = min(self.lookahead, job.state.seen + len(job.features))
        left = 0 if job.future is Future.UNKNOWN else min(pending, self.lookahead)
        return EncoderState(codes.copy(), seen, left, past.clone())

    def _convolve(self, layout: _Layout, codes: _Ints, past: Tensor) -> tuple[Tensor, list[Tensor]]:
        """All convolutions: (P, D) of all positions, and the new tails (B, K - 1, D)."""
        device, D, tail = past.device, self.width, self.kernel - 1
        windows = codes[layout.code_windows]  # (P, K, F)
        taps = (windows * self.kernel + self._taps).reshape(len(windows), -1)
        centres = np.ascontiguousarray(windows[:, -2])
        y = F.embedding_bag(torch.from_numpy(taps).to(device), self._first, mode="sum")
        x = F.embedding_bag(torch.from_numpy(centres).to(device), self._embedding, mode="sum")
        x = self._finish(0, layout, x, y)
        tails = []
        for i, (weight, bias) in enumerate(self._convs):
            old = past[:, i * tail : (i + 1) * tail].reshape(-1, D)
            inputs = torch.cat([old, x])
            tails.append(inputs.index_select(0, layout.kept).view(-1, tail, D))
            wide = inputs.index_select(0, layout.windows).view(-1, self.kernel * D)
            y = torch.addmm(bias, wide, weight)
            x = self._finish(i + 1, layout, wide[:, -2 * D : -D], y)
        return x, tails

    def _finish(self, layer: int, layout: _Layout, x: Tensor, y: Tensor) -> Tensor:
        """The layer's input and what its convolution adds; zero before the sentence."""
        weight, bias, eps = self._norms[layer]
        out = F.gelu(torch.layer_norm(y, (self.width,), weight, bias, eps)).add_(x)
        void = layout.voids[layer]
        return out if void is None else out.index_fill_(0, void, 0.0)

    def _recur(self, layout: _Layout, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The GRU over what is ready: memory (sum of ready, D), hidden (B, D) behind it.

        Jobs are taken by falling length, so that those that still run are the first rows.
        """
        D = self.width
        x = x.index_select(0, layout.steps)
        arriving = torch.addmm(self._gru_bias, x, self._gru_in).split(layout.step_counts)
        h = hidden.index_select(0, layout.order)
        trail = [h]
        for gates_in, count in zip(arriving, layout.step_counts, strict=True):
            h = h if len(h) == count else h[:count]
            gates = torch.addmm(self._gru_new_bias, h, self._gru_hidden)
            opened = gates[:, : 2 * D].add_(gates_in[:, : 2 * D]).sigmoid_()
            new = torch.addcmul(gates_in[:, 2 * D :], opened[:, :D], gates[:, 2 * D :]).tanh_()
            h = new.lerp_(h, opened[:, D:])
            trail.append(h)
        made = torch.cat(trail)
        memory = x.add_(made[len(hidden) :]).index_select(0, layout.back)
        return memory, made.index_select(0, layout.last)


class _Shape(NamedTuple):
    """What the layout of a job depends on: new symbols, whether it is cut, `EncoderState`."""

    new: int
    cut: bool
    pending: int
    seen: int


class _Layout:
    """Where the rows of a batch lie; positions of all jobs are numbered through, end to end.

    Each job has as many positions as new symbols, and those of the look-ahead's padding if it is
    cut. Index tensors are on `device`.

    Attributes:
        code_windows: (P, K), rows of the concatenated codes that a position's convolution reads.
        kept_codes: (B, K - 1), rows of the codes that the next state needs.
        windows: (P K,), as `code_windows`, among tails of all jobs followed by all positions.
        kept: (B (K - 1),), as `kept_codes`, there.
        voids: for each layer the positions whose output lies before their sentence, or None.
        ready: how many positions of each job come out; they are its last.
        order: (B,), the jobs by falling `ready`.
        steps: (R,), the positions that come out, all first ones of the jobs in that order, then
            all second ones.
        step_counts: how many of each.
        back: (R,), where in `steps` the ready positions are, job after job.
        last: (B,), where behind B initial rows each job's last row of `steps` is; its initial
            row where it has none.
    """

    def __init__(
        self, shapes: Sequence[_Shape], lookahead: int, kernel: int, device: torch.device
    ) -> None:
        B, tail = len(shapes), kernel - 1
        new, cut, pending, seen = np.array(shapes, np.int64).T
        counts = new + lookahead * cut
        stops = np.cumsum(counts)
        P = int(stops[-1])
        # Each job's codes lie behind its own tail: window p begins at p plus all tails before.
        first = np.arange(P) + tail * np.repeat(np.arange(B), counts)
        self.code_windows = first[:, None] + np.arange(kernel)
        code_starts = stops - counts + tail * np.arange(B)
        self.kept_codes = (code_starts + new)[:, None] + np.arange(tail)
        moved = np.empty(P + tail * B, np.int64)
        moved[(code_starts[:, None] + np.arange(tail)).ravel()] = np.arange(tail * B)
        moved[first + tail] = tail * B + np.arange(P)
        self.windows = torch.from_numpy(moved[self.code_windows].ravel()).to(device)
        self.kept = torch.from_numpy(moved[self.kept_codes].ravel()).to(device)
        self.voids: list[Tensor | None] = [None] * lookahead
        if seen.min() < lookahead:
            age = np.arange(P) + np.repeat(seen - (stops - counts), counts)
            voids = [np.flatnonzero(age <= layer) for layer in range(lookahead)]
            self.voids = [torch.from_numpy(v).to(device) if len(v) else None for v in voids]
        ready = np.where(cut > 0, pending + new, np.maximum(0, pending + new - lookahead))
        self.ready: list[int] = ready.tolist()
        self._schedule(ready, stops - ready, device)

    def _schedule(self, ready: _Ints, starts: _Ints, device: torch.device) -> None:
        B = len(ready)
        order = np.argsort(-ready, kind="stable")
        step = np.arange(ready.max())[:, None]
        runs = step < ready[order]  # (steps, B)
        counts = runs.sum(axis=1)
        rank = np.empty(B, np.int64)
        rank[order] = np.arange(B)
        begins = np.append(0, np.cumsum(counts))
        within = np.arange(ready.sum()) - np.repeat(np.cumsum(ready) - ready, ready)
        back = begins[within] + np.repeat(rank, ready)
        last = rank + np.where(ready > 0, B + begins[ready - 1], 0)
        self.order = torch.from_numpy(order).to(device)
        self.steps = torch.from_numpy((starts[order] + step)[runs]).to(device)
        self.step_counts: list[int] = counts.tolist()
        self.back = torch.from_numpy(back).to(device)
        self.last = torch.from_numpy(last).to(device)


@lru_cache(maxsize=128)
def _layout_of_one(shape: _Shape, lookahead: int, kernel: int, device: torch.device) -> _Layout:
    return _Layout([shape], lookahead, kernel, device)
