"""Numbers of a voxel shared out among the heads of attention, and back."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

Tokens = Float[Tensor, "head frame *grid width"]


def each_head(x: Float[Tensor, "frame number *grid"], heads: int) -> Tokens:
    """Each head's share of the numbers, last."""
    return x.unflatten(1, (heads, -1)).movedim((1, 2), (0, -1)).contiguous()


def all_heads(x: Tokens) -> Float[Tensor, "frame number *grid"]:
    """The numbers of all heads side by side."""
    return x.movedim((0, -1), (1, 2)).flatten(1, 2)
