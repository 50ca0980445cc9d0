"""Rotary positions: what two tokens have to do with each other depends on how far apart they lie, not on where.

Pairs of numbers of a query and of a key are turned in their plane by angles in proportion to their places; the product
of the two then knows only the difference of the places (Su, Lu, Pan, Murtadha, Wen, Liu, "RoFormer: Enhanced
Transformer with Rotary Position Embedding" (2021)). Here a token has a place along several axes, time and those of
space, so the pairs are shared out among these. Periodic axes turn whole circles, as the paper's line does not need to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

BASE = 100.0
"""The ratio of the longest wave to the shortest, 2 pi places, if there were infinitely many; 10000 in the paper, whose
lines are longer than our axes."""


def shares(pairs: int, axes: int) -> list[int]:
    """How many pairs each axis gets: as many as the others, or one more, the first ones first."""
    return [pairs // axes + (axis < pairs % axes) for axis in range(axes)]


def line_angles(places: int, pairs: int, like: Tensor) -> Float[Tensor, "place pair"]:
    """The angles of places 0, 1, ... on a line: BASE^(-i / pairs) radians a place.

    They are taken in double precision and returned within a circle, so that a long line loses nothing to rounding.
    """
    rates = BASE ** (-torch.arange(pairs, dtype=torch.float64) / max(pairs, 1))
    angles = torch.arange(places, dtype=torch.float64)[:, None] * rates
    return torch.remainder(angles, 2 * math.pi).to(like)


def circle_angles(places: int, pairs: int, like: Tensor) -> Float[Tensor, "place pair"]:
    """The angles of places on a circle: 1, 2, 3, ... turns all around, so that a place is as near from both sides."""
    turns = torch.arange(1, pairs + 1) * torch.arange(places)[:, None] % places
    return (2 * math.pi / places * turns.double()).to(like)


def space_angles(
    shape: Sequence[int], boundary: tuple[str, ...], pairs: Sequence[int], like: Tensor
) -> list[Float[Tensor, "..."]]:
    """The angles along each axis of a grid, each of which goes with (..., *grid, pairs of that axis).

    Args:
        shape: Of the grid.
        boundary: Of each axis; a `periodic` one is a circle, any other a line.
        pairs: How many pairs each axis has.
        like: Gives dtype and device.
    """
    angles = []
    for axis, (places, name, share) in enumerate(zip(shape, boundary, pairs, strict=True)):
        along = (circle_angles if name == "periodic" else line_angles)(places, share, like)
        angles.append(along.reshape(places, *[1] * (len(shape) - 1 - axis), share))
    return angles


def turned(x: Float[Tensor, "*tokens width"], angles: Sequence[Float[Tensor, "..."]]) -> Float[Tensor, "*tokens width"]:
    """Pairs of numbers turned; numbers that are left over stay.

    Args:
        x: Queries or keys.
        angles: For each axis, of its pairs: two neighbouring runs of numbers of x are the one and the other parts of
            the first axis' pairs, the next two those of the second, and so on.
    """
    parts, first = [], 0
    for angle in angles:
        pairs = angle.shape[-1]
        one, other = x[..., first : first + pairs], x[..., first + pairs : first + 2 * pairs]
        cosine, sine = angle.cos(), angle.sin()
        parts += [one * cosine - other * sine, one * sine + other * cosine]
        first += 2 * pairs
    return torch.cat([*parts, x[..., first:]], -1)
