"""The transition families by name, as a layer starts with them: many memories, and many widths or frequencies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ssm_ops.initial import s4d_lin
from ssm_ops.learned import LearnedKernel, LearnedPointwise, LearnedPropagator
from ssm_ops.spectrum import MIRRORS

FAMILIES = ("propagator", "kernel", "pointwise")

TURNS = 8
"""Memories that the states of a new `pointwise` family take turns with."""
KERNEL_TAPS = 3
"""The size of a kernel along each axis where none is asked for."""


def check_choice(name: str, *, selective: bool = False, drift: bool = False, taps: int | None = None) -> None:
    """Refuses what no family can be; what depends on the boundary is left to `learned_family`.

    Raises:
        ValueError: The name is unknown, or the family has no such part.
    """
    if name not in FAMILIES:
        raise ValueError(f"transition is {name!r}; give one of {', '.join(FAMILIES)}")
    if selective and name == "kernel":
        raise ValueError("selective with transition 'kernel', which is one whole step of time; use another transition")
    if drift and name != "propagator":
        raise ValueError(f"drift with transition {name!r}; only 'propagator' has a velocity")
    if taps is not None and name == "pointwise":
        raise ValueError("taps with transition 'pointwise', which leaves every voxel to itself; leave taps out")
    if taps is not None and taps < 1:
        raise ValueError(f"taps is {taps}; give at least 1")


def learned_family(
    name: str,
    states: int,
    boundary: tuple[str, ...] = (),
    *,
    drift: bool = False,
    taps: int | Sequence[int] | None = None,
    longest: float = 20.0,
) -> nn.Module:
    """A learned transition of `states` channels, of memories up to about `longest` steps.

    - `propagator`: memories of 1 to `longest` steps, each with diffusivities of 0.001 to 2 voxels^2 a step; velocities
      and corrections start from zero.
    - `kernel`: Gaussians of the same memories and diffusivities, cut to the size of the kernel; all taps positive.
    - `pointwise`: the frequencies of S4D-Lin (`initial.s4d_lin`) on a unit of time of longest / 2 steps, or longer
      where the fastest state would otherwise turn by more than half a circle in a step; and memories that take turns,
      `longest` first. S4D-Lin itself has one memory, two units of time, which with many states is far more than
      `longest`.

    Args:
        name: `propagator`, `kernel` or `pointwise`.
        states: State channels.
        boundary: The boundary of each axis; a plain propagator needs none.
        drift: Whether a propagator learns a velocity; its axes that mirror get none.
        taps: The size of a kernel, or of a propagator's correction, along every axis or along each; `None` is 3, or
            no correction. Even sizes on periodic and padded axes only.
        longest: The longest initial memory, in steps.

    Raises:
        ValueError: The name is unknown, or the family has no such part on this boundary.
    """
    kinds = [axis.partition(":")[0] for axis in boundary]
    sizes = [taps] * len(boundary) if taps is None or isinstance(taps, int) else list(taps)
    check_choice(name, drift=drift, taps=None if taps is None else min(sizes, default=1))
    if (drift or taps is not None or name == "kernel") and not boundary:
        raise ValueError("a drift, a correction and a kernel have axes; give the boundary of each")
    if len(sizes) != len(boundary):
        raise ValueError(f"taps {tuple(sizes)} for {len(boundary)} axes; give one size, or one for each")
    if drift and all(kind in MIRRORS for kind in kinds):
        raise ValueError(f"drift with boundary {tuple(boundary)}: nothing drifts along mirrored axes; leave drift out")
    for axis, (kind, size) in enumerate(zip(kinds, sizes, strict=True)):
        if kind in MIRRORS and size is not None and size % 2 == 0 and name != "pointwise":
            raise ValueError(f"taps is {size} on axis {axis}, whose boundary is {kind}; give an odd number there")

    if name == "pointwise":
        unit = max(longest / 2, states - 1)
        frequency = s4d_lin(states).imag / unit
        memory = torch.logspace(math.log10(longest), 0, min(TURNS, states))[torch.arange(states) % TURNS]
        return LearnedPointwise(torch.complex(-1 / memory, frequency.float()))
    memory, diffusivity = initial_scales(states, longest)
    if name == "propagator":
        correction = None if taps is None else tuple(sizes)
        return LearnedPropagator(1 / memory, diffusivity, boundary, drift=drift, taps=correction)
    return LearnedKernel(gaussians(memory, diffusivity, [size or KERNEL_TAPS for size in sizes]), boundary)


def initial_scales(states: int, longest: float) -> tuple[Float[Tensor, "states"], Float[Tensor, "states"]]:
    """Memories (steps) and diffusivities (voxels^2 a step) of the states: logarithmic grids, memory running slowest."""
    widths = min(4, states)
    memories = math.ceil(states / widths)
    memory = torch.logspace(0, math.log10(longest), memories).repeat_interleave(widths)[:states]
    diffusivity = torch.tensor([0.001, 0.1, 0.5, 2.0])[:widths].repeat(memories)[:states]
    return memory, diffusivity


def gaussians(
    memory: Float[Tensor, "states"], diffusivity: Float[Tensor, "states"], sizes: Sequence[int]
) -> Float[Tensor, "states *kernel"]:
    """Taps exp(-|j|^2 / (4 diffusivity)), j counted from index K // 2, that add up to exp(-1 / memory)."""
    squares = torch.zeros(())
    for size in sizes:
        squares = squares[..., None] + (torch.arange(size) - size // 2).square()
    taps = torch.exp(-squares / (4 * diffusivity.reshape(-1, *[1] * len(sizes))))
    total = taps.flatten(1).sum(1) * torch.exp(1 / memory)
    return taps / total.reshape(-1, *[1] * len(sizes))
