"""A mixer whose states are scanned, as one rank among others that train through time together."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ssm_ops.affine import Affine
from ssm_ops.chunks import in_chunks, spans_of
from ssm_ops.mixers.scanned import Scanned
from ssm_ops.scanning import final_carry
from ssm_ops.time_parallel import TimeExchange, exchanged, time_parallel_scan

Frames = Float[Tensor, "time channel *grid"]


def across_ranks(
    layer: Scanned,
    x: Frames,
    boundary: tuple[str, ...],
    exchange: TimeExchange,
    dt: Float[Tensor, "time"] | None = None,
) -> Frames:
    """The outputs of this rank's run of time; see `time_parallel_scan`."""
    transition, (offsets,), (steps,) = layer.meets([x], boundary, None if dt is None else [dt])
    states, _ = time_parallel_scan(offsets, transition, boundary=boundary, exchange=exchange, dt=steps)
    return layer.leaves(states, x, boundary)


def entering_carry(
    layer: Scanned,
    x: Frames,
    boundary: tuple[str, ...],
    exchange: TimeExchange,
    dt: Float[Tensor, "time"] | None = None,
    *,
    length: int,
) -> Shaped[Tensor, "..."]:
    """The carry that enters this rank's run of time, zero at the first. Chunks of `length` frames are recomputed.

    With it the outputs of the mixer, chunk after chunk, are those of `across_ranks`, and so are the gradients.
    """

    def final(span: slice, own: Tensor, carries: list[Tensor | None]) -> tuple[None, list[Tensor]]:
        transition, (offsets,), (steps,) = layer.meets([own], boundary, None if dt is None else [dt[span]])
        return None, [final_carry(offsets, transition, boundary=boundary, carry=carries[0], dt=steps)]

    _, (state,) = in_chunks(final, x, [None], length=length, parameters=layer.parameters())
    transition, time = layer.family(), len(x) if dt is None else dt.double().sum()[None]
    if layer.steps is not None:
        steps = [
            layer.meets([x[span]], boundary, None if dt is None else [dt[span]])[2][0]
            for span in spans_of(len(x), length)
        ]
        time = torch.stack([own.double().sum(0) for own in steps]).sum(0)
    power = transition.power(transition.basis(tuple(x.shape[2:]), tuple(boundary), layer.states), time)
    return exchanged(Affine(power.to(state.dtype), state), exchange)[0]
