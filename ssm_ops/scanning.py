"""The scan: all states of h_t = a^dt_t * h_{t-1} + u_t, a carry in and a carry out, differentiable in everything."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Inexact, Shaped
from torch import Tensor
from torch.autograd.function import once_differentiable

from ssm_ops import pixel, spectral
from ssm_ops.choice import choose
from ssm_ops.spectrum import Grid, Voxels
from ssm_ops.transition import Kernel, Number, Transition, tensors, to_device

BACKENDS = ("auto", "spectral", "pixel")


def scan(
    x: Inexact[Tensor, "*frames"],
    transition: Transition,
    *,
    boundary: tuple[str, ...],
    carry: Shaped[Tensor, "*spectrum"] | None = None,
    dt: Number | Float[Tensor, "*steps"] | None = None,
    mask: Bool[Tensor, "*mask"] | None = None,
    backend: str = "auto",
) -> tuple[Inexact[Tensor, "*frames"], Shaped[Tensor, "*spectrum"]]:
    """The states h_t = a^dt_t * h_{t-1} + x_t of fields on a grid, and the carry that continues them.

    Cutting `x` along time and passing the carry on gives the states of the uncut scan to round-off. Runs on the device
    and in the precision of `x`, in tiles: beyond its arguments and results it holds a few tiles. Gradients flow to `x`,
    to the transition's tensors, to `dt` and to `carry` (once: there is no second derivative).

    Args:
        x: The inputs, (time, channel, *grid) with a grid of 1 to 3 axes, or (batch, time, channel, *grid); float32 or
            float64.
        transition: A `Propagator`, a `Kernel` or a `Pointwise`.
        boundary: `periodic`, `reflect`, `dirichlet`, `padded` or `padded:24` (see `Grid`) for each axis of the grid.
        carry: The spectrum of the state before the first input, (channel, *spectrum) after the batch axis if there is
            one, as a previous call returned it; `None` is a state of zero.
        dt: The time from the state before to each frame's, in the transition's unit: a number, or (time,), or
            (time, channel); after the batch axis if there is one and samples differ. `None` is 1. The first entry is
            the time since the carry. `inf` at a frame: the state before is forgotten, at every frequency and whatever
            the transition. The states from there on are those of a scan that begins there, on a CPU and a grid of two
            or three axes to the bit, and no gradient passes: neither to what was before, nor to that step.
        mask: True where `x` was observed, broadcast against `x`'s (time, channel, *grid) from its last axis, or one
            entry a frame (time,). What is not observed adds nothing, whatever stands there, while the state moves on.
        backend: `spectral` (any transition), `pixel` (kernels), or `auto`, the faster of those that can, measured once
            for each shape (see `choice.py`; the bits of the two differ by round-off).

    Returns:
        The states, shaped and typed as `x` (complex for `Pointwise`), and the last state's spectrum.

    Raises:
        ValueError: Shapes, boundary, transition and backend do not fit together; the message says which two and how
            to mend it.
    """
    call = Call.of(x, transition, boundary, carry, dt, mask)
    if backend not in BACKENDS:
        raise ValueError(f"backend {backend!r} is unknown; use one of {', '.join(BACKENDS)}")
    if backend == "auto":
        backend = choose(call.x, call.transition, call.grid, call.dt, call.needs_gradients(), scan)
    if backend == "pixel":
        states, left = _pixel(call)
    else:
        states, left = _Spectral.apply(call.x, call.carry, call.dt, call.transition, call.grid, True, *call.learned())
    return (states, left) if call.batched else (states.squeeze(0), left.squeeze(0))


def final_carry(
    x: Inexact[Tensor, "*frames"],
    transition: Transition,
    *,
    boundary: tuple[str, ...],
    carry: Shaped[Tensor, "*spectrum"] | None = None,
    dt: Number | Float[Tensor, "*steps"] | None = None,
    mask: Bool[Tensor, "*mask"] | None = None,
) -> Shaped[Tensor, "*spectrum"]:
    """The carry that `scan` would return, without states and inverse transform. Arguments, gradients and errors as
    there."""
    call = Call.of(x, transition, boundary, carry, dt, mask)
    _, left = _Spectral.apply(call.x, call.carry, call.dt, call.transition, call.grid, False, *call.learned())
    return left if call.batched else left.squeeze(0)


def bidirectional(
    x: Inexact[Tensor, "*frames"],
    transition: Transition,
    *,
    boundary: tuple[str, ...],
    later: Transition | None = None,
    dt: Number | Float[Tensor, "*steps"] | None = None,
    mask: Bool[Tensor, "*mask"] | None = None,
    backend: str = "auto",
) -> tuple[Inexact[Tensor, "*frames"], Inexact[Tensor, "*frames"]]:
    """The states that each frame inherits from the past, and those from the future; each holds the frame itself.

    The second is the scan of the frames in reverse, put back in order: h_t = a^dt_{t+1} * h_{t+1} + x_t. Whole
    sequences only: there is no carry from the future. Arguments as for `scan`, with `later` the transition of the
    second, by default the same.

    Returns:
        Both, shaped and typed as `x` (complex for `Pointwise`).

    Raises:
        ValueError: As for `scan`.
    """
    time = 1 if _batched(x, boundary) else 0
    past, _ = scan(x, transition, boundary=boundary, dt=dt, mask=mask, backend=backend)
    if isinstance(dt, Tensor) and dt.ndim > 0:
        axis = min(time, dt.ndim - 1)
        dt = dt.roll(-1, axis).flip(axis)  # the first of the reversed steps leads from nothing, whatever it is
    if mask is not None:
        mask = torch.broadcast_to(_frames(mask, x if time else x.unsqueeze(0)), x.shape).flip(time)
    future, _ = scan(x.flip(time), later or transition, boundary=boundary, dt=dt, mask=mask, backend=backend)
    return past, future.flip(time)


@dataclass(frozen=True)
class Call:
    """The arguments of one call, checked, with a batch axis, on one device."""

    x: Inexact[Tensor, "batch time channel *grid"]
    transition: Transition
    grid: Grid | Voxels
    carry: Tensor | None
    dt: Tensor | None
    batched: bool

    @classmethod
    def of(cls, x, transition, boundary, carry, dt, mask) -> Call:
        batched = _batched(x, boundary)
        fields = x if batched else x.unsqueeze(0)
        if mask is not None:
            fields = torch.where(_frames(mask, fields), fields, 0)
        transition = to_device(transition, x.device)
        steps = None if dt is None else _steps(dt, fields, batched)
        grid = transition.basis(tuple(fields.shape[3:]), tuple(boundary), fields.shape[2], steps)
        if carry is not None:
            _check_carry(carry, fields, grid, batched)
            carry = carry if batched else carry.unsqueeze(0)
        return cls(fields, transition, grid, carry, steps, batched)

    def learned(self) -> list[Tensor]:
        return list(tensors(self.transition).values())

    def needs_gradients(self) -> bool:
        needs = [self.x, *self.learned(), *(t for t in (self.carry, self.dt) if t is not None)]
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in needs)


def _pixel(call: Call) -> tuple[Tensor, Tensor]:
    """The states and the carry that leaves, by the recurrence in pixel space."""
    if not isinstance(call.transition, Kernel):
        raise ValueError(
            f"backend 'pixel' with a {type(call.transition).__name__}, which reaches every voxel in one step; use "
            "'spectral', or a kernel"
        )
    if call.dt is not None:
        raise ValueError("backend 'pixel' takes steps of 1 and dt is given; use 'spectral'")
    if call.x.device.type == "cpu":
        return _Pixel.apply(call.x, call.carry, call.transition, call.grid, *call.learned())
    return pixel.loop(call.x, call.transition, call.grid, call.carry)


class _Pixel(torch.autograd.Function):
    """`pixel.forward` and `pixel.backward`, known to autograd."""

    @staticmethod
    def forward(ctx, x, carry, transition, grid, taps):
        ctx.set_materialize_grads(False)  # a carry that nobody used has no gradient
        states, left = pixel.forward(x, transition, grid, carry)
        whole = not grid.cropped
        ctx.save_for_backward(None if whole else x, states if whole else None, carry, taps)
        ctx.grid, ctx.like = grid, x.new_empty(()).expand(x.shape)
        return states, left

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, carry_gradient):
        x, states, carry, taps = ctx.saved_tensors
        found = pixel.backward(
            ctx.like if x is None else x,
            states,
            Kernel(taps),
            ctx.grid,
            gradient,
            carry_gradient,
            carry,
            towards_carry=ctx.needs_input_grad[1],
            towards_transition=ctx.needs_input_grad[4],
        )
        to_taps = None if found.parameters is None else found.parameters["taps"]
        return found.x if ctx.needs_input_grad[0] else None, found.carry, None, None, to_taps


class _Spectral(torch.autograd.Function):
    """`spectral.forward` and `spectral.backward`, known to autograd."""

    @staticmethod
    def forward(ctx, x, carry, dt, transition, grid, with_states, *learned):
        ctx.set_materialize_grads(False)
        states, left = spectral.forward(x, transition, grid, dt=dt, carry=carry, with_states=with_states)
        whole = with_states and not grid.cropped
        ctx.save_for_backward(None if whole else x, states if whole else None, carry, dt, *learned)
        ctx.transition, ctx.grid, ctx.like = transition, grid, x.new_empty(()).expand(x.shape)
        return states, left

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, carry_gradient):
        x, states, carry, dt, *learned = ctx.saved_tensors
        names = list(tensors(ctx.transition))
        transition = dataclasses.replace(ctx.transition, **dict(zip(names, learned, strict=True)))
        needs_x, needs_carry, needs_dt, _, _, _, *needs_learned = ctx.needs_input_grad
        found = spectral.backward(
            ctx.like if x is None else x,
            states,
            transition,
            ctx.grid,
            gradient,
            carry_gradient,
            dt=dt,
            carry=carry,
            towards_x=needs_x,
            towards_transition=any(needs_learned),
            towards_dt=needs_dt,
            towards_carry=needs_carry,
        )
        parameters = [None] * len(names) if found.parameters is None else [found.parameters[name] for name in names]
        return (
            found.x,
            found.carry if needs_carry else None,
            found.dt if needs_dt else None,
            None,
            None,
            None,
            *parameters,
        )


def _batched(x: Tensor, boundary: tuple[str, ...]) -> bool:
    extra = x.ndim - 2 - len(boundary)
    if extra not in (0, 1) or 0 in x.shape:
        raise ValueError(
            f"input of shape {tuple(x.shape)} with {len(boundary)} boundaries {tuple(boundary)}; give (time, channel, "
            "*grid) or (batch, time, channel, *grid), no axis empty, and one boundary for each axis of the grid"
        )
    return extra == 1


def _frames(mask: Bool[Tensor, "*mask"], x: Tensor) -> Bool[Tensor, "*frames"]:
    """A mask that can be broadcast against (batch, time, channel, *grid)."""
    if mask.shape == x.shape[1:2]:
        mask = mask.reshape(-1, *[1] * (x.ndim - 2))
    try:
        torch.broadcast_shapes(mask.shape, x.shape)
    except RuntimeError:
        raise ValueError(
            f"mask of shape {tuple(mask.shape)} against input of {tuple(x.shape[1:])}; give one entry a frame, or a "
            "shape that can be broadcast to (time, channel, *grid)"
        ) from None
    return mask


def _steps(dt: Number | Tensor, x: Tensor, batched: bool) -> Float[Tensor, "batch_or_one time_or_one channel_or_one"]:
    batch, time, channels = x.shape[:3]
    if not isinstance(dt, Tensor):
        dt = torch.tensor(float(dt), dtype=torch.float64, device=x.device)
    shapes = {(): (1, 1, 1), (time,): (1, time, 1)}
    if batched:
        shapes |= {(batch, time): (batch, time, 1), (batch, time, channels): (batch, time, channels)}
    else:
        shapes |= {(time, channels): (1, time, channels)}
    if tuple(dt.shape) not in shapes:
        raise ValueError(
            f"dt of shape {tuple(dt.shape)} for {time} frames of {channels} channels"
            + (f" in a batch of {batch}" if batched else "")
            + f"; give a number or one of the shapes {', '.join(str(shape) for shape in shapes if shape)}"
        )
    if dt.device.type == "cpu":
        if bool((dt.detach() < 0).any()):
            raise ValueError(f"dt holds {dt.min().item():g}; time does not run backward: give 0 or more")
        if not dt.requires_grad and dt.ndim == 1 and bool((dt == dt[0]).all()):
            dt = dt[0]  # every step the same: its transition is taken once
        if dt.ndim == 0 and bool(torch.isinf(dt)):
            dt = dt.expand(time)  # but every frame begins anew
    return dt.to(x.device).reshape(shapes[tuple(dt.shape)])


def _check_carry(carry: Tensor, x: Tensor, grid: Grid | Voxels, batched: bool) -> None:
    expected = (*([x.shape[0]] if batched else []), x.shape[2], *grid.spectrum_shape)
    if tuple(carry.shape) != expected:
        raise ValueError(
            f"carry of shape {tuple(carry.shape)} where {expected} is expected for this grid and boundary; give the "
            "carry that a scan of the same grid, boundary and channels returned"
        )
