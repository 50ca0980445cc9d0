"""A model on many windows at once: those of a training step, read and rolled out side by side.

One window after another, a roll-out is a row of small operations, each of which costs more to call than to compute.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pipeline.model import Forecaster
from pipeline.rolling import with_gaps
from ssm_ops.unrolled import Unrolled

Standings = tuple[Float[Tensor, "window read *grid"], list[Shaped[Tensor, "window state *spectrum"] | None]]
"""Of each window the frame before the next one, and the carry of each layer."""


class Together:
    """A model of forecasts, at steps of 1, with the weights that it has now.

    What it makes, and its gradients, are those of the model on one window after another, to round-off.

    Args:
        model: Not selective.
        shape: (depth, height, width) of the frames.
    """

    def __init__(self, model: Forecaster, shape: tuple[int, int, int]):
        self.model, grid = model, model.grid(shape)
        self.layers = [Unrolled(block.mixer, grid, model.boundary) for block in model.blocks]

    def forecasts(
        self, frames: Float[Tensor, "window time read depth height width"], horizon: int
    ) -> Float[Tensor, "window made channel depth height width"]:
        """As `training.objective.made_of`, of each window: forecasts of all frames but the first, of the last `horizon`
        by rolling out, or where these are gaps all in one go."""
        if self.model.settings.gaps:
            frames, horizon = with_gaps(frames, horizon), 1
        images = frames.squeeze(3) if self.model.depth == 1 else frames
        made, standings = self(images[:, :-horizon], None)
        found = [made]
        for _ in range(horizon - 1):
            before, _ = standings
            made, standings = self(
                torch.cat([made[:, -1], before[:, self.model.volume_channels :]], 1)[:, None], standings
            )
            found.append(made)
        made = torch.cat(found, 1)
        return made.unsqueeze(3) if self.model.depth == 1 else made

    def __call__(
        self, frames: Float[Tensor, "window time read *grid"], standings: Standings | None
    ) -> tuple[Float[Tensor, "window time made *grid"], Standings]:
        """The forecast from each frame, and where the windows then stand. Without `standings` they begin here."""
        model, sizes = self.model, frames.shape[:2]
        before, carries = standings or (frames[:, 0], [None] * len(self.layers))
        read = torch.stack([model.read(own, earlier) for own, earlier in zip(frames, before, strict=True)])
        stream, leaving = model.encoder(read.flatten(0, 1)), []
        for block, layer, carry in zip(model.blocks, self.layers, carries, strict=True):
            linear, left = layer(stream.unflatten(0, sizes), carry)
            stream = block.add(stream, linear.flatten(0, 1))
            leaving.append(left)
        made = model.frames_of(frames.flatten(0, 1), stream)
        return made.unflatten(0, sizes), (frames[:, -1], leaving)
