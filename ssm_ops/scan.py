"""The scan: all states of h_t = a h_{t-1} + u_t, every frequency by itself, with a carry in and a carry out."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ssm_ops.spectrum import Grid
from ssm_ops.transition import Propagator


def scan(
    x: Float[Tensor, "time channel *grid"],
    transition: Propagator,
    *,
    boundary: tuple[str, ...],
    carry: Shaped[Tensor, "channel *spectrum"] | None = None,
) -> tuple[Float[Tensor, "time channel *grid"], Shaped[Tensor, "channel *spectrum"]]:
    """The states h_t = A * h_{t-1} + x_t of real fields, and the carry that continues them.

    Args:
        x: The inputs, float32 or float64, on any device; the grid has 1 to 3 axes.
        transition: One transition a channel.
        boundary: `periodic` or `reflect` for each axis of the grid.
        carry: The spectrum of the state before the first input, as a previous call returned it; `None` is zero.

    Returns:
        The states, shaped and typed as `x`, and the last state's spectrum. Cutting `x` along time and passing the
        carry on gives the states of the uncut scan to round-off.
    """
    grid = Grid(tuple(x.shape[2:]), tuple(boundary))
    states = recurrence(transition.change(grid, x.dtype), grid.to_spectrum(x), carry)
    return grid.to_field(states), states[-1].clone()  # a view would keep all states alive


def recurrence(
    change: Shaped[Tensor, "channel *spectrum"],
    offsets: Shaped[Tensor, "time channel *spectrum"],
    state: Shaped[Tensor, "channel *spectrum"] | None = None,
) -> Shaped[Tensor, "time channel *spectrum"]:
    """The states of state_t = state_{t-1} + change * state_{t-1} + offset_t, where change = transition - 1.

    Sequential in time, parallel in frequency. Without gradients the states overwrite `offsets`; with gradients they are
    a new tensor.
    """
    needs = (change, offsets) if state is None else (change, offsets, state)
    differentiable = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in needs)
    states = []
    for offset in offsets.unbind(0):  # indexing offsets[t] under autograd would cost a backward quadratic in time
        if state is None:
            state = offset
        elif differentiable:
            state = torch.addcmul(offset, change, state) + state
        else:
            state = torch.addcmul(offset, change, state, out=offset).add_(state)
        states.append(state)
    return torch.stack(states) if differentiable else offsets


def add_carry(
    change: Shaped[Tensor, "channel *spectrum"],
    states: Shaped[Tensor, "time channel *spectrum"],
    carry: Shaped[Tensor, "channel *spectrum"],
) -> tuple[Shaped[Tensor, "time channel *spectrum"], Shaped[Tensor, "channel *spectrum"]]:
    """What a scan from zero lacks: adds transition^(t+1) * carry to state t, before the one inverse transform.

    Returns the corrected states and what is left of the carry after the last of them, transition^time * carry.
    """
    corrections = []
    for _ in range(states.shape[0]):
        carry = torch.addcmul(carry, change, carry)
        corrections.append(carry)
    return states + torch.stack(corrections), carry
