"""The rival: a ConvLSTM (Shi et al., "Convolutional LSTM Network: A Machine Learning Approach for Precipitation
Nowcasting" (2015)), written from the paper, with forecasts fed back.

As in its experiment with moving digits the input is cut into patches, whose voxels become channels; layers are stacked;
and a convolution of 1 x 1 over the hidden states of all layers makes the patches of the forecast.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from tests.benchmarks.convlstm import Cell, State


class ConvLSTM(nn.Module):
    """A stack of cells between patches.

    Args:
        hidden: Channels of the states of each layer.
        patch: Voxels along each axis of a patch.
    """

    def __init__(self, hidden: tuple[int, ...], patch: int):
        super().__init__()
        self.patch = patch
        self.cells = nn.ModuleList(Cell(i, h) for i, h in zip((patch**2, *hidden), hidden, strict=False))
        self.output = nn.Conv2d(sum(hidden), patch**2, 1)

    def forward(
        self, frames: Float[Tensor, "time window 1 height width"], states: list[State] | None = None
    ) -> tuple[Float[Tensor, "time window 1 height width"], list[State]]:
        """The forecast from each frame, and the states that continue it."""
        stream = pixel_unshuffle(frames.flatten(0, 1), self.patch).unflatten(0, frames.shape[:2])
        outputs, leaving = [], []
        for cell, state in zip(self.cells, states or [None] * len(self.cells), strict=True):
            stream, state = cell(stream, state)
            outputs.append(stream)
            leaving.append(state)
        made = pixel_shuffle(self.output(torch.cat(outputs, 2).flatten(0, 1)), self.patch)
        return made.unflatten(0, frames.shape[:2]), leaving

    def forecasts(
        self, frames: Float[Tensor, "time window 1 height width"], horizon: int
    ) -> Float[Tensor, "made window 1 height width"]:
        """Forecasts of all frames but the first, of the last `horizon` by feeding forecasts back."""
        made, states = self(frames[:-horizon])
        found = [made]
        for _ in range(horizon - 1):
            made, states = self(made[-1:], states)
            found.append(made)
        return torch.cat(found)
