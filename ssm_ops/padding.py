"""How wide a guard band must be: a bound on what comes back around the ring of a padded axis."""

from __future__ import annotations

import torch

from ssm_ops.spectrum import Grid
from ssm_ops.transition import Transition, tensors


@torch.no_grad()
def wraparound(transition: Transition, grid: Grid, steps: int) -> float:
    """The largest error of states that the guard bands of `grid` allow in `steps` steps, for inputs of at most 1.

    A padded axis of n voxels and g of guard is a ring of n + g. What stands at distance d on the ring stands at
    n + g - d the other way round; for two voxels of the field that is more than g. So the states differ from those
    on an endless line by at most max |x| times

        sum_{s < steps} sum_{|d| > g} |k_s(d)|,

    where k_s is the kernel of s steps: its taps beyond the guard band, on any padded axis. The taps are taken from a
    ring four times as long, which stands for the line. Zero (to round-off) while nothing has had
    time to cross the band.

    Args:
        transition: A family with a grid (`Pointwise` moves nothing).
        grid: The grid of the field, at least one axis `padded`.
        steps: Frames since the state was zero, those before a carry counted.
    """
    channels = max(value.shape[0] for value in tensors(transition).values())
    sizes = []
    for size, ring, kind in zip(grid.shape, grid.ring, grid.kinds, strict=True):
        sizes.append({"padded": 4 * ring, "periodic": size, "reflect": 2 * size, "dirichlet": 2 * (size + 1)}[kind])
    wide = transition.basis(tuple(sizes), ("periodic",) * len(sizes), channels)
    outside = torch.zeros(sizes, dtype=torch.bool)
    for axis, (size, inner, ring, kind) in enumerate(zip(sizes, grid.shape, grid.ring, grid.kinds, strict=True)):
        if kind == "padded":
            distance = torch.arange(size)
            distance = torch.minimum(distance, size - distance)
            outside |= (distance > ring - inner).reshape(-1, *[1] * (len(sizes) - 1 - axis))
    a = 1 + transition.change(wide)
    power, total = torch.ones_like(a), torch.zeros(a.shape[0], dtype=torch.float64)
    for _ in range(1, steps):
        power = power * a
        kernel = wide.to_field(power.to(wide.spectrum_dtype(torch.float64), copy=True))
        total += (kernel.abs() * outside).flatten(1).sum(1)
    return total.max().item()
