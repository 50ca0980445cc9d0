"""The rival: a ConvLSTM (Shi et al., "Convolutional LSTM Network: A Machine Learning Approach for Precipitation
Nowcasting" (2015)), written from the paper, with forecasts fed back.

As in its experiment with moving digits the input is cut into patches of 4 x 4, whose voxels become channels; layers are
stacked; and a convolution of 1 x 1 over the hidden states of all layers makes the patches of the forecast.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

State = tuple[Float[Tensor, "window hidden height width"], Float[Tensor, "window hidden height width"]]
"""Hidden state and cell."""


class Cell(nn.Module):
    """One layer, one step of time; equation 3 of the paper. The weights of the peepholes are one a channel."""

    def __init__(self, inputs: int, hidden: int, taps: int = 3):
        super().__init__()
        self.hidden = hidden
        self.from_input = nn.Conv2d(inputs, 4 * hidden, taps, padding=taps // 2)
        self.from_hidden = nn.Conv2d(hidden, 4 * hidden, taps, padding=taps // 2, bias=False)
        self.peepholes = nn.Parameter(torch.zeros(3, hidden, 1, 1))
        with torch.no_grad():  # what is in a cell is kept at first (Jozefowicz et al., 2015)
            self.from_input.bias[hidden : 2 * hidden] = 1

    def forward(self, entering: Float[Tensor, "window gates height width"], state: State | None) -> State:
        """The state after a step, given what `from_input` made of the input."""
        if state is None:
            zeros = entering.new_zeros(len(entering), self.hidden, *entering.shape[2:])
            state = zeros, zeros
        hidden, cell = state
        input_gate, forget, new, output = (entering + self.from_hidden(hidden)).chunk(4, 1)
        to_input, to_forget, to_output = self.peepholes
        cell = torch.sigmoid(forget + to_forget * cell) * cell + torch.sigmoid(
            input_gate + to_input * cell
        ) * torch.tanh(new)
        return torch.sigmoid(output + to_output * cell) * torch.tanh(cell), cell


class ConvLSTM(nn.Module):
    """A stack of cells between patches.

    Args:
        hidden: Channels of the states of each layer.
        patch: Voxels along each axis of a patch.
    """

    def __init__(self, hidden: tuple[int, ...], patch: int = 4):
        super().__init__()
        self.patch = patch
        self.cells = nn.ModuleList(Cell(i, h) for i, h in zip((patch**2, *hidden), hidden, strict=False))
        self.output = nn.Conv2d(sum(hidden), patch**2, 1)

    def forward(
        self, frames: Float[Tensor, "window time 1 height width"], states: list[State | None] | None = None
    ) -> tuple[Float[Tensor, "window time 1 height width"], list[State]]:
        """The forecast from each frame, and the states that continue it."""
        states, sizes = [None] * len(self.cells) if states is None else list(states), frames.shape[:2]
        stream, outputs = pixel_unshuffle(frames.flatten(0, 1), self.patch), []
        for number, cell in enumerate(self.cells):
            hidden = []
            for entering in cell.from_input(stream).unflatten(0, sizes).unbind(1):  # all times at once: it is faster
                states[number] = cell(entering, states[number])
                hidden.append(states[number][0])
            stream = torch.stack(hidden, 1).flatten(0, 1)
            outputs.append(stream)
        made = pixel_shuffle(self.output(torch.cat(outputs, 1)), self.patch)
        return made.unflatten(0, sizes), states

    def forecasts(
        self, frames: Float[Tensor, "window time 1 height width"], horizon: int
    ) -> Float[Tensor, "window made 1 height width"]:
        """Forecasts of all frames but the first, of the last `horizon` by feeding forecasts back."""
        made, states = self(frames[:, :-horizon])
        found = [made]
        for _ in range(horizon - 1):
            made, states = self(made[:, -1:], states)
            found.append(made)
        return torch.cat(found, 1)
