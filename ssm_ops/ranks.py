"""The sharded scan on P ranks, played by one process: what a cluster does, to be proved without one.

Local, exchange, finish: each rank does with its shard what `time_parallel.py` says; the exchange is played here, by
composing the summaries into the carry that enters each shard, and from right to left in the backward pass. Nothing but
summaries and carries crosses a border.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float, Inexact, Shaped
from torch import Tensor
from torch.autograd.function import once_differentiable

from ssm_ops.affine import chain_prefix, tree_prefix
from ssm_ops.scanning import Call
from ssm_ops.time_parallel import Shard
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
        shards = _shards(x, dt, transition, grid, lengths)
        entering = [before(carry) for before in prefix([shard.summary() for shard in shards])]
        finished = [shard.scan(enters) for shard, enters in zip(shards, entering, strict=True)]
        ctx.save_for_backward(x, dt, *tensors(transition).values())
        ctx.transition, ctx.grid, ctx.lengths, ctx.prefix, ctx.entering = transition, grid, lengths, prefix, entering
        return torch.cat([states for states, _ in finished], dim=1), finished[-1][1]

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, carry_gradient):
        x, dt, *learned = ctx.saved_tensors
        transition = dataclasses.replace(ctx.transition, **dict(zip(tensors(ctx.transition), learned, strict=True)))
        shards = _shards(x, dt, transition, ctx.grid, ctx.lengths)
        towards = gradient.split(ctx.lengths, dim=1)
        maps = [shard.adjoint_summary(part) for shard, part in zip(shards, towards, strict=True)]
        leaving = [after(carry_gradient) for after in ctx.prefix(maps[::-1])][::-1]
        found = [
            shard.gradients(part, leaves, enters)
            for shard, part, leaves, enters in zip(shards, towards, leaving, ctx.entering, strict=True)
        ]
        to_dt = None
        if ctx.needs_input_grad[2]:
            whole = [one.dt for one in found]
            to_dt = torch.cat(whole, dim=1) if dt.shape[1] > 1 else torch.stack(whole).sum(0)
        learned = [sum(one.parameters[name] for one in found) for name in found[0].parameters]
        to_carry = found[0].carry if ctx.needs_input_grad[1] else None
        return torch.cat([one.x for one in found], dim=1), to_carry, to_dt, None, None, None, None, *learned


def _shards(
    x: Tensor, dt: Tensor | None, transition: Transition, grid: object, lengths: tuple[int, ...]
) -> list[Shard]:
    parts = x.split(lengths, dim=1)
    steps = [dt] * len(lengths) if dt is None or dt.shape[1] == 1 else dt.split(lengths, dim=1)
    return [Shard(part, transition, grid, own) for part, own in zip(parts, steps, strict=True)]
