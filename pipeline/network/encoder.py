"""From frames to the stream that blocks read: a strided convolution, one step a patch."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.volume import InputError
from ssm_ops.spatial import extended


class Neighbours(nn.Module):
    """A convolution that respects the boundary of each axis: of each patch, by default with its nearest neighbours.

    With patches of one voxel it has 3 taps an axis and keeps the resolution. With patches of p it has 3 p taps and a
    stride of p: one output voxel for each patch of p voxels an axis, made of it and the patches beside it; or p taps,
    and each patch is for itself. A last patch that is not whole is filled by mirroring.

    Args:
        inputs, outputs: Channels.
        boundary: Of each axis of the grid, see `ssm_ops.spatial.extended`.
        patch: Voxels of a patch along each axis.
        taps: Patches along each axis that one output is made of: 3, or 1.
    """

    def __init__(self, inputs: int, outputs: int, boundary: tuple[str, ...], patch: int = 1, taps: Literal[1, 3] = 3):
        super().__init__()
        self.boundary, self.patch, self.beside = boundary, patch, taps // 2
        shape = [taps * patch] * len(boundary)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, *shape) / (inputs * math.prod(shape)) ** 0.5)

    def forward(self, x: Float[Tensor, "time channel *grid"]) -> Float[Tensor, "time out *patches"]:
        return self.convolved(x, self.weight)

    def convolved(
        self, x: Float[Tensor, "time channel *grid"], weight: Float[Tensor, "out channel *taps"]
    ) -> Float[Tensor, "time out *patches"]:
        """The same with other weights, as many taps of as many channels."""
        whole = patches_of(tuple(x.shape[2:]), self.boundary, self.patch)
        before = self.patch * self.beside
        after = tuple(self.patch * count + before - size for count, size in zip(whole, x.shape[2:], strict=True))
        x = extended(x, self.boundary, before, after)
        if self.patch > 1:
            x, weight = beside_each_other(x, self.patch), beside_each_other(weight, self.patch)
        convolve = nn.functional.conv2d if len(self.boundary) == 2 else nn.functional.conv3d
        return convolve(x, weight)


def beside_each_other(x: Float[Tensor, "time channel *grid"], patch: int) -> Float[Tensor, "time many *patches"]:
    """The voxels of each patch as channels (channel, place in the patch along each axis).

    Of frames and of weights alike: the strided convolution is then one of 3 taps and a stride of 1, the same sums.
    """
    for axis in reversed(range(2, x.ndim)):
        x = x.unflatten(axis, (-1, patch))
    axes = (x.ndim - 2) // 2
    places = [3 + 2 * axis for axis in range(axes)]
    x = torch.permute(x, [0, 1, *places, *(place - 1 for place in places)])
    return x.flatten(1, 1 + axes)


def patches_of(shape: tuple[int, ...], boundary: tuple[str, ...], patch: int) -> tuple[int, ...]:
    """How many patches there are along each axis of a grid.

    Raises:
        InputError: The last patch of a periodic axis would not be whole, or an axis has fewer voxels than two patches.
    """
    if patch == 1:
        return tuple(shape)
    for size, name in zip(shape, boundary, strict=True):
        if name == "periodic" and size % patch:
            raise InputError(
                f"patches of {patch} voxels do not divide the {size} voxels of a periodic axis of the grid "
                f"{tuple(shape)}; set patch to a divisor of {size}, or coarsen the data"
            )
        if size < 2 * patch:
            raise InputError(
                f"patches of {patch} voxels on a grid of {tuple(shape)}, which has an axis of {size}; set patch to at "
                f"most {max(size // 2, 1)}"
            )
    return tuple(-(-size // patch) for size in shape)
