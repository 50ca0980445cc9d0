"""The channels of every voxel: a matrix applied to them, the parts of complex ones."""

from __future__ import annotations

import torch
from jaxtyping import Float, Inexact
from torch import Tensor


def mix(
    matrix: Float[Tensor, "*frames out channel"], x: Float[Tensor, "time channel *grid"]
) -> Float[Tensor, "time out *grid"]:
    """The same matrix applied to the channels of every voxel; one for all frames, or one for each."""
    return (matrix @ x.flatten(2)).unflatten(2, x.shape[2:])


def per_channel(
    numbers: Float[Tensor, "number"], x: Float[Tensor, "time channel *grid"]
) -> Float[Tensor, "number *one"]:
    """One number a channel, or one for all of them, to be broadcast against such frames."""
    return numbers.reshape(-1, *[1] * (x.ndim - 2))


def as_real(states: Inexact[Tensor, "time state *grid"]) -> Float[Tensor, "time part *grid"]:
    """Real states as they are; of complex ones all the real parts, then all the imaginary ones."""
    return torch.cat([states.real, states.imag], dim=1) if states.is_complex() else states
