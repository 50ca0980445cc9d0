"""Which backend is faster here: measured, once for each shape, and remembered for the life of the process."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from ssm_ops.spectrum import Grid
from ssm_ops.transition import Kernel, Transition

FRAMES, BYTES = 64, 2**25
"""A trial has so many frames, or as many as make so many bytes: enough for the cost of a call not to decide."""
REPEATS = 3


def choose(x: Tensor, transition: Transition, grid: object, dt: Tensor | None, gradients: bool, scan: Callable) -> str:
    """`pixel` or `spectral` for a `scan` of x (batch, time, channel, *grid).

    The two agree to round-off, not to the bit, so a program that must repeat its bits names a backend instead.
    """
    if not isinstance(transition, Kernel) or dt is not None or x.device.type != "cpu":
        return "spectral"
    count = min(x.shape[1], FRAMES, max(1, BYTES // (x.nbytes // x.shape[1])))
    frames = (x.shape[0], count, *x.shape[2:])
    return fastest(frames, grid, tuple(transition.taps.shape), x.dtype, gradients, torch.get_num_threads(), scan)


@lru_cache(maxsize=256)
def fastest(
    frames: tuple[int, ...],
    grid: Grid,
    taps: tuple[int, ...],
    dtype: torch.dtype,
    gradients: bool,
    threads: int,
    scan: Callable,
) -> str:
    """The backend with the shorter median time on frames of noise."""
    del threads  # part of the question, not of the trial
    noise = torch.Generator().manual_seed(0)
    x = torch.randn(frames, dtype=dtype, generator=noise)
    even = torch.ones(taps, dtype=dtype) / (2 * torch.ones(taps[1:]).numel())  # symmetric, so right for every boundary
    medians = {}
    for backend in ("spectral", "pixel"):
        times = []
        for _ in range(REPEATS + 1):
            inputs, kernel = x.clone().requires_grad_(gradients), even.clone().requires_grad_(gradients)
            start = time.perf_counter()
            with torch.set_grad_enabled(gradients):
                states, _ = scan(inputs, Kernel(kernel), boundary=grid.boundary, backend=backend)
            if gradients:
                torch.autograd.grad(states, (inputs, kernel), x)
            times.append(time.perf_counter() - start)
        medians[backend] = sorted(times[1:])[REPEATS // 2]
    return min(medians, key=medians.get)
