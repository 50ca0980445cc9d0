"""The scan in frequency space, streamed: nothing of the size of the input's spectrum is ever held.

`forward` walks forward in time, `backward` backward with the adjoint recurrence: with H the states' spectra and g the
gradient to the states,

    G_t = g_t + conj(a_{t+1}) G_{t+1},   dL/dx_t = G_t,   dL/da = sum_t conj(H_{t-1}) G_t,   dL/dcarry = conj(a_0) G_0

in the basis of the grid; a gradient to a half spectrum is that times `Grid.adjoint_weight`. H_{t-1} is transformed
again from the states, and what depends on the transition's parameters alone is left to autograd (`gradients.py`).

On CPUs `streaming.py` does this, frame by frame in compiled code. What is here does it with torch's operations: on
other devices, on grids of one axis, and where nothing is transformed (`Pointwise`). A tile, a run of frames of some
channels, is transformed, walked and transformed back at a time; a strip of channels walks its tiles in turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Inexact, Shaped
from torch import Tensor

from ssm_ops import compiled, jobs, streaming
from ssm_ops.gradients import Change, Gradients, Sums, change_of_all, steps_of
from ssm_ops.memory import Rooms
from ssm_ops.parallel import Threads, granted
from ssm_ops.resets import Resets, endless
from ssm_ops.spectrum import Grid, Voxels
from ssm_ops.transition import Transition

TILE_BYTES = 2**17
"""Bytes of one tile's spectra on a CPU, for a core's cache."""
OTHER_TILE_BYTES = 2**26
"""The same elsewhere: large enough to fill a GPU. Not measured."""

Fields = Inexact[Tensor, "batch time channel *grid"]
Spectra = Shaped[Tensor, "batch channel *spectrum"]
Steps = Float[Tensor, "batch_or_one time_or_one channel_or_one"]
Kept = jobs.Kept | dict[tuple[int, int, int], Tensor]
"""Spectra of states: in lanes, or those of each tile by sample, first channel and first frame."""


@dataclass(frozen=True)
class Strip:
    """Some channels of one sample, cut along time into the spans of its tiles."""

    sample: int
    channels: slice
    spans: Sequence[slice]


def strips(x: Fields, grid: Grid | Voxels) -> list[Strip]:
    """How a scan is cut: by bytes alone, so that the bits of its result do not depend on the number of threads."""
    batch, time, channels = x.shape[:3]
    frame = math.prod(grid.spectrum_shape) * grid.spectrum_dtype(x.real.dtype).itemsize
    budget = TILE_BYTES if x.device.type == "cpu" else OTHER_TILE_BYTES
    width = min(channels, max(1, budget // (frame * time)))
    count = math.ceil(time / max(1, budget // (frame * width)))
    spans = tuple(slice(time * i // count, time * (i + 1) // count) for i in range(count))
    starts = [(sample, c) for sample in range(batch) for c in range(0, channels, width)]
    return [Strip(sample, slice(c, min(c + width, channels)), spans) for sample, c in starts]


def forward(
    x: Fields,
    transition: Transition,
    grid: Grid | Voxels,
    *,
    dt: Steps | None = None,
    carry: Spectra | None = None,
    with_states: bool = True,
) -> tuple[Fields | None, Spectra]:
    """The states and the carry that leaves; without states the carry alone, sparing the inverse transform."""
    states, left, _ = walk(x, transition, grid, dt=dt, carry=carry, with_states=with_states)
    return states, left


def walk(
    x: Fields,
    transition: Transition,
    grid: Grid | Voxels,
    *,
    dt: Steps | None = None,
    carry: Spectra | None = None,
    apart: Spectra | None = None,
    with_states: bool = True,
    rooms: Rooms | None = None,
    calls: jobs.Calls | None = None,
) -> tuple[Fields | None, Spectra, Kept | None]:
    """As `forward`, in two ways that the halves of a stitched scan need (see `stitch.py`).

    `apart` is a second carry, walked without inputs beside the first and added to the states; the carry that leaves
    knows nothing of it. With `rooms` the spectra of the first are kept there, for `finish`. What calls share, they
    remember in `calls`.
    """
    with torch.no_grad(), granted(x.device) as threads:
        if compiles(x.device, grid):
            room = None if rooms is None else rooms.take(jobs.kept_size(x, grid, threads.count), x.dtype)
            ways = {"with_states": with_states, "apart": apart, "room": room, "calls": calls}
            return streaming.forward(threads, x, transition, grid, dt=dt, carry=carry, **ways)
        kind = grid.spectrum_dtype(x.real.dtype)
        states = _states(threads, x, grid) if with_states else None
        left = torch.zeros((x.shape[0], x.shape[2], *grid.spectrum_shape), dtype=kind, device=x.device)
        if carry is not None:
            left += carry
        uniform = change_of_all(transition, grid, dt, x.shape[2], kind)
        walk_time, infinite, kept = loops(left), endless(dt), None if rooms is None else {}

        def walk_strip(strip: Strip) -> None:
            inputs, state = x[strip.sample, :, strip.channels], left[strip.sample, strip.channels]
            beside = None if apart is None else apart[strip.sample, strip.channels].clone()
            change = Change(transition, grid, dt, strip.sample, strip.channels, kind, uniform)
            resets = Resets(steps_of(infinite, strip.sample, strip.channels))
            for span in resets.cut(strip.spans):
                resets.forget(span, state, beside)
                spectra = grid.to_spectrum(inputs[span])
                walk_time.recurrence(spectra, change(span), state)
                if kept is not None:
                    kept[strip.sample, strip.channels.start, span.start] = spectra.clone()
                if states is not None:
                    _add_apart(spectra, beside, change(span))
                    grid.to_field(spectra, out=states[strip.sample, span, strip.channels])
                del spectra  # before the next tile's are made

        threads.run(walk_strip, strips(x, grid))
        return states, left, kept


def finish(
    x: Fields,
    transition: Transition,
    grid: Grid | Voxels,
    kept: Kept,
    *,
    dt: Steps | None = None,
    apart: Spectra | None = None,
    calls: jobs.Calls | None = None,
) -> Fields:
    """The states of the `walk` that kept its spectra, bit for bit as if it had known `apart`.

    Of `x` the shape, the type and the device matter.
    """
    with torch.no_grad(), granted(x.device) as threads:
        if isinstance(kept, jobs.Kept):
            return streaming.finish(threads, x, transition, grid, kept, dt=dt, apart=apart, calls=calls)
        kind = grid.spectrum_dtype(x.real.dtype)
        states, uniform = _states(threads, x, grid), change_of_all(transition, grid, dt, x.shape[2], kind)
        infinite = endless(dt)

        def walk_strip(strip: Strip) -> None:
            beside = None if apart is None else apart[strip.sample, strip.channels].clone()
            change = Change(transition, grid, dt, strip.sample, strip.channels, kind, uniform)
            resets = Resets(steps_of(infinite, strip.sample, strip.channels))
            for span in resets.cut(strip.spans):
                resets.forget(span, beside)
                spectra = kept.pop((strip.sample, strip.channels.start, span.start))
                _add_apart(spectra, beside, change(span))
                grid.to_field(spectra, out=states[strip.sample, span, strip.channels])

        threads.run(walk_strip, strips(x, grid))
        return states


def backward(
    x: Fields,
    states: Fields | None,
    transition: Transition,
    grid: Grid | Voxels,
    gradient: Fields | None,
    carry_gradient: Spectra | None,
    *,
    dt: Steps | None = None,
    carry: Spectra | None = None,
    towards_x: bool = True,
    towards_transition: bool = True,
    towards_dt: bool = True,
    towards_carry: bool = True,
) -> Gradients:
    """The adjoint of `forward`: from the gradients to its two results to the gradients to its arguments.

    `states` as `forward` gave them spare the recurrence (without a guard band); `x` then tells its type only.
    `towards_...` say what is wanted; what is not may be given all the same, if it costs nothing.
    """
    with torch.no_grad(), granted(x.device) as threads:
        if compiles(x.device, grid):
            return streaming.backward(
                threads,
                x,
                states,
                transition,
                grid,
                gradient,
                carry_gradient,
                dt=dt,
                carry=carry,
                towards_x=towards_x,
                towards_transition=towards_transition,
                towards_dt=towards_dt,
                towards_carry=towards_carry,
            )
        kind = grid.spectrum_dtype(x.real.dtype)
        weight = grid.adjoint_weight(x.real.dtype, x.device)
        to_x = threads.empty(x.shape, x.dtype) if towards_x else None
        left = torch.zeros((x.shape[0], x.shape[2], *grid.spectrum_shape), dtype=kind, device=x.device)
        if carry_gradient is not None:
            left += carry_gradient / weight
        sums = Sums(transition, grid, dt, torch.zeros_like(left)) if towards_transition or towards_dt else None
        uniform = change_of_all(transition, grid, dt, x.shape[2], kind)
        walk_time, infinite = loops(left), endless(dt)

        def walk(strip: Strip) -> None:
            here = (strip.sample, strip.channels)
            resets = Resets(steps_of(infinite, *here))
            strip = replace(strip, spans=resets.cut(strip.spans))
            change = Change(transition, grid, dt, strip.sample, strip.channels, kind, uniform)
            if sums is not None:
                entering = None if carry is None else carry[here]
                past = _past(x[strip.sample, :, strip.channels], states, strip, grid, change, resets, entering, kind)
            for span in reversed(strip.spans):
                if gradient is None:
                    spectra = left.new_zeros((span.stop - span.start, *left[here].shape))
                else:
                    spectra = grid.to_spectrum(gradient[strip.sample, span, strip.channels])
                walk_time.adjoint(spectra, change(span), left[here])
                if sums is not None and uniform is not None:
                    walk_time.correlate(spectra, past(span), sums.uniform[here])
                elif sums is not None:
                    sums.add(strip.sample, span, strip.channels, past(span).conj() * spectra * weight)
                if to_x is not None:
                    _to_inputs(spectra, grid, to_x[strip.sample, span, strip.channels])
                del spectra  # before the next tile's are made

        threads.run(walk, strips(x, grid))
        left *= weight
        to_dt, parameters = sums.gradients(weight) if sums is not None else (None, None)
        return Gradients(to_x, left, to_dt, parameters)


def compiles(device: torch.device, grid: Grid | Voxels) -> bool:
    """Whether transforms and recurrence are compiled together: on CPUs, where rows of a frame fill the lanes."""
    return device.type == "cpu" and isinstance(grid, Grid) and len(grid.shape) > 1


def _states(threads: Threads, x: Fields, grid: Grid | Voxels) -> Fields:
    return threads.empty(x.shape, grid.spectrum_dtype(x.real.dtype) if isinstance(grid, Voxels) else x.dtype)


def _add_apart(spectra: Tensor, beside: Tensor | None, change: Tensor) -> None:
    """Walks a state without inputs over a tile and adds it to the spectra of each frame."""
    if beside is not None:
        alone = torch.zeros_like(spectra)
        loops(beside).recurrence(alone, change, beside)
        spectra += alone


def _to_inputs(spectra: Tensor, grid: Grid | Voxels, out: Tensor) -> None:
    """The gradient to real or complex inputs from its spectra."""
    if isinstance(grid, Voxels) and not out.is_complex():
        out.copy_(spectra.real)
    else:
        grid.to_field(spectra, out=out)


def _past(
    x: Tensor,
    states: Fields | None,
    strip: Strip,
    grid: Grid | Voxels,
    change: Change,
    resets: Resets,
    entering: Tensor | None,
    kind: torch.dtype,
) -> Callable[[slice], Tensor]:
    """The spectra of the states before the frames of a span, as a function of the span.

    They are transforms of the states where those hold all of it; where a guard band is missing from them, they are
    recomputed from the inputs and the carries at the borders of tiles.
    """
    start = x.new_zeros((x.shape[1], *grid.spectrum_shape), dtype=kind)
    if entering is not None:
        start += entering
    if states is not None and not grid.cropped:
        own = states[strip.sample, :, strip.channels]

        def from_states(span: slice) -> Tensor:
            if span.start > 0:
                return grid.to_spectrum(own[span.start - 1 : span.stop - 1])
            later = [grid.to_spectrum(own[: span.stop - 1])] if span.stop > 1 else []
            return torch.cat([start[None], *later])

        return from_states

    borders, state = {}, start
    for span in strip.spans:
        borders[span.start] = state.clone()
        resets.forget(span, state)
        if span is not strip.spans[-1]:
            loops(start).recurrence(grid.to_spectrum(x[span]), change(span), state)

    def from_inputs(span: slice) -> Tensor:
        spectra, state = grid.to_spectrum(x[span]), borders[span.start].clone()
        resets.forget(span, state)
        loops(start).recurrence(spectra, change(span), state)
        return torch.cat([borders[span.start][None], spectra[:-1]])

    return from_inputs


@dataclass(frozen=True)
class Loops:
    """The loops over the frames of a tile, in place on spectra (time, channel, *spectrum); `change` is a - 1.

    Attributes:
        recurrence: (spectra, change, state): state_t = state_{t-1} + change_t state_{t-1} + spectra_t.
        adjoint: (spectra, change, state): G_t = spectra_t + state_t, state_{t-1} = G_t + conj(change_t) G_t.
        correlate: (spectra, before, total): adds sum_t conj(before_t) spectra_t to total.
    """

    recurrence: Callable[[Tensor, Tensor, Tensor], None]
    adjoint: Callable[[Tensor, Tensor, Tensor], None]
    correlate: Callable[[Tensor, Tensor, Tensor], None]


def loops(state: Tensor) -> Loops:
    """Compiled for complex states on a CPU, else in torch."""
    return COMPILED if state.device.type == "cpu" and state.is_complex() else TORCH


def _recurrence(spectra: Tensor, change: Tensor, state: Tensor) -> None:
    before = state
    for t, spectrum in enumerate(spectra.unbind(0)):
        before = spectrum.addcmul_(change[t if change.shape[0] > 1 else 0], before).add_(before)
    state.copy_(before)


def _adjoint(spectra: Tensor, change: Tensor, state: Tensor) -> None:
    after, back = state, change.conj()
    for t in range(spectra.shape[0] - 1, -1, -1):
        now = spectra[t].add_(after)
        after = torch.addcmul(now, back[t if change.shape[0] > 1 else 0], now)
    state.copy_(after)


def _correlate(spectra: Tensor, before: Tensor, total: Tensor) -> None:
    total += (before.conj() * spectra).sum(0)


def _compiled(function: Callable) -> Callable[[Tensor, Tensor, Tensor], None]:
    def call(spectra: Tensor, other: Tensor, state: Tensor) -> None:
        function(*_views(spectra, other, state))

    return call


def _views(spectra: Tensor, other: Tensor, state: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numpy views with one axis for all voxels of all channels, real and imaginary parts in turn."""
    other = other.expand(other.shape[0], *spectra.shape[1:]).contiguous()
    flat = [torch.view_as_real(part).numpy() for part in (spectra, other, state)]
    return flat[0].reshape(len(spectra), -1), flat[1].reshape(len(other), -1), flat[2].reshape(-1)


TORCH = Loops(_recurrence, _adjoint, _correlate)
COMPILED = Loops(_compiled(compiled.recurrence), _compiled(compiled.adjoint), _compiled(compiled.correlate))
