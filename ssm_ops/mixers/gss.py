"""Gated state spaces: diagonal systems on few channels, gated by many."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Inexact
from torch import Tensor, nn
from torch.nn.functional import gelu

from ssm_ops.channels import mix, per_channel
from ssm_ops.initial import s4d_lin
from ssm_ops.mixers.diagonal import SteppedRates, from_systems, random_steps, to_systems
from ssm_ops.mixers.mixer import Frames
from ssm_ops.mixers.scanned import Scanned
from ssm_ops.transition import Transition

REDUCED = 4
"""How many times fewer channels the systems have than the input."""
EXPANDED = 4
"""How many times more channels the gate has than the input."""


class GSS(Scanned):
    """v = gelu(V u), y = systems(gelu(U u)), output O (v * W y), every voxel for itself.

    U makes a quarter as many channels, which is less work for the systems; W takes their outputs to four times as many,
    which v gates. The gate is outside the recurrence, so the states are those of linear systems, and steps may have any
    length: the systems are those of `s4d.S4D`, x' = A x + u, 2 Re(C x) + D u, with rates from S4D-Lin.

    Mehta, Gupta, Cutkosky, Neyshabur, "Long Range Language Modeling via Gated State Spaces" (2022); the proportions are
    those of its layer. Differently: the paper has a simplified DSS, from random rates, in place of S4D. Left out: the
    norm before the layer, so the output goes with the square of a small input; and the sum behind it, which is the
    block's.

    With C channels, S states, T frames, N voxels: a run takes time (C S / 4 + 9 C^2) T N and memory (C S / 4 + 9 C) T
    N, a step the same of one frame, the carry C S N / 4.

    Args:
        channels: Of the input and of the output.
        states: Complex states a system, their conjugates not counted.
    """

    def __init__(self, channels: int, states: int):
        reduced, expanded = max(1, channels // REDUCED), EXPANDED * channels
        rates = SteppedRates(s4d_lin(states).repeat(reduced, 1), random_steps(reduced, 1))
        super().__init__(reduced * states, rates)
        self.U, self.V = _matrix(reduced, channels), _matrix(expanded, channels)
        self.W, self.O = _matrix(expanded, reduced), _matrix(channels, expanded)
        self.C = nn.Parameter(torch.randn(2, reduced, states) / math.sqrt(2))
        self.D = nn.Parameter(torch.randn(reduced))

    def enters(
        self,
        x: Frames,
        boundary: tuple[str, ...],
        transition: Transition,
        dt: Float[Tensor, "time"] | Float[Tensor, "time state"] | None = None,
    ) -> Inexact[Tensor, "time state *grid"]:
        return to_systems(self.family.held(dt), gelu(mix(self.U, x)))

    def leaves(self, states: Inexact[Tensor, "time state *grid"], x: Frames, boundary: tuple[str, ...] = ()) -> Frames:
        y = from_systems(self.C, states) + per_channel(self.D, x) * gelu(mix(self.U, x))
        return mix(self.O, gelu(mix(self.V, x)) * mix(self.W, y))


def _matrix(outputs: int, inputs: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(outputs, inputs) / math.sqrt(inputs))
