"""The decoder as it speaks: one step of many rows, with as few and as large operations as it gets.

The same function as `Decoder.forward`, made for inference. What the memory adds to every layer
that reads it changes only when a row moves to another symbol, so it is computed then and kept;
what the dwell adds is a table. Weights that read the same vector are one matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamtts.model.attention import move
from streamtts.model.decoder import Decoder, Postnet
from streamtts.nn.rnn import LSTM


@dataclass(frozen=True, slots=True)
class DecoderState:
    """Everything that B rows carry from step to step; a step writes into these tensors.

    Attributes:
        context: (B, 8 H + G + R C), what the memory stood on adds to the gates of both LSTMs, to
            the hazard head (G units) and to the frames.
        hidden: (B, 2 H), of both LSTMs.
        cell: (B, 2 H).
        tails: of each of the postnet's convolutions the newest K - 1 inputs, (B, (K - 1) C).
        dwell: (B,) int64, steps made on this symbol so far.
        survival: (B,), the chance of still being here.
    """

    context: Tensor
    hidden: Tensor
    cell: Tensor
    tails: tuple[Tensor, ...]
    dwell: Tensor
    survival: Tensor


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What one step of B rows gives.

    Attributes:
        frames: (B, R, M + 2): natural-log mel, ln F0 in Hz, voicing probability; delayed by the
            postnet's look-ahead.
        hazard: (B,), the chance of moving on that this step saw.
        leave: (B,) bool, the row's next step is on the next symbol.
    """

    frames: Tensor
    hazard: Tensor
    leave: Tensor


class DecoderCell:
    """A copy of a decoder's weights, laid out for inference; it does not follow the original.

    Args:
        decoder: to copy from.
        scale: (C,), natural units for one of the decoder's; the last channel is a log-odds.
        offset: (C,), natural units at the decoder's zero.
    """

    def __init__(self, decoder: Decoder, scale: Tensor, offset: Tensor) -> None:
        attention = decoder.attention
        head, out = attention.hazard[0], attention.hazard[2]
        assert isinstance(head, nn.Linear)
        assert isinstance(out, nn.Linear)
        H = decoder.first.width
        D = attention.no_following.shape[0]
        W = attention.dwell.embedding_dim
        self.max_dwell = attention.max_dwell
        self.width = H
        self._no_following = attention.no_following.detach().clone()
        # Columns of what reads x = [memory, dwell] first and the LSTMs' vectors behind it.
        first, first_hidden, first_bias = _lstm_columns(decoder.first)
        second, second_hidden, second_bias = _lstm_columns(decoder.second)
        hazard, frames = head.weight.detach().T, decoder.output.weight.detach().T
        memory = [first[: 2 * D], second[: 2 * D], hazard[H : H + 2 * D], frames[H:]]
        self._context = torch.cat(memory, dim=1).contiguous()
        biases = [first_bias, second_bias, head.bias.detach(), decoder.output.bias.detach()]
        self._context_bias = torch.cat(biases)
        dwell = torch.cat([first[2 * D :], second[2 * D : 2 * D + W], hazard[H + 2 * D :]], dim=1)
        counts = torch.arange(self.max_dwell, device=dwell.device)
        self._dwell = (attention.embed_dwell(counts).detach() @ dwell).contiguous()
        self._first = first_hidden.contiguous()
        # The second LSTM and the hazard head read the first's vector; [hidden] holds both.
        none = hazard.new_zeros(H, hazard.shape[1])
        self._second = torch.cat(
            [
                torch.cat([second[2 * D + W :], hazard[:H]], dim=1),
                torch.cat([second_hidden, none], dim=1),
            ]
        )
        self._hazard = out.weight.detach()[0].clone()
        self._hazard_bias = out.bias.detach().clone()
        self._frames = frames[:H].contiguous()
        self._postnet = PostnetCell(decoder.postnet, decoder.reduction_factor, scale, offset)

    def zeros(self, rows: int) -> DecoderState:
        """The state of rows that start to speak."""
        new = self._context.new_zeros
        return DecoderState(
            context=new(rows, self._context.shape[1]),
            hidden=new(rows, 2 * self.width),
            cell=new(rows, 2 * self.width),
            tails=self._postnet.zeros(rows),
            dwell=new(rows, dtype=torch.int64),
            survival=new(rows) + 1,
        )

    def restart(self, state: DecoderState, rows: Tensor) -> None:
        """Rows (K,) int64 begin a new sentence: recurrence forgotten, the postnet's past kept."""
        for part in (state.hidden, state.cell, state.dwell):
            part.index_fill_(0, rows, 0)
        state.survival.index_fill_(0, rows, 1.0)

    def advance(
        self,
        moved: Tensor | None,
        here: Tensor,
        following: Tensor,
        has_following: Tensor,
        state: DecoderState,
    ) -> StepOutput:
        """One step of B rows; see `AcousticSpeaker.advance`."""
        self._read(moved, here, following, has_following, state)
        H = self.width
        gates, frames = self._dwell.index_select(0, state.dwell), self._context.shape[1]
        columns = gates.shape[1]
        gates.add_(state.context[:, :columns])
        first, second = state.hidden[:, :H], state.hidden[:, H:]
        _lstm(gates[:, : 4 * H].addmm_(first, self._first), first, state.cell[:, :H])
        rest = gates[:, 4 * H :].addmm_(state.hidden, self._second)
        _lstm(rest[:, : 4 * H], second, state.cell[:, H:])
        logits = torch.addmv(self._hazard_bias, rest[:, 4 * H :].tanh_(), self._hazard)
        made = torch.addmm(state.context[:, columns:frames], first + second, self._frames)
        hazard, leave = move(logits, state.dwell, state.survival, self.max_dwell)
        return StepOutput(self._postnet.advance(made, state.tails), hazard, leave)

    def _read(
        self,
        moved: Tensor | None,
        here: Tensor,
        following: Tensor,
        has_following: Tensor,
        state: DecoderState,
    ) -> None:
        """Renews the context of the rows that moved."""
        if moved is not None and len(moved) == 0:
            return
        following = torch.where(has_following[:, None], following, self._no_following)
        memory = torch.cat([here, following], dim=1)
        if moved is None:
            torch.addmm(self._context_bias, memory, self._context, out=state.context)
        else:
            context = torch.addmm(self._context_bias, memory, self._context)
            state.context.index_copy_(0, moved, context)

    def flush(self, state: DecoderState) -> Tensor:
        """The frames that the postnet holds back: (B, lookahead, M + 2)."""
        return self._postnet.flush(state.tails)


class PostnetCell:
    """A copy of a postnet's weights; R frames a call, channels last.

    Args:
        postnet: to copy from.
        frames: R.
        scale: see `DecoderCell`.
        offset: see `DecoderCell`.
    """

    def __init__(self, postnet: Postnet, frames: int, scale: Tensor, offset: Tensor) -> None:
        self.frames = frames
        self.lookahead = postnet.lookahead
        self._scale = scale.detach().clone()
        convs = [c for c in postnet.modules() if isinstance(c, nn.Conv1d)]
        weights = [c.weight.detach().permute(2, 1, 0) for c in convs]  # (K, C, O) each
        biases = [torch.zeros_like(scale) if c.bias is None else c.bias.detach() for c in convs]
        # The last one gives natural units.
        weights[-1] = weights[-1] * scale
        biases[-1] = biases[-1] * scale + offset
        self._layers = [
            (w.flatten(0, 1).contiguous().expand(frames, -1, -1), b.clone())
            for w, b in zip(weights, biases, strict=True)
        ]
        self._past = weights[0].shape[0] - 1
        self._channels = [w.shape[1] for w in weights]

    def zeros(self, rows: int) -> tuple[Tensor, ...]:
        """Silence behind every convolution: (B, (K - 1) C) each."""
        return tuple(self._scale.new_zeros(rows, self._past * c) for c in self._channels)

    def advance(self, made: Tensor, tails: tuple[Tensor, ...]) -> Tensor:
        """Frames (B, R C) of the decoder's scale to (B, R, C) of natural units, delayed.

        Args:
            made: B rows.
            tails: the newest K - 1 inputs of every convolution; changed in place.
        """
        B, R = made.shape[0], self.frames
        x, delayed = made, made
        for i, (channels, (weight, bias)) in enumerate(
            zip(self._channels, self._layers, strict=True)
        ):
            window = torch.cat([tails[i], x], dim=1)
            tails[i].copy_(window[:, R * channels :])
            if i == 0:
                begin = self._past - self.lookahead
                delayed = window.view(B, -1, channels)[:, begin : begin + R]
            # Frame r reads what begins r frames into the window: R products of overlapping views.
            span = window.as_strided((R, B, weight.shape[1]), (channels, window.shape[1], 1))
            y = window.new_empty(B, R, weight.shape[2])
            torch.baddbmm(bias, span, weight, out=y.transpose(0, 1))
            x = y.view(B, -1)
            if i + 1 < len(self._layers):
                x.tanh_()
        out = x.view(B, R, -1).addcmul_(delayed, self._scale)
        out[..., -1].sigmoid_()
        return out

    def flush(self, tails: tuple[Tensor, ...]) -> Tensor:
        """The frames that are held back: (B, lookahead, C); `tails` stay as they are."""
        tails = tuple(tail.clone() for tail in tails)
        silence = tails[0].new_zeros(tails[0].shape[0], self.frames * self._channels[0])
        calls = max(1, -(-self.lookahead // self.frames))
        out = [self.advance(silence, tails) for _ in range(calls)]
        return torch.cat(out, dim=1)[:, : self.lookahead]


def _lstm_columns(lstm: LSTM) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (inputs, 4 H), (H, 4 H) and bias (4 H,) of gates in the order i, f, o, g."""
    parts = []
    w_in, w_hidden, b_in, b_hidden = (w.detach() for w in lstm.lstm.all_weights[0])
    for part in (w_in, w_hidden, b_in + b_hidden):
        i, f, g, o = part.chunk(4)
        parts.append(torch.cat([i, f, o, g]))
    return parts[0].T, parts[1].T, parts[2]


def _lstm(gates: Tensor, hidden: Tensor, cell: Tensor) -> None:
    """The pointwise part of an LSTM: gates (B, 4 H) in the order i, f, o, g; both in place."""
    H = cell.shape[1]
    i, f, o = gates[:, : 3 * H].sigmoid_().chunk(3, dim=1)
    cell.mul_(f).addcmul_(i, gates[:, 3 * H :].tanh_())
    torch.mul(o, torch.tanh(cell), out=hidden)
