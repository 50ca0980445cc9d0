"""From dL/da to the gradients of a transition's tensors and of `dt`: autograd through a(w), in float64.

Where every step is the same, dL/da is first summed over time and one pass over the channels does; where steps differ,
each tile has its own pass. Either way a bounded number of channels is expanded to float64 spectra at a time, and sums
are taken in one order, whatever thread was first.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from torch import Tensor

from ssm_ops.spectrum import Grid, Voxels
from ssm_ops.transition import Transition, of_channels, tensors

GROUP_BYTES = 2**21
"""Bytes of the complex128 spectra of the channels that are expanded together."""


def change_of_all(
    transition: Transition, grid: Grid | Voxels, dt: Tensor | None, channels: int, kind: torch.dtype
) -> Shaped[Tensor, "batch_or_one channel *spectrum"] | None:
    """a^dt - 1 of all channels where every step is the same, else `None`."""
    if dt is not None and dt.shape[1] > 1:
        return None
    parts = []
    with torch.no_grad():
        for part in _groups(grid, channels):
            own = of_channels(transition, part)
            change = own.change(grid)[None] if dt is None else own.change(grid, _channels(dt[:, 0], part))
            size = part.stop - part.start
            parts.append(change.to(kind).expand(-1, size, *grid.spectrum_shape))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def steps_of(dt: Tensor | None, sample: int, part: slice) -> Shaped[Tensor, "time_or_one channel_or_one"] | None:
    """The steps, or what is known of each, of some channels of one sample."""
    return None if dt is None else _channels(dt[sample if len(dt) > 1 else 0], part)


@dataclass(frozen=True)
class Gradients:
    """The gradients to what entered `forward`; `None` where none was asked for."""

    x: Tensor | None
    carry: Tensor | None
    dt: Tensor | None
    parameters: dict[str, Tensor] | None


class Change:
    """a^dt - 1 for some frames of some channels, (1 or frames, channel, *spectrum)."""

    def __init__(
        self,
        transition: Transition,
        grid: Grid | Voxels,
        dt: Tensor | None,
        sample: int,
        channels: slice,
        kind: torch.dtype,
        uniform: Tensor | None,
    ):
        self.grid, self.kind, self.uniform = grid, kind, None
        if uniform is None:
            self.own, self.steps = of_channels(transition, channels), steps_of(dt, sample, channels)
        else:
            self.uniform = uniform[sample if len(uniform) > 1 else 0, channels][None]

    def __call__(self, span: slice) -> Shaped[Tensor, "time_or_one channel *spectrum"]:
        return self.own.change(self.grid, self.steps[span]).to(self.kind) if self.uniform is None else self.uniform


class Sums:
    """Collects dL/da of a backward pass: into `uniform` where every step is the same, else by `add`."""

    def __init__(self, transition: Transition, grid: Grid | Voxels, dt: Tensor | None, zeros: Tensor):
        self.transition, self.grid, self.dt = transition, grid, dt
        self.uniform = zeros if dt is None or dt.shape[1] == 1 else None
        self.shares: dict[tuple[int, int, int], tuple] = {}

    def add(self, sample: int, span: slice, part: slice, towards: Shaped[Tensor, "time channel *spectrum"]) -> None:
        """Takes dL/da of the frames of a tile."""
        own, steps = of_channels(self.transition, part), steps_of(self.dt, sample, part)[span]
        self.shares[sample, part.start, span.start] = part, span, _pull_back(own, self.grid, steps, towards)

    def add_distinct(self, sample: int, part: slice, steps: Tensor, towards: Shaped[Tensor, "step channel *spectrum"]):
        """Takes dL/da of all frames, summed over those with the same step; nothing goes to `dt`."""
        own = of_channels(self.transition, part)
        self.shares[sample, part.start, 0] = part, None, _pull_back(own, self.grid, steps, towards)

    def gradients(self, weight: Tensor) -> tuple[Tensor | None, dict[str, Tensor]]:
        """The gradients to `dt` and to the transition's tensors."""
        if self.uniform is not None:
            several = self.dt is not None and len(self.dt) > 1
            totals = self.uniform if several else self.uniform.sum(0, keepdim=True)
            for part in _groups(self.grid, totals.shape[1]):
                steps = None if self.dt is None else _channels(self.dt[:, 0], part)
                own, towards = of_channels(self.transition, part), totals[:, part] * weight
                self.shares[-1, part.start, 0] = part, slice(None), _pull_back(own, self.grid, steps, towards)
        wanted = tensors(self.transition)
        found = {name: torch.zeros_like(value, dtype=_double(value)) for name, value in wanted.items()}
        to_dt = None if self.dt is None else torch.zeros_like(self.dt, dtype=torch.float64)
        for (sample, *_), (part, span, (to_steps, to_tensors)) in sorted(self.shares.items(), key=lambda item: item[0]):
            for total, share in zip(found.values(), to_tensors, strict=True):
                _channels(total[None], part)[0].add_(share)
            if to_dt is not None and sample < 0:
                _channels(to_dt[:, 0], part).add_(to_steps)
            elif to_dt is not None and span is not None:
                steps_of(to_dt, sample, part)[span].add_(to_steps)
        found = {name: total.to(wanted[name].dtype) for name, total in found.items()}
        return None if to_dt is None else to_dt.to(self.dt.dtype), found


def _pull_back(
    own: Transition, grid: Grid | Voxels, steps: Tensor | None, towards: Shaped[Tensor, "time channel *spectrum"]
) -> tuple[Tensor | None, list[Tensor]]:
    """The gradients to the steps and to the transition's tensors, given those to a^dt."""
    leaves = {name: value.detach().requires_grad_() for name, value in tensors(own).items()}
    steps = None if steps is None else steps.detach().requires_grad_()
    with torch.enable_grad():
        change = dataclasses.replace(own, **leaves).change(grid, steps).expand(towards.shape)
        towards = (towards if change.is_complex() else towards.real).to(change.dtype)
        inputs = [*leaves.values(), *([] if steps is None else [steps])]
        found = torch.autograd.grad(change, inputs, towards, allow_unused=True, materialize_grads=True)
    return (None if steps is None else found[-1]), list(found[: len(leaves)])


def _groups(grid: Grid | Voxels, channels: int) -> list[slice]:
    width = max(1, GROUP_BYTES // (16 * math.prod(grid.spectrum_shape)))
    return [slice(c, min(c + width, channels)) for c in range(0, channels, width)]


def _channels(values: Shaped[Tensor, "lead channel_or_one *rest"], part: slice) -> Shaped[Tensor, "lead _ *rest"]:
    return values[:, part] if values.shape[1] > 1 else values


def _double(value: Tensor) -> torch.dtype:
    return torch.complex128 if value.is_complex() else torch.float64
