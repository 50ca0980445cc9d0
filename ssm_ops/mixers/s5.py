"""S5: one diagonal state-space system that all channels of a voxel enter and leave together."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Inexact
from torch import Tensor, nn

from ssm_ops.channels import as_real, mix, per_channel
from ssm_ops.initial import legs_modes
from ssm_ops.mixers.diagonal import SteppedRates, random_steps
from ssm_ops.mixers.mixer import Frames
from ssm_ops.mixers.scanned import Scanned
from ssm_ops.transition import Transition


class S5(Scanned):
    """One system with many inputs and outputs, every voxel for itself: x' = A x + B u, y = 2 Re(C x) + D u.

    x_t = exp(step dt_t A) x_{t-1} + (exp(step dt_t A) - 1) / A B u_t: A is diagonal, the input is held constant over
    each frame, which is exact for steps dt_t of any length. Each state has a learned `step` of its own, from 0.001 to
    0.1 at the beginning. A starts as the normal part of HiPPO-LegS, B and C as real Gaussian matrices in the basis of
    its modes, B' = V* B and C' = C V; of each conjugate pair one is held.

    Smith, Warrington, Linderman, "Simplified State Space Layers for Sequence Modeling" (2023). Left out: a start from
    several blocks of HiPPO-LegS (there is one), and the nonlinearity, which is the block's. Differently: Re A is
    -softplus(raw).

    With C channels, S states, T frames, N voxels: a run takes time C S T N and memory (C + S) T N, a step takes C S N,
    the carry S N.

    Args:
        channels: Of the input and of the output.
        states: Complex states, their conjugates not counted.
    """

    def __init__(self, channels: int, states: int):
        rate, modes = legs_modes(states)
        super().__init__(states, SteppedRates(rate, random_steps(states)))
        size, modes = 2 * states, modes.to(torch.complex64)
        B = modes.mH @ (torch.randn(size, channels) / math.sqrt(channels)).to(modes.dtype)
        C = (torch.randn(channels, size) / math.sqrt(size)).to(modes.dtype) @ modes
        self.B = nn.Parameter(torch.stack([B.real, B.imag]))
        self.C = nn.Parameter(torch.stack([C.real, C.imag]))
        self.D = nn.Parameter(torch.randn(channels))

    def enters(
        self,
        x: Frames,
        boundary: tuple[str, ...],
        transition: Transition,
        dt: Float[Tensor, "time"] | Float[Tensor, "time state"] | None = None,
    ) -> Inexact[Tensor, "time state *grid"]:
        held = self.family.held(dt)
        real, imag = mix(self.B.flatten(0, 1), x).to(self.kind).chunk(2, dim=1)
        return held.reshape(*held.shape, *[1] * (x.ndim - 2)) * torch.complex(real, imag)

    def leaves(self, states: Inexact[Tensor, "time state *grid"], x: Frames, boundary: tuple[str, ...] = ()) -> Frames:
        real, imag = 2 * self.C
        return mix(torch.cat([real, -imag], dim=1), as_real(states)) + per_channel(self.D, x) * x
