"""Grids, boundaries and transitions of every kind, and their truth by the float64 recurrence of `ssm_ops.reference`."""

import numpy as np
import torch

from ssm_ops import Grid, Kernel, Pointwise, Propagator, reference
from ssm_ops.transition import tensors

GRIDS = [
    ((8,), ("periodic",)),
    ((7,), ("reflect",)),
    ((6,), ("dirichlet",)),
    ((1,), ("reflect",)),
    ((1,), ("periodic",)),
    ((1,), ("dirichlet",)),
    ((2,), ("periodic",)),
    ((5,), ("padded:3",)),
    ((6, 5), ("periodic", "periodic")),
    ((17, 4), ("periodic", "periodic")),  # a prime size: by a matrix product
    ((4, 19), ("periodic", "periodic")),
    ((6, 5), ("reflect", "dirichlet")),
    ((5, 8), ("reflect", "periodic")),
    ((4, 7), ("periodic", "reflect")),
    ((1, 6), ("periodic", "padded")),
    ((3, 4, 5), ("reflect", "periodic", "dirichlet")),
    ((4, 3, 6), ("periodic", "reflect", "periodic")),
    ((3, 2, 4), ("periodic", "padded:2", "periodic")),
]
CHANNELS = 2
FAMILIES = ("decaying", "drifting", "corrected", "kernel", "pointwise")


def inputs(grid, frames=9, *, dtype=torch.float64, seed=0, channels=CHANNELS):
    return torch.randn(frames, channels, *grid, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def transition(family, boundary, *, dtype=torch.float64, seed=0):
    """A transition of a family that fits the boundary, its kernel 3 or 2 taps an axis."""
    noise = torch.Generator().manual_seed(seed)
    mirrored = [name in ("reflect", "dirichlet") for name in boundary]
    taps = torch.randn(
        CHANNELS, *[3 if mirror else 2 + axis % 2 for axis, mirror in enumerate(mirrored)], generator=noise
    )
    for axis, mirror in enumerate(mirrored):
        if mirror:
            taps = (taps + taps.flip(axis + 1)) / 2
    taps = (0.9 * taps / taps.abs().flatten(1).sum(1).reshape(-1, *[1] * len(boundary))).to(dtype)
    decay, diffusivity = torch.tensor([0.05, 0.7], dtype=dtype), torch.tensor([0.3, 0.02], dtype=dtype)
    velocity = torch.tensor(
        [[0.0 if mirror else 0.4 - 0.9 * axis for axis, mirror in enumerate(mirrored)]], dtype=dtype
    )
    match family:
        case "decaying":
            return Propagator(decay, diffusivity)
        case "drifting":
            return Propagator(decay, diffusivity, torch.cat([velocity, -2 * velocity]))
        case "corrected":
            return Propagator(decay, diffusivity, velocity, taps)
        case "kernel":
            return Kernel(taps)
        case "pointwise":
            kind = torch.complex128 if dtype == torch.float64 else torch.complex64
            return Pointwise(torch.tensor([-0.1 + 0.5j, -1.0 - 2j], dtype=kind))


def truth(x, given, boundary, *, dt=None, state=None):
    """The states of x (time, channel, *grid) as a tensor, and the last one on the ring, by the reference.

    dt (time, channel), infinite where the state before is forgotten, or `None`; `state` as the second result of an
    earlier call.
    """
    forgets = None if dt is None else torch.isinf(dt).numpy()
    dt = None if dt is None else torch.where(torch.isinf(dt), 0, dt)
    x = x.double().numpy()
    grid = Grid(tuple(x.shape[2:]), tuple(boundary))
    rings = tuple("periodic" if name.startswith("padded") else name for name in boundary)
    numbers = {name: value.detach().numpy() for name, value in tensors(given).items()}
    numbers = {name: np.broadcast_to(value, (CHANNELS, *value.shape[1:])) for name, value in numbers.items()}

    def advance(state, t):
        step = None if dt is None else dt[t].double().numpy()
        if isinstance(given, Kernel):
            return np.stack(
                [
                    convolved(field, taps, rings, 1 if step is None else int(step[channel]))
                    for channel, (field, taps) in enumerate(zip(state, numbers["taps"], strict=True))
                ]
            )
        if isinstance(given, Pointwise):
            rate = numbers["rate"] * (1 if step is None else step)
            return np.exp(rate).reshape(-1, *[1] * (state.ndim - 1)) * state
        return reference.propagate(state, rings, **numbers, dt=step)

    guards = tuple(ring - size for ring, size in zip(grid.ring, grid.shape, strict=True))
    fields = x if isinstance(given, Pointwise) else reference.on_ring(x, guards)
    states = np.stack(list(reference.recurrence(fields, advance, state, forgets=forgets)))
    cropped = states[(..., *[slice(size) for size in grid.shape])]
    return torch.from_numpy(cropped), states[-1]


def convolved(field, taps, boundary, times):
    for _ in range(times):
        field = reference.convolve(field, taps, boundary)
    return field


def relative(actual, expected):
    """The relative difference of two arrays, in the norm of the whole."""
    expected = torch.as_tensor(expected)
    return float((actual.to(expected.dtype) - expected).norm() / expected.norm().clamp_min(1e-300))


def field_of(carry, grid):
    """The state on the ring that a carry stands for."""
    if not isinstance(grid, Grid):
        return carry
    return grid.uncropped.to_field(carry.clone())
