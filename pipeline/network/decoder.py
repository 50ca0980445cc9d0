"""From the stream of the blocks back to frames: a transposed convolution, or a convolution of what was resized."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.network.encoder import Neighbours

Upsampling = Literal["transposed", "resize"]


class Decoder(Neighbours):
    """Makes frames of a stream that has one voxel for each patch.

    `transposed`: each voxel of the stream and its neighbours give the p voxels an axis of its patch, all with numbers
    of their own: a convolution with 3 taps to p^axes times as many channels, which are then laid side by side. This is
    a transposed convolution of stride p (Shi et al., "Real-Time Single Image and Video Super-Resolution Using an
    Efficient Sub-Pixel Convolutional Neural Network" (2016)) that respects the boundary.
    `resize`: the stream is repeated p times along each axis, and a convolution of 3 taps goes over that; it makes no
    checkerboard and has p^axes times fewer numbers (Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts"
    (2016)).
    With patches of one voxel both are the same.

    Args:
        inputs, outputs: Channels.
        boundary: Of each axis of the grid.
        patch: Voxels of a patch along each axis.
        upsampling: Which of the two.
        taps: 1: each voxel of the stream gives its patch alone; not for `resize`, whose patches would be blocks.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        boundary: tuple[str, ...],
        patch: int = 1,
        upsampling: Upsampling = "transposed",
        taps: Literal[1, 3] = 3,
    ):
        beside = patch ** len(boundary) if upsampling == "transposed" else 1
        super().__init__(inputs, outputs * beside, boundary, taps=taps)
        self.voxels, self.upsampling = patch, upsampling

    def to_frames(
        self, stream: Float[Tensor, "time channel *patches"], shape: tuple[int, ...]
    ) -> Float[Tensor, "time out *grid"]:
        """The frames, on a grid of that shape; what a last patch has beyond it is left out."""
        if self.voxels == 1:
            return self(stream)
        if self.upsampling == "resize":
            for axis in range(2, stream.ndim):
                stream = stream.repeat_interleave(self.voxels, axis)
            frames = self(stream)
        else:
            frames = _side_by_side(self(stream), self.voxels)
        return frames[(..., *(slice(size) for size in shape))]


def _side_by_side(x: Float[Tensor, "time many *patches"], patch: int) -> Float[Tensor, "time channel *grid"]:
    """Channels (out, place in the patch along each axis) as voxels of each patch."""
    axes = x.ndim - 2
    x = x.unflatten(1, (-1, *[patch] * axes))  # time, out, place..., patches...
    order = [0, 1, *(axis for pair in ((2 + axes + k, 2 + k) for k in range(axes)) for axis in pair)]
    return torch.permute(x, order).reshape(x.shape[0], x.shape[1], *(patch * size for size in x.shape[2 + axes :]))
