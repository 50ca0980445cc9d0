"""The scan of a run of time that several ranks hold, as one of them makes it: one autograd function, exact gradients.

Forward: scan this rank's shard from zero for its final state, exchange (a^length, final) for the carry that enters,
scan from it. Backward, from right to left: the adjoint scan from zero for the gradient to the entering carry, exchange
(conj(a^length), that) for the gradient to what leaves, and the whole adjoint scan from it. Only summaries and carries
cross a border; what a^length depends on is part of the whole adjoint scan.

Who exchanges is not told here: `ranks.py` plays all ranks in one process, the package `cluster` has messages.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Inexact, Shaped
from torch import Tensor
from torch.autograd.function import once_differentiable

from ssm_ops import spectral
from ssm_ops.affine import Affine
from ssm_ops.carry import Carry
from ssm_ops.gradients import Gradients
from ssm_ops.scanning import Call
from ssm_ops.spectrum import Grid, Voxels
from ssm_ops.transition import Number, Transition, tensors


@runtime_checkable
class TimeExchange(Protocol):
    """What one rank sees of the others. All ranks make the same calls in the same order."""

    def __call__(self, summary: Affine, *, backward: bool = False) -> Carry:
        """Forward: all maps of the ranks before, on nothing; `None` at the first. Backward: of those after, the last
        one first; `None` at the last."""
        ...


@dataclass(frozen=True)
class Shard:
    """One rank's run of time: offsets (batch, time, channel, *grid), their transition, basis and steps."""

    x: Inexact[Tensor, "batch time channel *grid"]
    transition: Transition
    grid: Grid | Voxels
    dt: Float[Tensor, "batch_or_one time_or_one channel_or_one"] | None

    def summary(self, carry: Tensor | None = None) -> Affine:
        """What the shard does to the state that enters: the final state is that of a scan from `carry`, else zero."""
        _, final = spectral.forward(self.x, self.transition, self.grid, dt=self.dt, carry=carry, with_states=False)
        return Affine(self._power().to(final.dtype), final)

    def scan(self, carry: Tensor | None) -> tuple[Tensor, Tensor]:
        """The states, and the carry that leaves."""
        return spectral.forward(self.x, self.transition, self.grid, dt=self.dt, carry=carry)

    def adjoint_summary(self, gradient: Tensor | None, leaving: Tensor | None = None) -> Affine:
        """What the shard does to the gradient to the carry that leaves; the offset is that of `leaving`, else zero."""
        nothing = {"towards_x": False, "towards_transition": False, "towards_dt": False}
        alone = spectral.backward(self.x, None, self.transition, self.grid, gradient, leaving, dt=self.dt, **nothing)
        return Affine(self._power().conj().to(alone.carry.dtype), alone.carry)

    def gradients(
        self,
        gradient: Tensor | None,
        leaving: Tensor | None,
        carry: Tensor | None,
        states: Tensor | None = None,
        **towards: bool,
    ) -> Gradients:
        """The gradients to everything, given those to the states and to the carry that leaves; `spectral.backward`."""
        return spectral.backward(
            self.x, states, self.transition, self.grid, gradient, leaving, dt=self.dt, carry=carry, **towards
        )

    def _power(self) -> Tensor:
        """a to the time that the shard spans, float64."""
        steps = self.dt
        if steps is None:
            return self.transition.power(self.grid, self.x.shape[1])
        total = steps.sum(1) if steps.shape[1] > 1 else steps[:, 0] * self.x.shape[1]
        return self.transition.power(self.grid, total)


def time_parallel_scan(
    x: Inexact[Tensor, "*frames"],
    transition: Transition,
    *,
    boundary: tuple[str, ...],
    exchange: TimeExchange,
    carry: Shaped[Tensor, "*spectrum"] | None = None,
    dt: Number | Float[Tensor, "*steps"] | None = None,
) -> tuple[Inexact[Tensor, "*frames"], Shaped[Tensor, "*spectrum"]]:
    """`scan` of a run of time of which `x` is this rank's part; all ranks call it together.

    Each gets the states of its own frames as the uncut scan has them, and the carry that leaves them. The gradient of a
    sum of all ranks' losses is that of the uncut scan: what a rank gets for its `x`, `dt` and `carry` is whole, what it
    gets for the transition's tensors is its share, to be summed over the ranks. Every rank must use its result in what
    it differentiates, with whatever weight, for the backward pass exchanges too.

    Args:
        exchange: The other ranks.
        carry: What enters the first rank; the others give none.

    Raises:
        ValueError: A rank that others precede gives a carry; or as for `scan`. A rank that does not come as far as the
            exchange leaves the others waiting: how long is the exchange's business.
    """
    call = Call.of(x, transition, boundary, carry, dt, None)
    states, left = _TimeParallel.apply(
        call.x, call.carry, call.dt, call.transition, call.grid, exchange, *call.learned()
    )
    return (states, left) if call.batched else (states.squeeze(0), left.squeeze(0))


def exchanged(summary: Affine, exchange: TimeExchange) -> tuple[Tensor, bool]:
    """The carry that enters this rank, differentiable in the summaries of the ranks before; and whether any came.

    Where none came the carry is zero. As with `time_parallel_scan`, every rank must use it in what it differentiates.

    Args:
        summary: What this rank's run of time does to the state that enters: a^length, a tensor or a number, and its
            final state from zero.
        exchange: The other ranks.
    """
    return _Exchanged.apply(summary.transition, summary.offset, exchange)


class _TimeParallel(torch.autograd.Function):
    """Both passes of one rank."""

    @staticmethod
    def forward(ctx, x, carry, dt, transition, grid, exchange, *learned):
        ctx.set_materialize_grads(False)
        shard = Shard(x, transition, grid, dt)
        arrived = exchange(shard.summary(carry))
        if arrived is not None and carry is not None:
            raise ValueError("a carry is given to a rank that others precede; give it to the first rank alone")
        entering = carry if arrived is None else arrived
        states, left = shard.scan(entering)
        whole = not grid.cropped
        ctx.save_for_backward(None if whole else x, states if whole else None, entering, dt, *learned)
        ctx.transition, ctx.grid, ctx.exchange = transition, grid, exchange
        ctx.like = x.new_empty(()).expand(x.shape)
        return states, left

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, carry_gradient):
        x, states, entering, dt, *learned = ctx.saved_tensors
        names = list(tensors(ctx.transition))
        transition = dataclasses.replace(ctx.transition, **dict(zip(names, learned, strict=True)))
        shard = Shard(ctx.like if x is None else x, transition, ctx.grid, dt)
        arrived = ctx.exchange(shard.adjoint_summary(gradient, carry_gradient), backward=True)
        given = [part for part in (arrived, carry_gradient) if part is not None]
        needs_x, needs_carry, needs_dt, _, _, _, *needs_learned = ctx.needs_input_grad
        found = shard.gradients(
            gradient,
            sum(given) if given else None,
            entering,
            states,
            towards_x=needs_x,
            towards_carry=needs_carry,
            towards_dt=needs_dt,
            towards_transition=any(needs_learned),
        )
        parameters = [None] * len(names) if found.parameters is None else [found.parameters[name] for name in names]
        to_carry, to_dt = found.carry if needs_carry else None, found.dt if needs_dt else None
        return found.x, to_carry, to_dt, None, None, None, *parameters


class _Exchanged(torch.autograd.Function):
    """The exchange alone: its adjoint is the exchange from right to left with the conjugate maps."""

    @staticmethod
    def forward(ctx, transition, offset, exchange):
        carry = exchange(Affine(transition, offset))
        ctx.exchange, ctx.number = exchange, None if isinstance(transition, Tensor) else transition
        ctx.save_for_backward(transition if ctx.number is None else None, carry)
        return torch.zeros_like(offset) if carry is None else carry, carry is not None

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, _):
        transition, carry = ctx.saved_tensors
        conjugate = ctx.number if transition is None else transition.conj()
        leaving = ctx.exchange(Affine(conjugate, gradient), backward=True)
        if leaving is None:
            leaving = torch.zeros_like(gradient)
        if not ctx.needs_input_grad[0]:
            return None, leaving, None
        towards = torch.zeros_like(leaving) if carry is None else carry.conj() * leaving
        towards = towards.sum_to_size(transition.shape)
        return towards if transition.is_complex() else towards.real, leaving, None
