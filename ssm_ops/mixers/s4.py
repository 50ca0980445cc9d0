"""S4: a state-space system a channel of each voxel that starts as HiPPO-LegS itself, diagonal plus low rank."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ssm_ops.identities import linear_convolution
from ssm_ops.initial import legs_modes
from ssm_ops.mixers.diagonal import SteppedRates, random_steps
from ssm_ops.mixers.low_rank import LowRank, from_parts, to_parts
from ssm_ops.mixers.mixer import Frames, Mixer

TILE = 2**22
"""Numbers of the input that are convolved at once: their spectra, and those of their outputs, are twice as many."""


class S4(Mixer):
    """One system a channel, every voxel for itself: x' = A x + B u, y = 2 Re(C x) + D u, A = diag(rates) - P P*.

    The bilinear rule makes frames of it, with a learned `step` of each channel (from 0.001 to 0.1 at the beginning).
    A and B start as HiPPO-LegS in the basis of the modes of its normal part, of each conjugate pair one.

    - A frame is one step of the recurrence, the inverse by Woodbury's identity: no matrix, a cost of the states.
    - A run of T frames is a convolution by FFT with a kernel of T frames, made of its generating function (`low_rank`).
      What was before adds C A^(t+1) x, and the state that leaves is A^T x + sum_t A^(T-1-t) B u_t: products with
      matrices that are made once for all voxels, exactly, by doubling from the dense discrete A.

    The small matrices and kernels are made in float64, whatever the precision of the weights; under autocast nothing is
    made in a lower one. The carry is the state, real parts before imaginary ones: (channel, 2 states, *grid).

    Gu, Goel, Re, "Efficiently Modeling Long Sequences with Structured State Spaces" (2022); the minus sign and P for
    both factors, which keep it stable, are those of Goel, Gu, Donahue, Re, "It's Raw! Audio Generation with
    State-Space Models" (2022). Left out: the nonlinearity and the mixing of channels behind it, which is the block's.
    Differently: Re rates are -softplus(raw), and the carry, which the papers have for single steps alone.

    With C channels, S states, T frames, N voxels: a run takes time C N T (log T + S) and C (S^2 T + S^3 log T), memory
    C N (T + S) and C S T; a step and the carry C S N. In training no state of a frame is held.

    Args:
        channels: Of the input and of the output.
        states: Complex states a channel, their conjugates not counted.
    """

    def __init__(self, channels: int, states: int):
        super().__init__()
        rate, modes = legs_modes(states)
        P = modes.mH @ torch.sqrt(torch.arange(2 * states).double() + 0.5).to(modes.dtype)
        P = torch.stack([P.real, P.imag])[:, None].repeat(1, channels, 1).float()
        self.family = LowRankRates(SteppedRates(rate.repeat(channels, 1), random_steps(channels, 1)), P)
        self.B = nn.Parameter(math.sqrt(2) * P)  # sqrt(2n + 1) in the same basis
        self.C = nn.Parameter(torch.randn(2, channels, states) / math.sqrt(2))
        self.D = nn.Parameter(torch.randn(channels))

    def system(self) -> LowRank:
        """All that is linear, in float64."""
        rates = self.family.rates
        P, B, C = (torch.complex(*each.double()) for each in (self.family.P, self.B, self.C))
        return LowRank(rates.rate().to(P.dtype), P, B, C, rates.step.double())

    def through(
        self, x: Frames, boundary: tuple[str, ...], carry: Float[Tensor, "channel part *grid"]
    ) -> tuple[Frames, Float[Tensor, "channel part *grid"]]:
        with torch.autocast(x.device.type, enabled=False):
            u, before, frames = x.flatten(2).to(self.kind), carry.flatten(2), len(x)
            run = self.system().over(frames)
            kernel = run.kernel.mT[..., None].to(self.kind)
            tiles = u.split(max(1, TILE // (frames * u.shape[1])), dim=2)
            y = torch.cat([linear_convolution(tile, kernel)[:frames] for tile in tiles], dim=2)
            y = y + (run.recalled.to(self.kind) @ before).movedim(0, 1) + self.D[:, None] * u
            left = run.kept.to(self.kind) @ before + run.reached.to(self.kind) @ u.movedim(1, 0)
        return y.unflatten(2, x.shape[2:]), left.unflatten(2, x.shape[2:])

    def one(
        self, x: Float[Tensor, "channel *grid"], boundary: tuple[str, ...], carry: Float[Tensor, "channel part *grid"]
    ) -> tuple[Float[Tensor, "channel *grid"], Float[Tensor, "channel part *grid"]]:
        with torch.autocast(x.device.type, enabled=False):
            u, system = x.flatten(1).to(self.kind), self.system().to(self.kind)
            state = system.advance(from_parts(carry.flatten(2)), u)
            y = system.read(state) + self.D[:, None] * u
        return y.unflatten(1, x.shape[1:]), to_parts(state).unflatten(2, x.shape[1:])

    def carry_form(self, shape: tuple[int, ...], boundary: tuple[str, ...]) -> tuple[tuple[int, ...], torch.dtype]:
        _, channels, states = self.B.shape
        return (channels, 2 * states, *shape), self.kind


class LowRankRates(nn.Module):
    """What A is made of: `rates` with their steps, and P in real and imaginary parts."""

    def __init__(self, rates: SteppedRates, P: Float[Tensor, "2 channel state"]):
        super().__init__()
        self.rates, self.P = rates, nn.Parameter(P.clone())
