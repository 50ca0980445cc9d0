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
    layer: ConvSSM,
    x: Frames,
    boundary: tuple[str, ...],
    carry: Shaped[Tensor, "..."] | None,
    dt: Float[Tensor, "time"] | None = None,
) -> tuple[Frames, Shaped[Tensor, "..."]]:
    """The outputs of a chunk and the carry that leaves it, given the carry that enters (`None`: state zero).

    `dt` is the time from the frame before to each frame, here and below as in `ConvSSM.program`.
    """
    transition, (offsets,), (steps,) = layer.meets([x], None if dt is None else [dt])
    states, left = scan(offsets, transition, boundary=boundary, carry=carry, dt=steps, backend="spectral")
    return layer.reads(states, x), left


def across_ranks(
    layer: ConvSSM,
    x: Frames,
    boundary: tuple[str, ...],
    exchange: TimeExchange,
    dt: Float[Tensor, "time"] | None = None,
) -> Frames:
    """The outputs of this rank's run of time; see `time_parallel_scan`."""
    transition, (offsets,), (steps,) = layer.meets([x], None if dt is None else [dt])
    states, _ = time_parallel_scan(offsets, transition, boundary=boundary, exchange=exchange, dt=steps)
    return layer.reads(states, x)


def entering_carry(
    layer: ConvSSM,
    x: Frames,
    boundary: tuple[str, ...],
    exchange: TimeExchange,
    dt: Float[Tensor, "time"] | None = None,
    *,
    length: int,
) -> Shaped[Tensor, "..."]:
    """The carry that enters this rank's run of time, zero at the first. Chunks of `length` frames are recomputed.

    With it and `advance`, chunk after chunk, the outputs are those of `across_ranks`, and so are the gradients.
    """

    def final(span: slice, own: Tensor, carries: list[Tensor | None]) -> tuple[None, list[Tensor]]:
        transition, (offsets,), (steps,) = layer.meets([own], None if dt is None else [dt[span]])
        return None, [final_carry(offsets, transition, boundary=boundary, carry=carries[0], dt=steps)]

    _, (state,) = in_chunks(final, x, [None], length=length, parameters=layer.parameters())
    transition, time = layer.family(), len(x) if dt is None else dt.double().sum()[None]
    if layer.steps is not None:
        steps = [layer.meets([x[span]], None if dt is None else [dt[span]])[2][0] for span in spans_of(len(x), length)]
        time = torch.stack([own.double().sum(0) for own in steps]).sum(0)
    power = transition.power(transition.basis(tuple(x.shape[2:]), tuple(boundary), len(layer.B)), time)
    return exchanged(Affine(power.to(state.dtype), state), exchange)[0]
