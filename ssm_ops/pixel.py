"""The scan in pixel space, for kernels: one small convolution a step, O(1) memory and time for each new frame.

`step` is the recurrence itself, in torch on any device; `forward` and `backward` are the whole scan and its adjoint,
compiled on CPUs (`stencil.py`). Convolving with A^T backward in time gives the gradient to the inputs, and its products
with the shifted states before give the gradient to the taps. States and carries are those of the spectral path.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ssm_ops import stencil
from ssm_ops.gradients import Gradients
from ssm_ops.lanes import LANES, zeros
from ssm_ops.parallel import Threads, granted
from ssm_ops.spectrum import Grid
from ssm_ops.transition import Kernel

Fields = Float[Tensor, "batch time channel *grid"]


def step(
    state: Float[Tensor, "*lead channel *grid"],
    x: Float[Tensor, "*lead channel *grid"],
    transition: Kernel,
    boundary: tuple[str, ...],
) -> Float[Tensor, "*lead channel *grid"]:
    """One step of the recurrence on fields: taps * state + x. Differentiable by autograd, on any device.

    Args:
        state: The field before, float32 or float64, any axes in front of (channel, *grid).
        x: The input of the step, shaped and typed as `state`.
        transition: The kernel.
        boundary: `periodic`, `reflect` or `dirichlet` for each axis of the grid.

    Raises:
        ValueError: A padded axis, whose state is larger than its field; or as for `scan`.
    """
    axes = len(boundary)
    grid = transition.basis(tuple(x.shape[-axes:]), tuple(boundary), x.shape[-axes - 1])
    if grid.cropped:
        raise ValueError(
            f"boundary {boundary}: the guard band of a padded axis is part of the state, which is larger than the "
            "field; use `scan` with one frame and its carry"
        )
    extended = state
    for axis in range(-axes, 0):
        taps = transition.taps.shape[axis]
        maps, signs = _halo(grid, axis, taps, taps - 1 - taps // 2)
        sign = torch.as_tensor(signs, dtype=state.dtype, device=state.device)
        extended = extended.index_select(axis % extended.ndim, torch.as_tensor(maps, device=state.device))
        extended = extended * sign.reshape(-1, *[1] * (-1 - axis))
    result = x
    taps = transition.taps.to(state.dtype)
    for place in np.ndindex(*taps.shape[1:]):
        windows = [
            slice(taps.shape[1 + axis] - 1 - at, taps.shape[1 + axis] - 1 - at + grid.shape[axis])
            for axis, at in enumerate(place)
        ]
        tap = taps[(slice(None), *place)].reshape(-1, *[1] * axes)
        result = result + tap * extended[(..., *windows)]
    return result


def loop(
    x: Fields, transition: Kernel, grid: Grid, carry: Shaped[Tensor, "batch channel *spectrum"] | None
) -> tuple[Fields, Shaped[Tensor, "batch channel *spectrum"]]:
    """The states and the carry that leaves, step after step, on any device; differentiable by autograd."""
    ring = grid.uncropped
    state, states = _entering(carry, ring, x.dtype), []
    if state is None:
        state = x.new_zeros(x.shape[0], x.shape[2], *ring.shape)
    for frame in _inside(x, ring).unbind(1):
        state = step(state, frame, transition, ring.boundary)
        states.append(state)
    return _crop(torch.stack(states, dim=1), grid), ring.to_spectrum(state)


def forward(
    x: Fields, transition: Kernel, grid: Grid, carry: Shaped[Tensor, "batch channel *spectrum"] | None
) -> tuple[Fields, Shaped[Tensor, "batch channel *spectrum"]]:
    """The states and the carry that leaves, on a CPU."""
    with granted(x.device) as threads:
        ring = grid.uncropped
        inputs = _inside(x, ring)
        states = threads.empty(inputs.shape, inputs.dtype)
        _walk(threads, inputs, transition, ring, states, start=_entering(carry, ring, x.dtype))
        return _crop(states, grid), ring.to_spectrum(states[:, -1])


def backward(
    x: Fields,
    states: Fields | None,
    transition: Kernel,
    grid: Grid,
    gradient: Fields | None,
    carry_gradient: Shaped[Tensor, "batch channel *spectrum"] | None,
    carry: Shaped[Tensor, "batch channel *spectrum"] | None,
    *,
    towards_carry: bool,
    towards_transition: bool,
) -> Gradients:
    """The adjoint of `forward`, as `spectral.backward`."""
    with granted(x.device) as threads:
        ring = grid.uncropped
        weight = ring.adjoint_weight(x.dtype, x.device)
        start = _entering(carry, ring, x.dtype)
        if states is None or grid.cropped:
            inputs = _inside(x, ring)
            states = threads.empty(inputs.shape, inputs.dtype)
            _walk(threads, inputs, transition, ring, states, start=start)
        towards = torch.zeros_like(states) if gradient is None else _inside(gradient, ring)
        extra = None if carry_gradient is None else ring.to_field(carry_gradient / weight)
        to_x = threads.empty(towards.shape, towards.dtype)
        to_carry = parameters = None
        if towards_transition:
            parameters = {"taps": _walk_back(threads, towards, transition, ring, to_x, extra, states, start)}
        else:
            _walk(threads, towards, transition, ring, to_x, extra=extra, backward=True)
        if towards_carry:
            first = ring.to_spectrum(to_x[:, 0])
            to_carry = weight * (first + transition.change(ring).conj().to(first.dtype) * first)
        return Gradients(_crop(to_x, grid), to_carry, None, parameters)


def _walk(
    threads: Threads,
    inputs: Fields,
    transition: Kernel,
    ring: Grid,
    outputs: Fields,
    *,
    start: Tensor | None = None,
    extra: Tensor | None = None,
    backward: bool = False,
) -> None:
    """`stencil.walk` for all channels; a start or an extra of `None` is zero."""
    taps, around = _correlated(transition, ring, inputs.dtype, backward=backward)
    given, out = _frames(inputs), _frames(outputs)
    begin, end = _fields(start, taps), _fields(extra, taps)

    def one(job: tuple[int, int]) -> None:
        own, rooms = taps[job[1] if len(taps) > 1 else 0], [stencil.buffer(around, taps.dtype) for _ in range(2)]
        stencil.walk(inputs.shape[1], given(job), out(job), own, around, *rooms, begin(job), end(job), backward)

    threads.run(one, _jobs(inputs))


def _walk_back(
    threads: Threads,
    inputs: Fields,
    transition: Kernel,
    ring: Grid,
    outputs: Fields,
    extra: Tensor | None,
    states: Fields,
    start: Tensor | None,
) -> Float[Tensor, "channel *kernel"]:
    """`stencil.walk_back` for all channels; gives the gradients to the taps."""
    taps, around = _correlated(transition, ring, inputs.dtype, backward=True)
    _, beside = _correlated(transition, ring, inputs.dtype, backward=False)
    totals = np.zeros((inputs.shape[0], inputs.shape[2], *taps.shape[1:]))
    given, out, held = _frames(inputs), _frames(outputs), _frames(states)
    begin, end = _fields(start, taps), _fields(extra, taps)

    def one(job: tuple[int, int]) -> None:
        own, rooms = taps[job[1] if len(taps) > 1 else 0], [stencil.buffer(around, taps.dtype) for _ in range(2)]
        past, sums = stencil.buffer(beside, taps.dtype), zeros(3 * LANES, taps.dtype)
        towards = given(job), out(job), own, around, *rooms, end(job)
        stencil.walk_back(inputs.shape[1], *towards, held(job), begin(job), past, beside, sums, totals[job])

    threads.run(one, _jobs(inputs))
    total = torch.from_numpy(totals).sum(0)
    total = total.sum(0, keepdim=True) if len(taps) == 1 else total
    total = total.reshape(transition.taps.shape).flip(tuple(range(1, transition.taps.ndim)))
    for axis in ring.mirrors:
        total = (total + total.flip(axis)) / 2  # on a mirrored axis only the symmetric part of the taps acts
    return total.to(transition.taps.dtype)


def _correlated(
    transition: Kernel, ring: Grid, dtype: torch.dtype, *, backward: bool
) -> tuple[np.ndarray, stencil.Halo]:
    """The taps in correlation order, (channel, depth, height, width), and the halo that they need."""
    order = tuple(range(1, transition.taps.ndim))
    taps = (transition.taps if backward else transition.taps.flip(order)).detach().to(dtype).contiguous()
    missing = 3 - len(ring.shape)
    solid = taps.reshape(len(taps), *[1] * missing, *taps.shape[1:]).numpy()
    kernel = solid.shape[1:]
    left = tuple(size // 2 if backward else size - 1 - size // 2 for size in kernel)
    cells = [(np.zeros(1, np.int64), np.ones(1))] * missing
    for axis in range(-len(ring.shape), 0):
        cells.append(_halo(ring, axis, kernel[axis], left[axis]))
    shape = (1,) * missing + ring.shape
    maps, signs = tuple(maps for maps, _ in cells), tuple(signs.astype(solid.dtype) for _, signs in cells)
    return solid, stencil.halo(shape, kernel, left, maps, signs)


def _jobs(x: Fields) -> list[tuple[int, int]]:
    """Every sample and channel."""
    return [(n, c) for n in range(x.shape[0]) for c in range(x.shape[2])]


def _frames(x: Fields) -> Callable[[tuple[int, int]], tuple[np.ndarray, int, int]]:
    """Of a contiguous tensor, for each channel: a flat array, the index of the first frame, the distance of frames."""
    flat, time, channels = x.detach().reshape(-1).numpy(), x.shape[1], x.shape[2]
    size = x.numel() // (x.shape[0] * time * channels)
    return lambda job: (flat, (job[0] * time * channels + job[1]) * size, channels * size)


def _fields(fields: Tensor | None, like: np.ndarray) -> Callable[[tuple[int, int]], np.ndarray]:
    """The flat field of each channel; empty for zero."""
    if fields is None:
        nothing = zeros(0, like.dtype)
        return lambda _: nothing
    flat = fields.detach().flatten(2).contiguous().numpy()
    return lambda job: flat[job]


def _halo(grid: Grid, axis: int, taps: int, left: int) -> tuple[np.ndarray, np.ndarray]:
    """For the cells from -left to size + taps - 2 - left of an axis: the cell that each repeats, and its sign."""
    size = grid.shape[axis]
    cell = np.arange(size + taps - 1) - left
    if grid.kinds[axis] == "reflect":
        cell = cell % (2 * size)
        return np.where(cell < size, cell, 2 * size - 1 - cell), np.ones(len(cell))
    if grid.kinds[axis] == "dirichlet":
        cell = (cell + 1) % (2 * (size + 1))  # the zeros of the odd extension are at 0 and size + 1
        mirrored = np.where(cell <= size, cell, 2 * (size + 1) - cell)
        sign = np.where(cell % (size + 1) == 0, 0.0, np.where(cell <= size, 1.0, -1.0))
        return np.clip(mirrored - 1, 0, size - 1), sign
    return cell % size, np.ones(len(cell))


def _entering(carry: Tensor | None, ring: Grid, dtype: torch.dtype) -> Float[Tensor, "batch channel *ring"] | None:
    return None if carry is None else ring.to_field(carry.to(ring.spectrum_dtype(dtype), copy=True))


def _inside(x: Fields, ring: Grid) -> Float[Tensor, "batch time channel *ring"]:
    """Fields on the ring, zero in the guard bands."""
    widths = [w for axis in range(-1, -1 - len(ring.shape), -1) for w in (0, ring.shape[axis] - x.shape[axis])]
    return torch.nn.functional.pad(x, widths) if any(widths) else x.contiguous()


def _crop(fields: Fields, grid: Grid) -> Float[Tensor, "batch time channel *cropped"]:
    return fields[(..., *[slice(size) for size in grid.shape])]
