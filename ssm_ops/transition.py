"""Transition families: what one step of time does to each frequency, a(w), and its powers.

A transition is a frozen dataclass of tensors whose first axis is the channel (or 1, shared by all channels). `a` and
its powers go through its logarithm in float64, and what leaves here is a - 1, which float32 holds exactly enough where
a is close to 1: a float32 `a` is off by 3e-8, which a memory of 10,000 steps turns into an error of 3e-4.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Inexact, Num, Shaped
from torch import Tensor

from ssm_ops import powers
from ssm_ops.powers import Number
from ssm_ops.spectrum import Grid, Voxels

PerChannel = Number | Num[Tensor, ""] | Float[Tensor, "#channel"]


@runtime_checkable
class Transition(Protocol):
    """What `scan` asks of a family."""

    def basis(
        self, shape: tuple[int, ...], boundary: tuple[str, ...], channels: int, dt: Tensor | None = None
    ) -> Grid | Voxels:
        """The basis in which this transition is a product.

        Raises:
            ValueError: The transition does not fit the axes, the boundary, the number of channels or the steps.
        """

    def change(self, grid: Grid | Voxels, dt: Float[Tensor, "time #channel"] | None = None) -> Shaped[Tensor, "..."]:
        """a^dt - 1 in float64: (channel, *spectrum) for steps of 1, (time, channel, *spectrum) where `dt` is given.

        Where `dt` is infinite it is -1, and no gradient passes.
        """

    def power(self, grid: Grid | Voxels, steps: Number | Float[Tensor, "*batch #channel"]) -> Shaped[Tensor, "..."]:
        """a^steps in float64, (channel, *spectrum) behind the batch axes of `steps`, by log-magnitude and phase.

        Where `steps` is infinite it is 0, and no gradient passes.
        """


Family = TypeVar("Family", bound=Transition)


@dataclass(frozen=True, eq=False)
class Propagator:
    """The transition of a decaying, diffusing, drifting field: a(w) = exp(dt g(w)) with

        g(w) = -decay - diffusivity |w|^2 - i velocity . w + sum_j correction_j exp(-i w . j) - sum_j |correction_j|

    w = 2 pi k / n in radians a voxel. On a Fourier axis of even size the velocity part is zero at the Nyquist
    frequency, so that real fields stay real and a^s a^t = a^(s + t). Diffusivity alone is the heat equation (the
    WHippo spectrum). The correction is a kernel of rates at which a voxel passes its value on to its neighbours
    (the generator of a walk on the grid); subtracting their sum keeps Re g <= -decay, so |a| < 1 for every decay > 0,
    whatever the other numbers.

    Args:
        decay: Not negative, per unit of dt; a number or one a channel.
        diffusivity: Not negative, voxels^2 per unit of dt; a number or one a channel.
        velocity: Voxels per unit of dt, positive towards larger indices: one entry for each axis of the grid, each a
            number or one a channel; or a tensor (axes,) or (channel, axes). A number will do on a grid of one axis.
        correction: Rates per unit of dt, (channel, *K) or (1, *K), centred on index K // 2 of each axis.

    Raises:
        ValueError: A decay or a diffusivity is negative.
    """

    decay: PerChannel
    diffusivity: PerChannel = 0.0
    velocity: Number | Sequence[PerChannel] | Float[Tensor, "axes"] | Float[Tensor, "#channel axes"] | None = None
    correction: Float[Tensor, "#channel *kernel"] | None = None

    def __post_init__(self):
        for name in ("decay", "diffusivity"):
            value = _per_channel(getattr(self, name))
            if value.device.type == "cpu" and not value.requires_grad and bool((value < 0).any()):
                raise ValueError(f"{name} {value.min().item():g} is negative, so states would grow; give 0 or more")
            object.__setattr__(self, name, value)
        if self.velocity is not None:
            object.__setattr__(self, "velocity", _per_axis(self.velocity))

    def basis(self, shape: tuple[int, ...], boundary: tuple[str, ...], channels: int, dt: Tensor | None = None) -> Grid:
        del dt  # any step will do
        grid = Grid(shape, boundary)
        _check_channels(self, channels)
        if self.velocity is not None:
            if self.velocity.shape[1] != len(shape):
                raise ValueError(
                    f"velocity has {self.velocity.shape[1]} components and the grid {len(shape)} axes; "
                    "give one for each"
                )
            for axis in (len(grid.shape) + mirror for mirror in grid.mirrors):
                if not self.velocity.is_meta and bool((self.velocity[:, axis] != 0).any()):
                    raise ValueError(
                        f"a velocity along axis {axis}, whose boundary is {grid.boundary[axis]}: a drift has no "
                        f"mirror image. Make the velocity 0 on axis {axis}, or its boundary periodic or padded"
                    )
        if self.correction is not None:
            _check_taps(self.correction, grid, "correction")
        return grid

    def change(self, grid: Grid, dt: Float[Tensor, "time #channel"] | None = None) -> Shaped[Tensor, "..."]:
        return powers.change(self.exponent(grid), dt)

    def power(self, grid: Grid, steps: Number | Float[Tensor, "*batch #channel"]) -> Shaped[Tensor, "..."]:
        return powers.exponential(self.exponent(grid), steps)

    def exponent(self, grid: Grid) -> Shaped[Tensor, "channel *spectrum"]:
        """g(w) in float64; real where nothing drifts."""
        decay, diffusivity = (_lead(value.double(), grid) for value in (self.decay, self.diffusivity))
        exponent = -decay - diffusivity * grid.squared_wavenumber(decay.device)
        if self.velocity is not None and grid.fourier:
            drift = 0
            for axis in grid.fourier:
                w = grid.wavenumbers(axis, decay.device)
                if grid.ring[axis] % 2 == 0:
                    w[grid.ring[axis] // 2] = 0
                drift = drift + _lead(self.velocity[:, axis].double(), grid) * grid.shaped(w, axis)
            exponent = torch.complex(*torch.broadcast_tensors(exponent, -drift))
        if self.correction is not None:
            total = _lead(self.correction.double().abs().flatten(1).sum(1), grid)
            passed = transfer(self.correction, grid)
            kept = (passed.real - total).clamp(max=0)  # is at most 0 but for rounding, which must not eat the decay
            exponent = exponent + (torch.complex(kept, passed.imag) if passed.is_complex() else kept)
        return exponent


@dataclass(frozen=True, eq=False)
class Kernel:
    """The transition that convolves with a kernel: h_t = taps * h_{t-1} + u_t, exactly those taps.

    (A * h)_i = sum_j taps_j h_{i - j}, j counted from index K // 2 of each axis: a tap behind the centre moves things
    towards larger indices. Any size, odd or even, one for each axis. States grow where the transfer function leaves
    the unit disc; sum |taps| < 1 keeps it inside on every grid.

    Args:
        taps: (channel, *K) or (1, *K).
    """

    taps: Float[Tensor, "channel *kernel"]

    def basis(self, shape: tuple[int, ...], boundary: tuple[str, ...], channels: int, dt: Tensor | None = None) -> Grid:
        grid = Grid(shape, boundary)
        _check_channels(self, channels)
        _check_taps(self.taps, grid, "kernel")
        if dt is not None and (dt.requires_grad or (dt.device.type == "cpu" and bool((dt != dt.round()).any()))):
            raise ValueError(
                "a kernel transition is one whole step of time: half a step has no real kernel. Give whole numbers "
                "without gradients as dt, or use a propagator"
            )
        return grid

    def change(self, grid: Grid, dt: Float[Tensor, "time #channel"] | None = None) -> Shaped[Tensor, "..."]:
        a = transfer(self.taps, grid)
        return (a if dt is None else powers.power(a, dt)) - 1

    def power(self, grid: Grid, steps: Number | Float[Tensor, "*batch #channel"]) -> Shaped[Tensor, "..."]:
        return powers.power(transfer(self.taps, grid), steps)


@dataclass(frozen=True, eq=False)
class Pointwise:
    """Complex scalars: a = exp(dt rate), the same in every voxel, as in S4D, S5 and ConvS5.

    Each voxel is a recurrence of its own, so nothing is transformed, boundaries do not matter, and the states are
    complex. |a| < 1 for every Re rate < 0. See `initial.py` for the rates of the literature.

    Args:
        rate: (channel,) complex or real, per unit of dt.
    """

    rate: Inexact[Tensor, "channel"]

    def basis(
        self, shape: tuple[int, ...], boundary: tuple[str, ...], channels: int, dt: Tensor | None = None
    ) -> Voxels:
        del dt  # any step will do
        Grid(shape, boundary)
        _check_channels(self, channels)
        return Voxels(shape)

    def change(self, grid: Voxels, dt: Float[Tensor, "time #channel"] | None = None) -> Shaped[Tensor, "..."]:
        return powers.change(self._exponent(grid), dt)

    def power(self, grid: Voxels, steps: Number | Float[Tensor, "*batch #channel"]) -> Shaped[Tensor, "..."]:
        return powers.exponential(self._exponent(grid), steps)

    def _exponent(self, grid: Voxels) -> Shaped[Tensor, "channel *spectrum"]:
        return _lead(self.rate.to(torch.complex128), grid).expand(-1, *grid.shape)


def tensors(transition: Transition) -> dict[str, Tensor]:
    """The tensors of a transition by name."""
    values = {field.name: getattr(transition, field.name) for field in dataclasses.fields(transition)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def of_channels(transition: Family, part: slice) -> Family:
    """The transition of some of the channels."""
    parts = {name: value[part] if value.shape[0] > 1 else value for name, value in tensors(transition).items()}
    return dataclasses.replace(transition, **parts)


def to_device(transition: Family, device: torch.device) -> Family:
    """The transition with its tensors on `device`."""
    return dataclasses.replace(transition, **{name: value.to(device) for name, value in tensors(transition).items()})


def transfer(taps: Float[Tensor, "channel *kernel"], grid: Grid) -> Shaped[Tensor, "channel *spectrum"]:
    """The transfer function of a kernel, float64: sum_j taps_j prod_axes exp(-i w j), cos(w j) on mirrored axes."""
    result = taps.double()
    for axis in range(-len(grid.shape), 0):
        reach = torch.arange(taps.shape[axis], dtype=torch.float64, device=taps.device) - taps.shape[axis] // 2
        phase = grid.wavenumbers(axis, taps.device)[:, None] * reach
        waves = torch.polar(torch.ones_like(phase), -phase) if axis in grid.fourier else torch.cos(phase)
        if waves.is_complex() or result.is_complex():
            waves, result = waves.to(torch.complex128), result.to(torch.complex128)
        result = torch.movedim(torch.tensordot(result, waves, dims=([axis], [1])), -1, axis)
    return result


def _lead(value: Shaped[Tensor, "channel"], grid: Grid | Voxels) -> Shaped[Tensor, "channel *ones"]:
    return value.reshape(-1, *[1] * len(grid.shape))


def _per_channel(value: PerChannel) -> Float[Tensor, "channel"]:
    value = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    return value.reshape(1) if value.ndim == 0 else value


def _per_axis(velocity: object) -> Float[Tensor, "channel axes"]:
    if isinstance(velocity, Tensor):
        return velocity if velocity.ndim == 2 else velocity.reshape(1, -1)
    parts = [_per_channel(v) for v in (velocity if isinstance(velocity, Sequence) else [velocity])]
    return torch.stack(torch.broadcast_tensors(*parts), dim=1)


def _check_channels(transition: Transition, channels: int) -> None:
    for name, value in tensors(transition).items():
        if value.shape[0] not in (1, channels):
            raise ValueError(
                f"{name} has {value.shape[0]} channels and the input {channels}; give one for each, or one for all"
            )


def _check_taps(taps: Float[Tensor, "channel *kernel"], grid: Grid, name: str) -> None:
    if taps.ndim - 1 != len(grid.shape):
        raise ValueError(f"the {name} has {taps.ndim - 1} axes and the grid {len(grid.shape)}; give one for each")
    for axis in (len(grid.shape) + mirror for mirror in grid.mirrors):
        if taps.is_meta:
            continue
        if taps.shape[axis + 1] % 2 == 0 or not _symmetric(taps, axis + 1):
            raise ValueError(
                f"the {name} is not symmetric along axis {axis}, whose boundary is {grid.boundary[axis]}: the basis of "
                f"that boundary holds symmetric kernels of odd size only. Make the {name} equal to its mirror image "
                f"on axis {axis}, or the axis's boundary periodic or padded"
            )


def _symmetric(taps: Float[Tensor, "channel *kernel"], axis: int) -> bool:
    """Equal to its mirror image, but for the rounding of whatever made it so."""
    difference = (taps - taps.flip(axis)).abs().max()
    return bool(difference <= 8 * torch.finfo(taps.dtype).eps * taps.abs().max())
