"""Recurrent networks whose matrices are convolutions over the neighbours of a voxel."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ssm_ops.channels import mix, per_channel
from ssm_ops.mixers.mixer import Frames, Mixer
from ssm_ops.mixers.recurrent import GATES, SIZES, Cell
from ssm_ops.mixers.weights import drawn_gates, kernel_sizes
from ssm_ops.spatial import convolved

Hidden = Float[Tensor, "hidden *grid"]
State = tuple[Hidden, ...]
"""What a cell keeps of a frame: h, of `lstm` h and c."""


class ConvRecurrent(Mixer):
    """A recurrent network on fields: states and gates are fields of `hidden` channels, W and U kernels in space.

    With s = sigmoid, * a convolution that respects the boundary of each axis, products elementwise, and W, U, b one of
    each gate,

    - `rnn`: h_t = tanh(W * x_t + U * h_{t-1} + b);
    - `lstm`: i, f = s(W * x_t + U * h_{t-1} + p c_{t-1} + b), o = s(W * x_t + U * h_{t-1} + p c_t + b),
      c_t = f c_{t-1} + i tanh(W * x_t + U * h_{t-1} + b), h_t = o tanh(c_t) (Shi et al., "Convolutional LSTM Network: A
      Machine Learning Approach for Precipitation Nowcasting" (2015), equation 3). The peepholes p are one number a
      channel and not one a voxel, so that weights know no place; they start at zero;
    - `gru`: r, z = s(W * x_t + U * h_{t-1} + b), h_t = (1 - z) h_{t-1} + z tanh(W * x_t + U * (r h_{t-1}) + b)
      (Ballas et al., "Delving Deeper into Convolutional Networks for Learning Video Representations" (2016)),

    and y_t = C h_t + c, where the papers stack further layers. Beyond the border lies what the boundary says, in the
    papers zeros. Biases start at zero, that of the forget gate at 1. The carry is h_t, of `lstm` h_t and c_t: (1 or 2,
    hidden, *grid).

    W is applied to all frames of a run at once, in the lower precision under `torch.autocast`; the recurrence is a loop
    over frames in that of the weights. A frame costs N gates hidden taps^axes (channels + hidden) products, in training
    and as a step. A training run holds of the order of T N (gates + 3) hidden numbers, a step N gates hidden.

    Args:
        channels: Channels of the input and of the output.
        hidden: Hidden channels.
        axes: Axes of the grid.
        cell: Which network.
        taps: The size of W and U along each axis, an odd number; 3 by default.
        initial: How W and U start, see `weights.drawn_gates`.
    """

    parallel: ClassVar[bool] = False

    def __init__(
        self, channels: int, hidden: int, axes: int, cell: Cell, *, taps: int | None = None, initial: str = "orthogonal"
    ):
        super().__init__()
        self.hidden, self.cell = hidden, cell
        of_input, of_state = drawn_gates(initial, GATES[cell], hidden, channels, kernel_sizes(taps, axes))
        self.W, self.U = nn.Parameter(of_input), nn.Parameter(of_state)
        self.bias = nn.Parameter(torch.zeros(len(of_input)))
        self.peepholes = None
        if cell == "lstm":
            self.peepholes = nn.Parameter(torch.zeros(3, hidden))
            self.bias.data[hidden : 2 * hidden] = 1
        self.output = nn.Parameter(torch.randn(channels, hidden) / (SIZES[cell] * math.sqrt(hidden)))
        self.output_bias = nn.Parameter(torch.zeros(channels))

    def through(
        self, x: Frames, boundary: tuple[str, ...], carry: Float[Tensor, "part hidden *grid"]
    ) -> tuple[Frames, Float[Tensor, "part hidden *grid"]]:
        ones = [1] * len(boundary)
        entering = convolved(x.to(self.kind), self.W, boundary).to(self.kind) + self.bias.reshape(-1, *ones)
        following = {"rnn": self._rnn, "lstm": self._lstm, "gru": self._gru}[self.cell]
        state, outputs = carry.unbind(), []
        with torch.autocast(x.device.type, enabled=False):
            for own in entering.unbind():  # indexing would make the backward pass quadratic
                state = following(own, state, boundary)
                outputs.append(state[0])
        y = mix(self.output, torch.stack(outputs)) + per_channel(self.output_bias, x)
        return y, torch.stack(state)

    def _rnn(self, entering: Float[Tensor, "gated *grid"], state: State, boundary: tuple[str, ...]) -> State:
        return (torch.tanh(entering + _applied(self.U, state[0], boundary)),)

    def _lstm(self, entering: Float[Tensor, "gated *grid"], state: State, boundary: tuple[str, ...]) -> State:
        h, c = state
        i, f, new, o = (entering + _applied(self.U, h, boundary)).chunk(4)
        to_i, to_f, to_o = self.peepholes.reshape(3, -1, *[1] * len(boundary))
        c = torch.sigmoid(f + to_f * c) * c + torch.sigmoid(i + to_i * c) * torch.tanh(new)
        return torch.sigmoid(o + to_o * c) * torch.tanh(c), c

    def _gru(self, entering: Float[Tensor, "gated *grid"], state: State, boundary: tuple[str, ...]) -> State:
        (h,), both = state, 2 * self.hidden
        r, z = torch.sigmoid(entering[:both] + _applied(self.U[:both], h, boundary)).chunk(2)
        new = torch.tanh(entering[both:] + _applied(self.U[both:], r * h, boundary))
        return (h + z * (new - h),)

    def carry_form(self, shape: tuple[int, ...], boundary: tuple[str, ...]) -> tuple[tuple[int, ...], torch.dtype]:
        return (2 if self.cell == "lstm" else 1, self.hidden, *shape), self.kind


def _applied(
    weight: Float[Tensor, "out hidden *taps"], h: Hidden, boundary: tuple[str, ...]
) -> Float[Tensor, "out *grid"]:
    return convolved(h[None], weight, boundary)[0]
