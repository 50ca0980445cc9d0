"""The complex rates of diagonal state spaces: how they start, and what a step adds to their states."""

from __future__ import annotations

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ssm_ops import powers
from ssm_ops.initial import s4d_inv, s4d_legs, s4d_lin, s4d_real

SPECTRA = {"legs": s4d_legs, "lin": s4d_lin, "inv": s4d_inv, "real": s4d_real}
"""The rates in continuous time of `initial.py` by name; the default first."""
RATE_INITIALS = tuple(SPECTRA)
"""Their names."""


def stepped_rates(
    initial: str, states: int, steps: Float[Tensor, "*batch one_or_states"]
) -> Complex[Tensor, "*batch states"]:
    """The rates of a spectrum times a step of time or of space, complex64; `steps` of shape (..., 1 or states).

    Where a state would turn by more than half a circle in a step, which frames or voxels cannot tell from a slower
    turn, its step is the one that turns by half a circle.
    """
    rate = SPECTRA[initial](states)
    rate = rate if rate.is_complex() else torch.complex(rate, torch.zeros_like(rate))
    return (rate * torch.minimum(steps.double(), math.pi / rate.imag.abs())).to(torch.complex64)


def log_uniform(*shape: int, least: float, most: float) -> Float[Tensor, "*shape"]:
    """Steps drawn from torch's generator, their logarithms uniform."""
    return torch.empty(shape).uniform_(math.log(least), math.log(most)).exp()


def held(
    rate: Complex[Tensor, "*state"], dt: Float[Tensor, "time"] | None = None
) -> Complex[Tensor, "*time_and_state"]:
    """-Re rate (exp(dt rate) - 1) / rate, complex128: what a step adds of an input that is constant over it.

    The zero-order hold is exact for such inputs; the factor -Re rate makes a state as large as an input that turns as
    it does, and never larger.
    """
    rate = rate.to(torch.complex128)
    steps = None if dt is None else dt.reshape(-1, *[1] * rate.ndim)
    return -rate.real / rate * powers.change(rate, steps)
