"""The sharded scan on P ranks, played by one process: what a cluster does, to be proved without one.

Local, exchange, finish: each rank scans its shard from zero for its final state; the exchange composes the summaries
into the carry that enters each shard; each rank scans again from its carry. The backward pass does the same from right
to left: the gradient to a shard's entering carry is conj(a^length) times the gradient to what leaves it, plus the
shard's own. Nothing but summaries and carries crosses a border.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float, Inexact, Shaped
from torch import Tensor
from torch.autograd.function import once_differentiable

from ssm_ops import spectral
from ssm_ops.affine import Affine, chain_prefix, tree_prefix
from ssm_ops.scan import Call
from ssm_ops.transition import Number, Transition, tensors

EXCHANGES = {"chain": chain_prefix, "tree": tree_prefix}


def sharded_scan(
    x: Inexact[Tensor, "*frames"],
    transition: Transition,
    *,
    boundary: tuple[str, ...],
    lengths: Sequence[int],
    exchange: str = "chain",
    carry: Shaped[Tensor, "*spectrum"] | None = None,
    dt: Number | Float[Tensor, "*steps"] | None = None,
) -> tuple[Inexact[Tensor, "*frames"], Shaped[Tensor, "*spectrum"]]:
    """`scan`, its time cut into shards of `lengths` frames, one a rank; the other arguments and the results as there.

    Args:
        exchange: `chain`, from rank to rank, or `tree`, in a logarithmic number of rounds.

    Raises:
        ValueError: The lengths are not positive or do not add up to the frames of `x`, the exchange is unknown; or as
            for `scan`.
    """
    call = Call.of(x, transition, boundary, carry, dt, None)
    if sum(lengths) != call.x.shape[1] or min(lengths) < 1:
        raise ValueError(f"shards of {list(lengths)} frames for {call.x.shape[1]}; give positive lengths that add up")
    if exchange not in EXCHANGES:
        raise ValueError(f"exchange {exchange!r} is unknown; use one of {', '.join(EXCHANGES)}")
    states, left = _Ranks.apply(
        call.x, call.carry, call.dt, call.transition, call.grid, tuple(lengths), EXCHANGES[exchange], *call.learned()
    )
    return (states, left) if call.batched else (states.squeeze(0), left.squeeze(0))


class _Ranks(torch.autograd.Function):
    """Both passes, as the ranks would run them."""

    @staticmethod
    def forward(ctx, x, carry, dt, transition, grid, lengths, prefix, *learned):
        del learned  # the transition's tensors, so that autograd sees them
        shards, maps = _shards(x, dt, lengths), []
        for own, steps in shards:
            _, final = spectral.forward(own, transition, grid, dt=steps, with_states=False)
            maps.append(Affine(_power(transition, grid, own, steps).to(final.dtype), final))
        entering = [before(carry) for before in prefix(maps)]
        finished = [
            spectral.forward(own, transition, grid, dt=steps, carry=enters)
            for (own, steps), enters in zip(shards, entering, strict=True)
        ]
        ctx.save_for_backward(x, dt, *tensors(transition).values())
        ctx.transition, ctx.grid, ctx.lengths, ctx.prefix, ctx.entering = transition, grid, lengths, prefix, entering
        return torch.cat([states for states, _ in finished], dim=1), finished[-1][1]

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, carry_gradient):
        x, dt, *learned = ctx.saved_tensors
        transition = dataclasses.replace(ctx.transition, **dict(zip(tensors(ctx.transition), learned, strict=True)))
        shards = _shards(x, dt, ctx.lengths)
        towards, maps = gradient.split(ctx.lengths, dim=1), []
        for (own, steps), part in zip(shards, towards, strict=True):
            nothing = {"towards_x": False, "towards_transition": False, "towards_dt": False}
            alone = spectral.backward(own, None, transition, ctx.grid, part, None, dt=steps, **nothing)
            maps.append(Affine(_power(transition, ctx.grid, own, steps).conj().to(alone.carry.dtype), alone.carry))
        leaving = [after(carry_gradient) for after in ctx.prefix(maps[::-1])][::-1]
        found = [
            spectral.backward(own, None, transition, ctx.grid, part, leaves, dt=steps, carry=enters)
            for (own, steps), part, leaves, enters in zip(shards, towards, leaving, ctx.entering, strict=True)
        ]
        to_dt = None
        if dt is not None:
            whole = [one.dt for one in found]
            to_dt = torch.cat(whole, dim=1) if dt.shape[1] > 1 else torch.stack(whole).sum(0)
        learned = [sum(one.parameters[name] for one in found) for name in found[0].parameters]
        return torch.cat([one.x for one in found], dim=1), found[0].carry, to_dt, None, None, None, None, *learned


def _shards(x: Tensor, dt: Tensor | None, lengths: tuple[int, ...]) -> list[tuple[Tensor, Tensor | None]]:
    parts = x.split(lengths, dim=1)
    if dt is None or dt.shape[1] == 1:
        return [(part, dt) for part in parts]
    return list(zip(parts, dt.split(lengths, dim=1), strict=True))


def _power(transition: Transition, grid: object, x: Tensor, steps: Tensor | None) -> Tensor:
    """a to the time that a shard spans."""
    if steps is None:
        return transition.power(grid, x.shape[1])
    return transition.power(grid, steps.sum(1) if steps.shape[1] > 1 else steps[:, 0] * x.shape[1])
