"""The harmonic oscillator, q'' = -w^2 q - 2 damping q' + push: the worked example of `discretize.py`.

Its state is (q, q'), its energy w^2 q^2 + q'^2. Without damping and push the energy stays. In a step dt of

| discretisation | the energy is multiplied by | the phase turns by |
| --- | --- | --- |
| `zero_order_hold` | 1 | w dt |
| `bilinear` | 1 | 2 arctan(w dt / 2) |
| `forward_euler` | 1 + (w dt)^2 | arctan(w dt) |
| `backward_euler` | 1 / (1 + (w dt)^2) | arctan(w dt) |

which is Abar's eigenvalues, those of A being +-i w: exp(z), (1 + z / 2) / (1 - z / 2), 1 + z and 1 / (1 - z), with
z = i w dt. So forward Euler is of no use here, and of the others only the hold keeps the time.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ssm_ops.powers import Number


def harmonic_oscillator(frequency: Number, damping: Number = 0.0) -> tuple[Float[Tensor, "2 2"], Float[Tensor, "2 1"]]:
    """A and B of (q, q')' = A (q, q') + B push, float64.

    Args:
        frequency: w, radians per unit of time.
        damping: The rate at which swings fade, per unit of time.
    """
    A = torch.tensor([[0, 1], [-(frequency**2), -2 * damping]], dtype=torch.float64)
    return A, torch.tensor([[0], [1]], dtype=torch.float64)


def oscillation(
    time: Float[Tensor, "time"], frequency: Number, damping: Number = 0.0, *, start: Number = 0.0, push: Number = 0.0
) -> Float[Tensor, "time 2"]:
    """The oscillator's (q, q') on paper, float64: let go at q = `start` without speed, and pushed by a constant.

    It swings about push / w^2: q = push / w^2 + (start - push / w^2) exp(-d t) (cos(s t) + (d / s) sin(s t)), with d
    the damping and s^2 = w^2 - d^2.

    Args:
        time: Since it was let go.
        frequency: w, radians per unit of time, above the damping.
        damping: Per unit of time, not negative.
        start: q at time 0.
        push: The input, constant from time 0 on.

    Raises:
        ValueError: The damping is negative, or so strong that nothing swings.
    """
    if not 0 <= damping < frequency:
        raise ValueError(
            f"damping is {damping} and frequency {frequency}; give a damping from 0 to below the frequency"
        )
    swing, rest, time = math.sqrt(frequency**2 - damping**2), push / frequency**2, time.double()
    fading = (start - rest) * torch.exp(-damping * time)
    wave = torch.sin(swing * time) / swing
    return torch.stack([rest + fading * (torch.cos(swing * time) + damping * wave), -(frequency**2) * fading * wave], 1)
