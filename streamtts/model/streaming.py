"""The encoder as it speaks: words of many streams in one pass, each behind its own past.

The same function as `Encoder.forward`, made for inference: every convolution keeps its last
inputs, so that a symbol is computed once; rows of different lengths lie end to end, not padded;
the first convolution, whose inputs are sums of embeddings, is a sum of table rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

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
        self._offsets = 1 + np.cumsum([0, *(e.num_embeddings for e in encoder.embeddings)])[:-1]
        self._pads = {
            future: self._pad_codes(phone)
            for future, phone in (
                (Future.UNKNOWN, encoder.unknown_id),
                (Future.END, encoder.boundary_id),
            )
        }
        weights = [c.weight.detach() for c in encoder.convs]  # (D, D, K) each
        table = torch.cat([e.weight.detach() for e in encoder.embeddings])
        self._embedding = F.pad(table, (0, 0, 1, 0))  # row _VOID is zero
        taps = torch.einsum("vi,oik->vko", self._embedding, weights[0])
        taps[self._offsets[0] : self._offsets[0] + encoder.embeddings[0].num_embeddings, -2] += (
            encoder.convs[0].bias.detach()
        )
        self._first = taps.flatten(0, 1).contiguous()  # (V K, D), the bias in the centre's phone
        self._convs = [
            (w.permute(2, 1, 0).flatten(0, 1).contiguous(), c.bias.detach().clone())
            for w, c in zip(weights[1:], encoder.convs[1:], strict=True)
        ]
        self._norms = [(n.weight.clone(), n.bias.clone(), n.eps) for n in encoder.norms]
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
        layout = _Layout(jobs, self.lookahead, self.kernel)
        parts: list[_Ints] = []
        for job in jobs:
            parts += (job.state.codes, job.features + self._offsets)
            if job.future is not Future.MORE:
                parts.append(self._pads[job.future])
        codes = np.concatenate(parts)
        past = torch.stack([job.state.past for job in jobs])
        x, tails = self._convolve(layout, codes, past)
        memory, hidden = self._recur(layout, x, past[:, -1])
        after = torch.cat([*tails, hidden[:, None]], dim=1)
        memories = torch.split_with_sizes_copy(memory, layout.ready.tolist())
        kept = codes[layout.kept_codes]
        return [
            (mine, self._after(job, kept[i], past_after))
            for i, (job, mine, past_after) in enumerate(
                zip(jobs, memories, torch.unbind_copy(after), strict=True)
            )
        ]

    def _after(self, job: EncodeJob, codes: _Ints, past: Tensor) -> EncoderState:
        if job.future is Future.END:
            return self.zeros()
        pending = job.state.pending + len(job.features)
        seen = min(self.lookahead, job.state.seen + len(job.features))
        left = 0 if job.future is Future.UNKNOWN else min(pending, self.lookahead)
        return EncoderState(codes, seen, left, past)

    def _convolve(self, layout: _Layout, codes: _Ints, past: Tensor) -> tuple[Tensor, list[Tensor]]:
        """All convolutions: (P, D) of all positions, and the new tails (B, K - 1, D)."""
        device, tail = past.device, self.kernel - 1
        windows = codes[layout.code_windows]  # (P, K, F)
        taps = (windows * self.kernel + np.arange(self.kernel)[:, None]).reshape(len(windows), -1)
        y = F.embedding_bag(torch.from_numpy(taps).to(device), self._first, mode="sum")
        centre = torch.from_numpy(windows[:, -2].copy()).to(device)
        x = F.embedding_bag(centre, self._embedding, mode="sum")
        x = self._finish(0, layout, x, y)
        at = torch.from_numpy(layout.windows).to(device)
        kept = torch.from_numpy(layout.kept).to(device)
        tails = []
        for i, (weight, bias) in enumerate(self._convs):
            old = past[:, i * tail : (i + 1) * tail].reshape(-1, self.width)
            inputs = torch.cat([old, x])
            tails.append(inputs.index_select(0, kept).view(-1, tail, self.width))
            wide = inputs.index_select(0, at).view(len(x), -1)
            y = torch.addmm(bias, wide, weight)
            x = self._finish(i + 1, layout, wide[:, -2 * self.width : -self.width], y)
        return x, tails

    def _finish(self, layer: int, layout: _Layout, x: Tensor, y: Tensor) -> Tensor:
        """The layer's input and what its convolution adds; zero before the sentence."""
        weight, bias, eps = self._norms[layer]
        out = F.gelu(F.layer_norm(y, (self.width,), weight, bias, eps)).add_(x)
        void = layout.void(layer)
        if len(void):
            out.index_fill_(0, torch.from_numpy(void).to(out.device), 0.0)
        return out

    def _recur(self, layout: _Layout, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The GRU over what is ready: memory (sum of ready, D), hidden (B, D) behind it.

        Jobs are taken by falling length, so that those that still run are the first rows.
        """
        device, D = x.device, self.width
        order, steps, counts = layout.schedule()
        hidden = hidden.index_select(0, torch.from_numpy(order).to(device))
        x = x.index_select(0, torch.from_numpy(steps).to(device))
        gates_in = torch.addmm(self._gru_bias, x, self._gru_in)
        trail = torch.cat([hidden, torch.empty_like(x)])
        begin, before = len(order), 0
        for count in counts:
            h = trail[before : before + count]
            at = gates_in[begin - len(order) : begin - len(order) + count]
            gates = torch.addmm(self._gru_new_bias, h, self._gru_hidden)
            open_ = gates[:, : 2 * D].add_(at[:, : 2 * D]).sigmoid_()
            new = torch.addcmul(at[:, 2 * D :], open_[:, :D], gates[:, 2 * D :]).tanh_()
            torch.lerp(new, h, open_[:, D:], out=trail[begin : begin + count])
            before, begin = begin, begin + count
        back, last = layout.unschedule(order, counts)
        memory = (trail[len(order) :] + x).index_select(0, torch.from_numpy(back).to(device))
        return memory, trail.index_select(0, torch.from_numpy(last).to(device))


class _Layout:
    """Where the rows of a batch lie; positions of all jobs are numbered through, end to end.

    Each job has `counts` positions: its new symbols, and the look-ahead's padding if it has one.
    """

    def __init__(self, jobs: Sequence[EncodeJob], lookahead: int, kernel: int) -> None:
        B, tail = len(jobs), kernel - 1
        new = np.array([len(job.features) for job in jobs])
        ends = np.array([job.future is not Future.MORE for job in jobs])
        pending = np.array([job.state.pending for job in jobs]) + new
        self.ready = np.where(ends, pending, np.maximum(0, pending - lookahead))
        self.counts = new + lookahead * ends
        self.stops = np.cumsum(self.counts)
        starts = self.stops - self.counts
        P = int(self.stops[-1])
        # In `codes` each job's positions lie behind its own tail; so window p begins at p, and
        # `tail` further for each job before.
        job_of = np.repeat(np.arange(B), self.counts)
        first = np.arange(P) + tail * job_of
        self.code_windows = first[:, None] + np.arange(kernel)
        code_starts = starts + tail * np.arange(B)
        self.kept_codes = (code_starts + new)[:, None] + np.arange(tail)
        # In a layer's inputs all tails come first, then all positions: where row q of `codes` is.
        where = np.empty(P + tail * B, np.int64)
        where[(code_starts[:, None] + np.arange(tail)).ravel()] = np.arange(tail * B)
        where[first + tail] = tail * B + np.arange(P)
        self.windows = where[self.code_windows].ravel()
        self.kept = where[self.kept_codes].ravel()
        seen = np.array([job.state.seen for job in jobs])
        self._ages = np.arange(P) - np.repeat(starts, self.counts) + np.repeat(seen, self.counts)
        self._young = bool((seen < lookahead).any())

    def void(self, layer: int) -> _Ints:
        """Positions whose output of a layer lies before their sentence."""
        if not self._young:
            return np.zeros(0, np.int64)
        return np.flatnonzero(self._ages < layer + 1)

    def schedule(self) -> tuple[_Ints, _Ints, list[int]]:
        """Jobs by falling number of ready rows; rows step by step in that order; rows a step."""
        order = np.argsort(-self.ready, kind="stable")
        longest = int(self.ready[order[0]])
        step = np.arange(longest)[:, None]
        runs = step < self.ready[order]  # (steps, B)
        rows = (self.stops - self.ready)[order] + step
        return order, rows[runs], runs.sum(axis=1).tolist()

    def unschedule(self, order: _Ints, counts: Sequence[int]) -> tuple[_Ints, _Ints]:
        """Where each ready row of each job was made, and where each job's hidden vector is.

        The second counts the B vectors that the jobs began with as well, which come first.
        """
        B = len(order)
        rank = np.empty(B, np.int64)
        rank[order] = np.arange(B)
        begins = np.array([0, *itertools.accumulate(counts)], np.int64)
        job_of = np.repeat(np.arange(B), self.ready)
        step = np.arange(len(job_of)) - np.repeat(np.cumsum(self.ready) - self.ready, self.ready)
        last = np.where(self.ready > 0, B + begins[np.maximum(self.ready - 1, 0)], 0) + rank
        return begins[step] + rank[job_of], last
