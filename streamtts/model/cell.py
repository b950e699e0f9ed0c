"""The decoder as it speaks: one step of many rows, with as few and as large operations as it gets.

The same function as `Decoder.forward`, made for inference. What the memory adds to every layer
that reads it changes only when a row moves to another symbol, so it is computed then and kept;
what the dwell adds is a table. Weights that read the same vector are one matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
        window: (B, W), the newest K - 1 + R inputs of each of the postnet's convolutions, one
            after the other, each with time before channels.
        dwell: (B,) int64, steps made on this symbol so far.
        survival: (B,), the chance of still being here.
    """

    context: Tensor
    hidden: Tensor
    cell: Tensor
    window: Tensor
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
            window=new(rows, self._postnet.size),
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
        hazard, leave = self._move(logits, state)
        return StepOutput(self._postnet.advance(made, state.window), hazard, leave)

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

    def _move(self, logits: Tensor, state: DecoderState) -> tuple[Tensor, Tensor]:
        """Stays or moves on, as `StepwiseMonotonicAttention.advance`: hazard, leave (B,)."""
        hazard = torch.sigmoid(logits)
        state.survival.mul_(1 - hazard)
        state.dwell.add_(1)
        leave = (state.survival < 0.5).logical_or_(state.dwell >= self.max_dwell)
        state.dwell.masked_fill_(leave, 0)
        state.survival.masked_fill_(leave, 1.0)
        return hazard, leave

    def flush(self, state: DecoderState) -> Tensor:
        """The frames that the postnet holds back: (B, lookahead, M + 2)."""
        return self._postnet.flush(state.window)


class PostnetCell:
    """A copy of a postnet's weights; R frames a call, every convolution one matrix product.

    Args:
        postnet: to copy from.
        frames: R.
        scale: see `DecoderCell`.
        offset: see `DecoderCell`.
    """

    def __init__(self, postnet: Postnet, frames: int, scale: Tensor, offset: Tensor) -> None:
        self.frames = frames
        self.lookahead = postnet.lookahead
        self._scale = scale.detach().repeat(frames)
        weights, biases = [], []
        for layer in postnet.convs:
            conv = layer.conv
            assert isinstance(conv, nn.Conv1d)
            assert conv.bias is not None
            weights.append(_unrolled(conv.weight.detach(), frames))
            biases.append(conv.bias.detach().repeat(frames))
        # The last one gives natural units.
        weights[-1] = weights[-1] * self._scale
        biases[-1] = biases[-1] * self._scale + offset.detach().repeat(frames)
        self._weights, self._biases = weights, biases
        sizes = [w.shape[0] for w in weights]
        self.size = sum(sizes)
        self._slots = [slice(sum(sizes[:i]), sum(sizes[: i + 1])) for i in range(len(sizes))]
        channels = scale.shape[0]
        last = sizes[0] - self.lookahead * channels
        self._delayed = slice(last - frames * channels, last)
        self._channels = channels

    def advance(self, made: Tensor, window: Tensor) -> Tensor:
        """Frames (B, R C) of the decoder's scale to (B, R, C) of natural units, delayed.

        Args:
            made: B rows.
            window: (B, size), changed in place.
        """
        x = made
        for i, (weight, bias, slot) in enumerate(
            zip(self._weights, self._biases, self._slots, strict=True)
        ):
            part = window[:, slot]
            _shift(part, x.shape[1])
            part[:, -x.shape[1] :] = x
            x = torch.addmm(bias, part, weight)
            if i + 1 < len(self._weights):
                x.tanh_()
        x.addcmul_(window[:, self._delayed], self._scale)
        out = x.view(-1, self.frames, self._channels)
        out[..., -1].sigmoid_()
        return out

    def flush(self, window: Tensor) -> Tensor:
        """The frames that are held back: (B, lookahead, C); `window` stays as it is."""
        window = window.clone()
        silence = window.new_zeros(window.shape[0], self.frames * self._channels)
        calls = -(-self.lookahead // self.frames)
        out = [self.advance(silence, window) for _ in range(calls)]
        return torch.cat([silence.view(-1, self.frames, self._channels)[:, :0], *out], dim=1)[
            :, : self.lookahead
        ]


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


def _unrolled(weight: Tensor, frames: int) -> Tensor:
    """A convolution (O, C, K) as the matrix of R outputs: ((K - 1 + R) C, R O)."""
    out, channels, kernel = weight.shape
    matrix = weight.new_zeros(kernel - 1 + frames, channels, frames, out)
    for t in range(frames):
        matrix[t : t + kernel, :, t] = weight.permute(2, 1, 0)
    return matrix.flatten(2).flatten(0, 1).contiguous()


def _shift(window: Tensor, columns: int) -> None:
    """Moves (B, W) left by some columns; piece by piece, for the pieces may not overlap."""
    for start in range(0, window.shape[1] - columns, columns):
        stop = min(start + columns, window.shape[1] - columns)
        window[:, start:stop] = window[:, start + columns : stop + columns]
