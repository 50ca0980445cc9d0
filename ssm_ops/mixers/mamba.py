"""The selective state space of Mamba, in every voxel."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu, softplus
from torch.utils.checkpoint import checkpoint

from ssm_ops.channels import mix
from ssm_ops.learned import inverse_softplus
from ssm_ops.mixers.mixer import Frames, Mixer
from ssm_ops.mixers.short import short_convolution
from ssm_ops.prefix_scan import diagonal_scan

WIDER = 2
"""Inner channels, as a multiple of the channels; as in the paper."""
TAPS = 4
"""Frames of the short convolution, as in the authors' program."""
RANK = 16
"""Steps are chosen through a 16th as many numbers as there are channels, at least one; as in the authors' program."""
STEPS = (0.001, 0.1)
"""Steps of a new mixer, laid out evenly by their logarithm; the range of the paper."""
ROOM = 2**22
"""About how many numbers of states, of all voxels, are held of a run at a time."""

Voxels = Float[Tensor, "time inner voxel"]


class Mamba(Mixer):
    """A state space in every voxel whose step, input and output matrices are chosen by what comes in.

        (u, z) = W_in norm(x_t),   u <- silu(short convolution of u),   (r, B_t, C_t) = W u,   dt_t = softplus(V r + b)
        h_t = exp(dt_t A) h_{t-1} + dt_t B_t u,   y = W_out ((C_t h_t + D u) silu(z))

    Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (2023), algorithm 2 and the block
    around it: each of 2 x channels inner channels has `states` states h with rates of their own, A = -exp(raw),
    that start as S4D-Real, -1, -2, ...; B_t and C_t are shared by the inner channels; the short convolution sees 4
    frames. As in the authors' program, B is discretised by Euler's rule instead of zero-order hold, and steps go
    through a matrix of low rank. The norm is that of the root mean square of a voxel's channels, which the paper's
    models have in front of the block: without it outputs grow far faster than inputs. Voxels share all
    weights and do not see each other.

    The carry (inner, 3 + states, *grid) holds the last three u before their convolution, and h. The recurrence is in
    the precision of the weights under autocast too.

    All but the recurrence, a number and a multiplication a state, is made of all frames at once; that is a prefix scan,
    or where it is faster a loop, see `prefix_scan.py`. Of T frames of N voxels a run takes O(T N inner (channels +
    states)) time. States are held of as many frames at a time as have `ROOM` numbers, and of longer runs are computed
    again in the backward pass, as in the paper: O(T N (inner + states) + ROOM + P N inner states) memory for P such
    pieces. A step takes O(N inner (channels + states)) time and O(N inner states) memory.

    Args:
        channels: Of the input and of the output.
        states: Of each inner channel.
    """

    def __init__(self, channels: int, states: int):
        super().__init__()
        inner, rank = WIDER * channels, math.ceil(channels / RANK)
        self.inner, self.states, self.rank = inner, states, rank
        self.norm = nn.RMSNorm(channels, eps=1e-5)
        self.entering = nn.Parameter(torch.randn(2 * inner, channels) / math.sqrt(channels))
        self.short = nn.Parameter(torch.randn(inner, TAPS) / math.sqrt(TAPS))
        self.short_bias = nn.Parameter(torch.zeros(inner))
        self.chosen = nn.Parameter(torch.randn(rank + 2 * states, inner) / math.sqrt(inner))
        self.steps = nn.Linear(rank, inner)
        first, last = (math.log(step) for step in STEPS)
        self.steps.bias.data = inverse_softplus(torch.linspace(first, last, inner).exp())
        self.family = DecayRates(inner, states)
        self.D = nn.Parameter(torch.ones(inner))
        self.leaving = nn.Parameter(torch.randn(channels, inner) / math.sqrt(inner))

    def through(
        self, x: Frames, boundary: tuple[str, ...], carry: Float[Tensor, "inner kept *grid"]
    ) -> tuple[Frames, Float[Tensor, "inner kept *grid"]]:
        u, z = mix(self.entering, self.norm(x.to(self.kind).movedim(1, -1)).movedim(-1, 1)).flatten(2).chunk(2, 1)
        before, state = carry.flatten(2).split([TAPS - 1, self.states], 1)
        u, before = short_convolution(u.to(self.kind), before.transpose(0, 1), self.short)
        u = silu(u + self.short_bias[:, None])
        outputs, pieces = [], u.split(max(1, ROOM // state.numel()))
        for piece in pieces:
            if len(pieces) > 1 and torch.is_grad_enabled():
                y, state = checkpoint(self._selective, piece, state, use_reentrant=False, preserve_rng_state=False)
            else:
                y, state = self._selective(piece, state)
            outputs.append(y)
        y = mix(self.leaving, torch.cat(outputs) * silu(z)).unflatten(2, x.shape[2:])
        return y, torch.cat([before.transpose(0, 1), state], 1).unflatten(2, x.shape[2:])

    def _selective(
        self, u: Voxels, state: Float[Tensor, "inner state voxel"]
    ) -> tuple[Voxels, Float[Tensor, "inner state voxel"]]:
        """C_t h_t + D u of each frame, and the last h."""
        rank, B, C = mix(self.chosen, u).to(self.kind).split([self.rank, self.states, self.states], 1)
        dt = softplus(mix(self.steps.weight, rank).to(self.kind) + self.steps.bias[:, None])
        decay = torch.exp(dt[:, :, None] * self.family()[..., None])
        states = diagonal_scan(decay, (dt * u)[:, :, None] * B[:, None], state)
        y = (states * C[:, None]).sum(2) + self.D[:, None] * u
        return y, states[-1].clone()  # the states before the last are not held

    def carry_form(self, shape: tuple[int, ...], boundary: tuple[str, ...]) -> tuple[tuple[int, ...], torch.dtype]:
        return (self.inner, TAPS - 1 + self.states, *shape), self.kind


class DecayRates(nn.Module):
    """Rates -exp(raw), from -1, -2, ... in every channel: S4D-Real (`initial.s4d_real`)."""

    def __init__(self, channels: int, states: int):
        super().__init__()
        self.raw = nn.Parameter(torch.arange(1, states + 1).log().repeat(channels, 1))

    def forward(self) -> Float[Tensor, "channel state"]:
        return -torch.exp(self.raw)
