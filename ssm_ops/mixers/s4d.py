"""S4D: a diagonal state-space system for each channel of each voxel, with rates known from theory."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Inexact
from torch import Tensor, nn

from ssm_ops.channels import per_channel
from ssm_ops.initial import s4d_inv, s4d_lin, s4d_real
from ssm_ops.mixers.diagonal import SteppedRates, from_systems, random_steps, to_systems
from ssm_ops.mixers.mixer import Frames
from ssm_ops.mixers.scanned import Scanned
from ssm_ops.transition import Transition

RATES = {"lin": s4d_lin, "inv": s4d_inv, "real": s4d_real}
"""Where the rates of a channel start, see `ssm_ops.initial`."""


class S4D(Scanned):
    """One system a channel, every voxel for itself: x' = A x + u, y = 2 Re(C x) + D u, with A diagonal.

    x_t = exp(step dt_t A) x_{t-1} + (exp(step dt_t A) - 1) / A u_t: the input is held constant over each frame, which
    is exact for steps dt_t of any length. All channels start with the same A; each has a learned `step` of its own,
    from 0.001 to 0.1 at the beginning, that makes its memories longer or shorter. B is 1, for C could undo it.

    Gu, Gupta, Goel, Re, "On the Parameterization and Initialization of Diagonal State Space Models" (2022). Left out:
    the nonlinearity and the mixing of channels behind it, which is the block's. Differently: Re A = -softplus(raw)
    where the paper has -exp(raw); states are scanned, and no kernel is convolved.

    With C channels, S states, T frames, N voxels: a run takes time and memory C S T N, a step and the carry C S N.

    Args:
        channels: Of the input and of the output.
        states: Complex states a channel, their conjugates not counted.
        initial: Where the rates start: `lin`, `inv`, or `real`, decays alone that stay so, with a real C.
    """

    def __init__(self, channels: int, states: int, initial: str = "lin"):
        rates = SteppedRates(RATES[initial](states).repeat(channels, 1), random_steps(channels, 1))
        super().__init__(channels * states, rates)
        parts = 1 if initial == "real" else 2
        self.C = nn.Parameter(torch.randn(parts, channels, states) / math.sqrt(parts))
        self.D = nn.Parameter(torch.randn(channels))

    def enters(
        self,
        x: Frames,
        boundary: tuple[str, ...],
        transition: Transition,
        dt: Float[Tensor, "time"] | Float[Tensor, "time state"] | None = None,
    ) -> Inexact[Tensor, "time state *grid"]:
        return to_systems(self.family.held(dt), x)

    def leaves(self, states: Inexact[Tensor, "time state *grid"], x: Frames, boundary: tuple[str, ...] = ()) -> Frames:
        return from_systems(self.C, states) + per_channel(self.D, x) * x
