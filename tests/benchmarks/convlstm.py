"""ConvLSTM, written from Shi et al., "Convolutional LSTM Network: A Machine Learning Approach for Precipitation
Nowcasting" (2015): what a user would train today on frames that follow each other. It patches as our model does.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.network.decoder import Decoder
from pipeline.network.encoder import Neighbours

REFLECT = ("reflect", "reflect")

State = tuple[Float[Tensor, "batch hidden rows columns"], Float[Tensor, "batch hidden rows columns"]]
"""Of a layer: what it put out, h, and what it remembers, c."""


class Cell(nn.Module):
    """A layer: equation 3, `*` a convolution with zeros beyond the frame, as there.

    i, f, o = sigmoid(W_x * x_t + W_h * h_{t-1} + w c + b), with c_{t-1} for i and f and c_t for o;
    c_t = f c_{t-1} + i tanh(W_xc * x_t + W_hc * h_{t-1} + b_c); h_t = o tanh(c_t).

    w c has one number a channel and not one a voxel: those would be most of the parameters, and tie what is learned to
    its place. Forgetting begins rare, b_f = 1. What the inputs add is convolved for all times at once.
    """

    def __init__(self, inputs: int, hidden: int, taps: int = 3):
        super().__init__()
        self.from_input = nn.Conv2d(inputs, 4 * hidden, taps, padding=taps // 2)
        self.from_hidden = nn.Conv2d(hidden, 4 * hidden, taps, padding=taps // 2, bias=False)
        self.peepholes = nn.Parameter(torch.zeros(3, hidden, 1, 1))
        with torch.no_grad():
            self.from_input.bias[hidden : 2 * hidden] = 1

    def forward(
        self, x: Float[Tensor, "time batch inputs rows columns"], state: State | None = None
    ) -> tuple[Float[Tensor, "time batch hidden rows columns"], State]:
        added = self.from_input(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        h, c = state or [torch.zeros_like(added[0, :, : self.peepholes.shape[1]])] * 2
        to_input, to_forget, to_output = self.peepholes
        outputs = []
        for own in added.unbind(0):  # indexing would make the backward pass quadratic
            i, f, o, new = (own + self.from_hidden(h)).chunk(4, dim=1)
            c = torch.sigmoid(f + to_forget * c) * c + torch.sigmoid(i + to_input * c) * torch.tanh(new)
            h = torch.sigmoid(o + to_output * c) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs), (h, c)


class ConvLSTM(nn.Module):
    """Makes a frame of each frame and those before it: patches, layers of ConvLSTM, patches made frames again.

    Args:
        channels: Of the frames.
        hidden: Channels of each layer.
        layers: How many there are.
        patch: Voxels of a patch along each axis; encoder and decoder are those of our model.
        taps: Of the layers' convolutions.
    """

    def __init__(self, channels: int, hidden: int, *, layers: int = 1, patch: int = 1, taps: int = 3):
        super().__init__()
        self.encoder = Neighbours(channels, hidden, REFLECT, patch)
        self.cells = nn.ModuleList(Cell(hidden, hidden, taps) for _ in range(layers))
        self.decoder = Decoder(hidden, channels, REFLECT, patch)

    def forward(
        self, frames: Float[Tensor, "time batch channel height width"], states: list[State] | None = None
    ) -> tuple[Float[Tensor, "time batch channel height width"], list[State]]:
        """What is made of consecutive frames, and the states that continue it; without states they begin at zero."""
        stream, left = self.encoder(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]), []
        for cell, state in zip(self.cells, states or [None] * len(self.cells), strict=True):
            stream, state = cell(stream, state)
            left.append(state)
        made = self.decoder.to_frames(stream.flatten(0, 1), tuple(frames.shape[3:]))
        return made.unflatten(0, frames.shape[:2]), left
