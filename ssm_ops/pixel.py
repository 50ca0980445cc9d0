"""The scan in pixel space, for kernels: one small convolution a step, O(1) memory and time for each new frame.

`step` is the recurrence itself, in torch on any device; `forward` and `backward` are the whole scan and its adjoint,
compiled on CPUs (`stencil.py`). Convolving with A^T backward in time gives the gradient to the inputs, and its products
with the shifted states before give the gradient to the taps. States and carries are those of the spectral path.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ssm_ops import stencil
from ssm_ops.gradients import Gradients
from ssm_ops.parallel import empty, on_threads, one_thread
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
        maps, signs = _halo(grid, axis, transition.taps.shape[axis])
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
    state, states = _entering(x, ring, carry), []
    for frame in _inside(x, ring).unbind(1):
        state = step(state, frame, transition, ring.boundary)
        states.append(state)
    return _crop(torch.stack(states, dim=1), grid), ring.to_spectrum(state)


def forward(
    x: Fields, transition: Kernel, grid: Grid, carry: Shaped[Tensor, "batch channel *spectrum"] | None
) -> tuple[Fields, Shaped[Tensor, "batch channel *spectrum"]]:
    """The states and the carry that leaves, on a CPU."""
    ring = grid.uncropped
    inputs, start = _inside(x, ring), _entering(x, ring, carry)
    states = empty(inputs.shape, inputs.dtype)
    _walk(inputs, transition, ring, start, torch.zeros_like(start), states, backward=False)
    with one_thread(x.device):
        left = ring.to_spectrum(states[:, -1])
    return _crop(states, grid), left


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
    ring = grid.uncropped
    weight = ring.adjoint_weight(x.dtype, x.device)
    start = _entering(x, ring, carry)
    if states is None or grid.cropped:
        inputs = _inside(x, ring)
        states = empty(inputs.shape, inputs.dtype)
        _walk(inputs, transition, ring, start, torch.zeros_like(start), states, backward=False)
    towards = torch.zeros_like(states) if gradient is None else _inside(gradient, ring)
    with one_thread(x.device):
        extra = torch.zeros_like(start) if carry_gradient is None else ring.to_field(carry_gradient / weight)
    to_x = empty(towards.shape, towards.dtype)
    _walk(towards, transition, ring, torch.zeros_like(start), extra, to_x, backward=True)
    to_carry = None
    if towards_carry:
        with one_thread(x.device):
            first = ring.to_spectrum(to_x[:, 0])
            to_carry = weight * (first + transition.change(ring).conj().to(first.dtype) * first)
    parameters = {"taps": _towards_taps(to_x, states, transition, ring, start)} if towards_transition else None
    return Gradients(_crop(to_x, grid), to_carry, None, parameters)


def _walk(
    inputs: Fields, transition: Kernel, ring: Grid, start: Tensor, extra: Tensor, outputs: Fields, *, backward: bool
) -> None:
    order = tuple(range(1, transition.taps.ndim))
    correlated = transition.taps if backward else transition.taps.flip(order)
    taps = _solid(correlated.to(inputs.dtype), 1)
    left = tuple(size // 2 if backward else size - 1 - size // 2 for size in taps.shape[1:])
    maps, signs = _halos(ring, taps.shape[1:], left, inputs.dtype)
    arrays = [_solid(inputs, 3), _solid(outputs, 3), _solid(start, 2), _solid(extra, 2)]

    def one(job: tuple[int, int]) -> None:
        n, c = job
        x, out, begin, more = arrays
        own = taps[c if len(taps) > 1 else 0]
        stencil.walk(x, n, c, own, left, maps, signs, begin[n, c], more[n, c], backward, out)

    on_threads(one, [(n, c) for n in range(inputs.shape[0]) for c in range(inputs.shape[2])], inputs.device)


def _towards_taps(
    gradients: Fields, states: Fields, transition: Kernel, ring: Grid, start: Tensor
) -> Float[Tensor, "channel *kernel"]:
    taps = _solid(transition.taps, 1)
    left = tuple(size - 1 - size // 2 for size in taps.shape[1:])
    maps, signs = _halos(ring, taps.shape[1:], left, gradients.dtype)
    arrays = [_solid(gradients, 3), _solid(states, 3), _solid(start, 2)]
    totals = np.zeros((*gradients.shape[:1], gradients.shape[2], *taps.shape[1:]))

    def one(job: tuple[int, int]) -> None:
        n, c = job
        towards, before, begin = arrays
        stencil.walk_taps(towards, before, n, c, left, maps, signs, begin[n, c], totals[n, c])

    jobs = [(n, c) for n in range(gradients.shape[0]) for c in range(gradients.shape[2])]
    on_threads(one, jobs, gradients.device)
    total = torch.from_numpy(totals).sum(0)
    total = total.sum(0, keepdim=True) if len(taps) == 1 else total
    total = total.reshape(transition.taps.shape).flip(tuple(range(1, transition.taps.ndim)))
    for axis in ring.mirrors:
        total = (total + total.flip(axis)) / 2  # on a mirrored axis only the symmetric part of the taps acts
    return total.to(transition.taps.dtype)


def _halos(ring: Grid, kernel: tuple[int, ...], left: tuple[int, ...], dtype: torch.dtype) -> tuple[tuple, tuple]:
    """Maps and signs of three axes, missing ones of size 1 first."""
    missing = 3 - len(ring.shape)
    halos = [(np.zeros(1, np.int64), np.ones(1))] * missing
    for axis in range(len(ring.shape)):
        halos.append(_halo(ring, axis - len(ring.shape), kernel[missing + axis], left[missing + axis]))
    kind = torch.empty(0, dtype=dtype).numpy().dtype
    return tuple(maps for maps, _ in halos), tuple(signs.astype(kind) for _, signs in halos)


def _halo(grid: Grid, axis: int, taps: int, left: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """For the cells from -left to size + taps - 2 - left of an axis: the cell that each repeats, and its sign."""
    size = grid.shape[axis]
    cell = np.arange(size + taps - 1) - (taps - 1 - taps // 2 if left is None else left)
    if grid.kinds[axis] == "reflect":
        cell = cell % (2 * size)
        return np.where(cell < size, cell, 2 * size - 1 - cell), np.ones(len(cell))
    if grid.kinds[axis] == "dirichlet":
        cell = (cell + 1) % (2 * (size + 1))  # the zeros of the odd extension are at 0 and size + 1
        mirrored = np.where(cell <= size, cell, 2 * (size + 1) - cell)
        sign = np.where(cell % (size + 1) == 0, 0.0, np.where(cell <= size, 1.0, -1.0))
        return np.clip(mirrored - 1, 0, size - 1), sign
    return cell % size, np.ones(len(cell))


def _entering(x: Fields, ring: Grid, carry: Tensor | None) -> Float[Tensor, "batch channel *ring"]:
    if carry is None:
        return torch.zeros((x.shape[0], x.shape[2], *ring.shape), dtype=x.dtype, device=x.device)
    with one_thread(x.device):
        return ring.to_field(carry.to(ring.spectrum_dtype(x.dtype), copy=True))


def _inside(x: Fields, ring: Grid) -> Float[Tensor, "batch time channel *ring"]:
    """Fields on the ring, zero in the guard bands."""
    widths = [w for axis in range(-1, -1 - len(ring.shape), -1) for w in (0, ring.shape[axis] - x.shape[axis])]
    return torch.nn.functional.pad(x, widths) if any(widths) else x.contiguous()


def _crop(fields: Fields, grid: Grid) -> Float[Tensor, "batch time channel *cropped"]:
    return fields[(..., *[slice(size) for size in grid.shape])]


def _solid(values: Tensor, lead: int) -> np.ndarray:
    """A numpy view with three spatial axes behind `lead` others."""
    shape = (*values.shape[:lead], *[1] * (3 - (values.ndim - lead)), *values.shape[lead:])
    return values.detach().contiguous().reshape(shape).numpy()
