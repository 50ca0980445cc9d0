"""Convolutions within frames: what lies beyond the border is as the boundary of each axis says."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, conv3d, pad


def extended(
    x: Float[Tensor, "time channel *grid"], boundary: tuple[str, ...], before: int, after: tuple[int, ...]
) -> Float[Tensor, "time channel *wider"]:
    """The frames with further voxels at both ends of each axis.

    A periodic axis goes on from its other end. Any other is mirrored at its border (half-sample even extension): the
    border voxel comes first again. That is the boundary of `reflect`, and what is nearest to a field that `dirichlet`
    or `padded` axes cut off.

    Args:
        boundary: One for each axis of the grid.
        before: Voxels in front of the first, on every axis.
        after: Voxels behind the last, of each axis.

    Raises:
        ValueError: One of them is more than the axis has.
    """
    axes = len(boundary)
    for axis, (name, behind) in enumerate(zip(boundary, after, strict=True)):
        if before == behind == 0:
            continue
        dim = x.ndim - axes + axis
        size, reach = x.shape[dim], max(before, behind)
        if reach > size:
            raise ValueError(
                f"a kernel reaches {reach} voxels beyond axis {axis}, which has {size}; give kernels of fewer taps"
            )
        if name != "periodic" and reach > 1:
            front, back = x.narrow(dim, 0, before), x.narrow(dim, size - behind, behind)
            x = torch.cat([front.flip(dim), x, back.flip(dim)], dim)
            continue
        widths = [0, 0] * (axes - 1 - axis) + [before, behind] + [0, 0] * axis
        x = pad(x, widths, mode="circular" if name == "periodic" else "replicate")
    return x


def convolved(
    x: Float[Tensor, "time channel *grid"], weight: Float[Tensor, "out channel *taps"], boundary: tuple[str, ...]
) -> Float[Tensor, "time out *grid"]:
    """Each frame convolved (correlated, as torch has it) with a weight of as many taps on each axis, an odd number."""
    x = extended(x, boundary, weight.shape[2] // 2, (weight.shape[2] // 2,) * len(boundary))
    return (conv2d if len(boundary) == 2 else conv3d)(x, weight)
