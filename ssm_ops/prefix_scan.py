"""h_t = a_t h_{t-1} + u_t, number by number, where each a_t is its own: the recurrence of selective state spaces.

All states are prefixes under the composition of affine maps, (a, u) then (b, v) = (b a, b u + v), which is associative.
So they can be had in log2 T rounds, `in_rounds`: after round k each frame holds what the last 2^k frames did (Hillis
and Steele, "Data Parallel Algorithms" (1986)). Rounds multiply decays and never divide by them, so nothing overflows
where |a| <= 1. On a CPU a loop over frames, `in_turn`, moves each number once and is faster, see DESIGN.md.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Run = Float[Tensor, "time *shape"]


def diagonal_scan(decay: Run, offsets: Run, start: Float[Tensor, "*shape"]) -> Run:
    """The states of all frames; differentiable once. Keeps `decay`, the states and `start` for the backward pass.

    Args:
        decay: a_t, each between -1 and 1.
        offsets: u_t.
        start: The state before the first frame.
    """
    return _Scan.apply(decay, offsets, start)


class _Scan(torch.autograd.Function):
    """The scan, and its adjoint G_t = g_t + a_{t+1} G_{t+1}, the same scan from the end."""

    @staticmethod
    def forward(ctx, decay: Tensor, offsets: Tensor, start: Tensor) -> Tensor:
        states = _fastest(offsets.device)(decay, offsets, start)
        ctx.save_for_backward(decay, states, start)
        return states

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        decay, states, start = ctx.saved_tensors
        nothing = torch.zeros_like(start)  # which the first decay, rolled to the end, meets
        adjoint = _fastest(gradient.device)(decay.roll(-1, 0), gradient, nothing, backwards=True)
        return adjoint * torch.cat([start[None], states[:-1]]), adjoint, decay[0] * adjoint[0]


def in_turn(decay: Run, offsets: Run, start: Float[Tensor, "*shape"], *, backwards: bool = False) -> Run:
    """One frame after the other, from the first one or, `backwards`, from the last one."""
    states = torch.empty_like(offsets)
    frames = list(zip(decay.unbind(), offsets.unbind(), states.unbind(), strict=True))
    for a, u, h in reversed(frames) if backwards else frames:
        torch.addcmul(u, a, start, out=h)
        start = h
    return states


def in_rounds(decay: Run, offsets: Run, start: Float[Tensor, "*shape"], *, backwards: bool = False) -> Run:
    """All frames at once, in log2 T rounds over all of them."""
    if backwards:
        return in_rounds(decay.flip(0), offsets.flip(0), start).flip(0)
    states = torch.cat([torch.addcmul(offsets[:1], decay[:1], start[None]), offsets[1:]])
    reach = 1
    while reach < len(states):
        later = torch.addcmul(states[reach:], decay[reach:], states[:-reach])
        states = torch.cat([states[:reach], later])
        decay = torch.cat([decay[:reach], decay[reach:] * decay[:-reach]])
        reach *= 2
    return states


def _fastest(device: torch.device) -> Callable[..., Run]:
    return in_turn if device.type == "cpu" else in_rounds
