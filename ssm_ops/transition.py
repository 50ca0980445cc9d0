"""Transition families: what one step of time does to each frequency. Stable by construction: |a(w)| < 1."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ssm_ops.spectrum import Grid


@dataclass(frozen=True)
class Propagator:
    """The transition of a decaying, diffusing field: a(w) = exp(g(w)), g(w) = -decay - diffusivity |w|^2 per step.

    Diffusivity alone is the heat equation (the WHippo spectrum). |a| < 1 for every decay > 0 and diffusivity >= 0.

    Args:
        decay: One positive number a channel, per step.
        diffusivity: One non-negative number a channel, voxels^2 per step.
    """

    decay: Float[Tensor, "channel"]
    diffusivity: Float[Tensor, "channel"]

    def power(self, grid: Grid, steps: int, dtype: torch.dtype) -> Float[Tensor, "channel *spectrum"]:
        """a(w)^steps in `dtype`, through the exponent in float64 so that long powers lose nothing.

        Differentiable in the parameters; on the parameters' device.
        """
        return torch.exp(steps * self._exponent(grid)).to(dtype)

    def change(self, grid: Grid, dtype: torch.dtype) -> Float[Tensor, "channel *spectrum"]:
        """a(w) - 1 in `dtype`, accurate where a is close to 1: what one step changes in the state.

        A float32 `a` is off by up to 3e-8, which a memory of 10,000 steps turns into an error of 3e-4.
        """
        return torch.expm1(self._exponent(grid)).to(dtype)

    def _exponent(self, grid: Grid) -> Float[Tensor, "channel *spectrum"]:
        """g(w), float64."""
        lead = (-1, *[1] * len(grid.shape))
        decay, diffusivity = self.decay.double().reshape(lead), self.diffusivity.double().reshape(lead)
        return -decay - diffusivity * grid.squared_wavenumber(self.decay.device)
