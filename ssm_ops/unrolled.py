"""A ConvSSM layer on many short runs of time at once, by torch's own operations.

`scan` walks one field after another through compiled loops, which is what long runs of large fields want. Of small
fields and few frames, such as the forecasts of a roll-out, its calls take longer than its sums. Here a batch is
transformed as a whole, and each step of time is one operation on all of it. What depends on the weights alone is made
once for all calls.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.autograd.function import once_differentiable

from ssm_ops.channels import as_real
from ssm_ops.mixers.convssm import ConvSSM, taken


class Unrolled:
    """A layer at steps of 1, on a grid.

    The outputs, carries and gradients are those of `ConvSSM.program` to round-off. Everything is kept for the backward
    pass: four fields a state and frame.

    Args:
        layer: Whose weights; those that they are now.
        shape: Of the grid.
        boundary: Of each axis.

    Raises:
        ValueError: The layer is selective.
    """

    def __init__(self, layer: ConvSSM, shape: tuple[int, ...], boundary: tuple[str, ...]):
        if layer.steps is not None:
            raise ValueError("a selective layer, whose steps are not 1; take its windows one after another")
        self.layer, transition = layer, layer.family()
        self.grid = transition.basis(tuple(shape), tuple(boundary), len(layer.B))
        self.change = transition.power(self.grid, 1).to(self.grid.spectrum_dtype(layer.B.dtype))
        self.project = layer.B * taken(transition)[:, None]

    def __call__(
        self, x: Float[Tensor, "batch time channel *grid"], carry: Shaped[Tensor, "batch state *spectrum"] | None
    ) -> tuple[Float[Tensor, "batch time channel *grid"], Shaped[Tensor, "batch state *spectrum"]]:
        """The outputs of the next frames of each run, and the carries that leave; a carry of `None` is zero."""
        frames, sizes = x.flatten(0, 1), x.shape[:2]
        offsets = mixed(self.project, frames).to(self.layer.B.dtype)
        spectra = self.grid.to_spectrum(offsets).unflatten(0, sizes)
        carry = torch.zeros_like(spectra[:, 0]) if carry is None else carry
        states = _Recurrence.apply(spectra, self.change, carry)
        fields = self.grid.to_field(states.flatten(0, 1))
        outputs = mixed(self.layer.C, as_real(fields)) + self.layer.D.reshape(-1, *[1] * (x.ndim - 3)) * frames
        return outputs.unflatten(0, sizes), states[:, -1]


class _Recurrence(torch.autograd.Function):
    """h_t = a h_{t-1} + u_t on spectra: with g the gradient to the states, G_t = g_t + conj(a) G_{t+1} is that to u_t,
    and sum_t conj(h_{t-1}) G_t that to a."""

    @staticmethod
    def forward(
        ctx,
        offsets: Shaped[Tensor, "batch time state *spectrum"],
        change: Shaped[Tensor, "#state *spectrum"],
        carry: Shaped[Tensor, "batch state *spectrum"],
    ) -> Shaped[Tensor, "batch time state *spectrum"]:
        states, state = torch.empty_like(offsets), carry
        for offset, found in zip(offsets.unbind(1), states.unbind(1), strict=True):
            state = torch.addcmul(offset, change, state, out=found)
        ctx.save_for_backward(states, change, carry)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        states, change, carry = ctx.saved_tensors
        adjoint, back = gradient.clone(memory_format=torch.contiguous_format), change.conj().resolve_conj()
        found = adjoint.unbind(1)
        for time in reversed(range(len(found) - 1)):
            found[time].addcmul_(back, found[time + 1])
        to_change = None
        if ctx.needs_input_grad[1]:
            to_change = (carry.conj() * found[0]).sum(0) + (states[:, :-1].conj() * adjoint[:, 1:]).sum((0, 1))
        return adjoint, to_change, back * found[0] if ctx.needs_input_grad[2] else None


def mixed(
    matrix: Float[Tensor, "out channel"], x: Float[Tensor, "frame channel *grid"]
) -> Float[Tensor, "frame out *grid"]:
    """`channels.mix` of one matrix, as a batch of products: torch would copy many small frames to make one of them."""
    return torch.bmm(matrix.expand(len(x), -1, -1), x.flatten(2)).unflatten(2, x.shape[2:])
