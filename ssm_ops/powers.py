"""What some time makes of a transition: exp(steps g) of an exponent g, a^steps of a transfer function a; float64.

After an infinite time nothing is left, also of what does not decay: there the result is that of zero, 0 * inf is never
met, and no gradient passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

Number = int | float
Steps = Number | Float[Tensor, "*lead #channel"]


def change(exponent: Shaped[Tensor, "channel *spectrum"], steps: Steps | None) -> Shaped[Tensor, "..."]:
    """exp(steps exponent) - 1 without cancellation; steps of 1 for `None`."""
    return _expm1(exponent) if steps is None else _forgetting(lambda s: _expm1(_times(exponent, s)), steps, -1)


def exponential(exponent: Shaped[Tensor, "channel *spectrum"], steps: Steps) -> Shaped[Tensor, "..."]:
    """exp(steps exponent)."""
    return _forgetting(lambda s: torch.exp(_times(exponent, s)), steps, 0)


def power(a: Shaped[Tensor, "channel *spectrum"], steps: Steps) -> Shaped[Tensor, "..."]:
    """a^steps through log-magnitude and phase; 0^0 is 1."""
    dead = a == 0
    alive = torch.where(dead, 1, a).to(torch.complex128)
    logarithm = torch.log(alive)

    def of(finite: Steps) -> Tensor:
        moved = _times(torch.ones_like(alive.real), finite) != 0
        return torch.where(dead & moved, 0, torch.exp(_times(logarithm, finite)))

    found = _forgetting(of, steps, 0)
    return found if a.is_complex() else found.real


def _forgetting(of: Callable[[Steps], Tensor], steps: Steps, nothing: Number) -> Shaped[Tensor, "..."]:
    """`of(steps)`, and `nothing` where a step is infinite."""
    if not isinstance(steps, Tensor):
        return torch.full_like(of(1), nothing) if math.isinf(steps) else of(steps)
    endless = torch.isinf(steps)
    if endless.device.type == "cpu" and not endless.any():
        return of(steps)
    found = of(torch.where(endless, 1, steps))
    return torch.where(endless.reshape(*steps.shape, *[1] * (found.ndim - steps.ndim)), nothing, found)


def _expm1(z: Shaped[Tensor, "*any"]) -> Shaped[Tensor, "*any"]:
    """exp(z) - 1 without cancellation, real or complex."""
    if not z.is_complex():
        return torch.expm1(z)
    growth = torch.expm1(z.real)
    real = growth * torch.cos(z.imag) - 2 * torch.sin(z.imag / 2).square()
    return torch.complex(real, (growth + 1) * torch.sin(z.imag))


def _times(exponent: Shaped[Tensor, "channel *spectrum"], steps: Steps) -> Shaped[Tensor, "..."]:
    if not isinstance(steps, Tensor):
        return exponent * steps
    return exponent * steps.double().reshape(*steps.shape, *[1] * (exponent.ndim - 1))
