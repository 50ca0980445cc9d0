"""Recurrent networks voxel by voxel: torch's own cells, whose weights all voxels share."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ssm_ops.mixers.mixer import Frames, Mixer

Cell = Literal["rnn", "lstm", "gru"]
CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
"""torch's modules, by name."""


class RecurrentPerVoxel(Mixer):
    """A recurrent network on the channels of each voxel, every voxel for itself, and a matrix to the output channels.

    `rnn`: h_t = tanh(W x_t + U h_{t-1} + b) (Elman, "Finding Structure in Time" (1990)); `lstm`: Hochreiter and
    Schmidhuber, "Long Short-Term Memory" (1997), with the forget gate of Gers, Schmidhuber, Cummins (2000); `gru`: Cho
    et al., "Learning Phrase Representations using RNN Encoder-Decoder" (2014). The carry is h_t, of `lstm` h_t and c_t:
    (1 or 2, hidden, *grid).

    Args:
        channels: Of the input and of the output.
        hidden: Hidden channels.
        cell: Which network.
    """

    parallel: ClassVar[bool] = False

    def __init__(self, channels: int, hidden: int, cell: Cell):
        super().__init__()
        self.cell = CELLS[cell](channels, hidden)
        self.output = nn.Linear(hidden, channels)
        self.parts = 2 if cell == "lstm" else 1

    def through(
        self, x: Frames, boundary: tuple[str, ...], carry: Float[Tensor, "part hidden *grid"]
    ) -> tuple[Frames, Float[Tensor, "part hidden *grid"]]:
        before = carry.flatten(2).mT.contiguous()[:, None].unbind()  # each (1, voxel, hidden)
        states, left = self.cell(x.flatten(2).mT, before if self.parts == 2 else before[0])
        left = torch.cat(left if self.parts == 2 else [left])
        y = self.output(states).mT.unflatten(2, x.shape[2:])
        return y, left.mT.unflatten(2, x.shape[2:])

    def carry_form(self, shape: tuple[int, ...], boundary: tuple[str, ...]) -> tuple[tuple[int, ...], torch.dtype]:
        return (self.parts, self.cell.hidden_size, *shape), self.kind
