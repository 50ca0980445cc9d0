"""The ConvSSM layer as training runs it through time: from a known carry, or as one rank among others."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ssm_ops.affine import Affine
from ssm_ops.chunks import in_chunks, spans_of
from ssm_ops.layer import ConvSSM
from ssm_ops.scanning import final_carry, scan
from ssm_ops.time_parallel import TimeExchange, exchanged, time_parallel_scan

Frames = Float[Tensor, "time channel *grid"]


def advance(
    layer: ConvSSM, x: Frames, boundary: tuple[str, ...], carry: Shaped[Tensor, "..."] | None
) -> tuple[Frames, Shaped[Tensor, "..."]]:
    """The outputs of a chunk and the carry that leaves it, given the carry that enters (`None`: state zero)."""
    transition, (offsets,), (steps,) = layer.meets([x])
    states, left = scan(offsets, transition, boundary=boundary, carry=carry, dt=steps, backend="spectral")
    return layer.reads(states, x), left


def across_ranks(layer: ConvSSM, x: Frames, boundary: tuple[str, ...], exchange: TimeExchange) -> Frames:
    """The outputs of this rank's run of time; see `time_parallel_scan`."""
    transition, (offsets,), (steps,) = layer.meets([x])
    states, _ = time_parallel_scan(offsets, transition, boundary=boundary, exchange=exchange, dt=steps)
    return layer.reads(states, x)


def entering_carry(
    layer: ConvSSM, x: Frames, boundary: tuple[str, ...], exchange: TimeExchange, *, length: int
) -> Shaped[Tensor, "..."]:
    """The carry that enters this rank's run of time, zero at the first. Chunks of `length` frames are recomputed.

    With it and `advance`, chunk after chunk, the outputs are those of `across_ranks`, and so are the gradients.
    """

    def final(span: slice, own: Tensor, carries: list[Tensor | None]) -> tuple[None, list[Tensor]]:
        del span
        transition, (offsets,), (steps,) = layer.meets([own])
        return None, [final_carry(offsets, transition, boundary=boundary, carry=carries[0], dt=steps)]

    _, (state,) = in_chunks(final, x, [None], length=length, parameters=layer.parameters())
    transition, time = layer.family(), len(x)
    if layer.steps is not None:
        time = torch.stack([layer.steps(x[span]).double().sum(0) for span in spans_of(len(x), length)]).sum(0)
    power = transition.power(transition.basis(tuple(x.shape[2:]), tuple(boundary), len(layer.B)), time)
    return exchanged(Affine(power.to(state.dtype), state), exchange)[0]
