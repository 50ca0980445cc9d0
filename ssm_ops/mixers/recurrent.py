"""Recurrent networks voxel by voxel: torch's own cells, whose weights all voxels share."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ssm_ops.channels import mix, per_channel
from ssm_ops.mixers.mixer import Frames, Mixer
from ssm_ops.mixers.weights import drawn_gates

Cell = Literal["rnn", "lstm", "gru"]
CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
"""torch's modules, by name."""
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
"""How many vectors of hidden channels a cell makes of its input and of the state before."""
SIZES = {"rnn": 0.6, "lstm": 0.2, "gru": 0.4}
"""About the root mean square of h where the input is noise of size 1 and weights are new, measured."""
AT_A_TIME = 2**26
"""Bytes of gates that are made at a time where no gradient keeps them."""


class RecurrentPerVoxel(Mixer):
    """A recurrent network on the channels of each voxel, every voxel for itself, and a matrix to the output channels.

    With s = sigmoid, products of gates elementwise, and W, U, b one of each gate,

    - `rnn`: h_t = tanh(W x_t + U h_{t-1} + b) (Elman, "Finding Structure in Time" (1990));
    - `lstm`: i, f, o = s(W x_t + U h_{t-1} + b), c_t = f c_{t-1} + i tanh(W x_t + U h_{t-1} + b), h_t = o
      tanh(c_t) (Hochreiter and Schmidhuber, "Long Short-Term Memory" (1997), with the forget gate of Gers, Schmidhuber,
      Cummins, "Learning to Forget" (2000), and no peepholes);
    - `gru`: r, z = s(W x_t + U h_{t-1} + b), h_t = z h_{t-1} + (1 - z) tanh(W x_t + b + r (U h_{t-1} + b'))
      (Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder" (2014), but for r, which torch applies
      behind U and the paper before it),

    and y_t = C h_t + c. Biases start at zero, that of the forget gate at 1 (Jozefowicz, Zaremba, Sutskever, "An
    Empirical Exploration of Recurrent Network Architectures" (2015)). The carry is h_t, of `lstm` h_t and c_t: (1 or 2,
    hidden, *grid). The recurrence stays in the precision of the weights under `torch.autocast`.

    A frame costs N gates hidden (channels + hidden) products, in training and as a step. A training run holds of the
    order of T N gates hidden numbers; without gradients voxels go through in groups whose gates take 64 MB.

    Args:
        channels: Channels of the input and of the output.
        hidden: Hidden channels.
        cell: Which network.
        initial: How W and U start, see `weights.drawn_gates`.
    """

    parallel: ClassVar[bool] = False

    def __init__(self, channels: int, hidden: int, cell: Cell, *, initial: str = "orthogonal"):
        super().__init__()
        self.cell = CELLS[cell](channels, hidden)
        self.parts, self.gates = 2 if cell == "lstm" else 1, GATES[cell]
        self.output = nn.Parameter(torch.randn(channels, hidden) / (SIZES[cell] * math.sqrt(hidden)))
        self.output_bias = nn.Parameter(torch.zeros(channels))
        of_input, of_state = drawn_gates(initial, self.gates, hidden, channels)
        with torch.no_grad():
            self.cell.weight_ih_l0.copy_(of_input)
            self.cell.weight_hh_l0.copy_(of_state)
            self.cell.bias_ih_l0.zero_()
            self.cell.bias_hh_l0.zero_()
            if cell == "lstm":
                self.cell.bias_ih_l0[hidden : 2 * hidden] = 1  # torch's order: input, forget, cell, output

    def through(
        self, x: Frames, boundary: tuple[str, ...], carry: Float[Tensor, "part hidden *grid"]
    ) -> tuple[Frames, Float[Tensor, "part hidden *grid"]]:
        voxels, before = x.to(self.kind).flatten(2).mT, carry.flatten(2).mT
        group = voxels.shape[1]
        if not torch.is_grad_enabled():
            group = max(1, AT_A_TIME // (len(x) * self.gates * self.cell.hidden_size * voxels.itemsize))
        parts = zip(voxels.split(group, 1), before.split(group, 1), strict=True)
        with torch.autocast(x.device.type, enabled=False):
            states, left = zip(*(self._group(*part) for part in parts), strict=True)
        states, left = (torch.cat(own, 1).mT.unflatten(2, x.shape[2:]) for own in (states, left))
        return mix(self.output, states) + per_channel(self.output_bias, x), left

    def _group(
        self, x: Float[Tensor, "time voxel channel"], before: Float[Tensor, "part voxel hidden"]
    ) -> tuple[Float[Tensor, "time voxel hidden"], Float[Tensor, "part voxel hidden"]]:
        before = before.contiguous()[:, None].unbind()  # each (1, voxel, hidden)
        states, left = self.cell(x, before if self.parts == 2 else before[0])
        return states, torch.cat(left if self.parts == 2 else [left])

    def carry_form(self, shape: tuple[int, ...], boundary: tuple[str, ...]) -> tuple[tuple[int, ...], torch.dtype]:
        return (self.parts, self.cell.hidden_size, *shape), self.kind
