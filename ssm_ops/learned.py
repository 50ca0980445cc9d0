"""Transitions from free numbers: modules whose parameters may take any finite value, and |a(w)| < 1 at every frequency.

- Propagators: decay = softplus(raw) + MIN_DECAY and diffusivity = softplus(raw); drifts and corrections cannot raise
  |a| (see `Propagator`) and are bounded only so that they stay finite.
- Kernels: |a(w)| <= sum |taps| on every grid, and taps whose absolute sum reaches 1 are scaled down to 1 - MIN_DECAY.
- Pointwise rates: Re rate = -softplus(raw) - MIN_DECAY.
- Input-dependent steps are at least `SHORTEST`, so that a step still forgets.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Inexact
from torch import Tensor, nn
from torch.nn.functional import softplus

from ssm_ops.spectrum import MIRRORS
from ssm_ops.transition import Kernel, Pointwise, Propagator

MIN_DECAY = 1e-5
"""Added to every learned decay: keeps |a| below 1 in float32 whatever the raw parameter."""
SHORTEST = 0.01
"""The shortest step that an input can ask for."""
FASTEST = 100.0
"""Bound of velocities (voxels per unit of time) and of a correction's rates (per unit of time)."""
NO_DIFFUSIVITY = 1e-6
"""The diffusivity (voxels^2 per unit of time) of what does not diffuse: its raw parameter stays finite."""


class LearnedPropagator(nn.Module):
    """A `Propagator` from raw parameters.

    Args:
        decay: Initial decays, (channel,), larger than 1e-5 (`MIN_DECAY`).
        diffusivity: Initial diffusivities, (channel,), positive.
        boundary: The boundary of each axis, where drift or correction are learned: mirrored axes get no drift, and a
            correction that is symmetric along them.
        drift: Whether a velocity is learned, from zero.
        taps: The size of a learned correction, from zero, along every axis or along each; odd on mirrored axes.
            `None`: no correction.
    """

    def __init__(
        self,
        decay: Float[Tensor, "channel"],
        diffusivity: Float[Tensor, "channel"],
        boundary: tuple[str, ...] = (),
        *,
        drift: bool = False,
        taps: int | tuple[int, ...] | None = None,
    ):
        super().__init__()
        self.boundary = tuple(boundary)
        self.raw_decay = nn.Parameter(inverse_softplus(decay - MIN_DECAY))
        self.raw_diffusivity = nn.Parameter(inverse_softplus(diffusivity))
        axes, channels = len(self.boundary), len(decay)
        self.raw_velocity = nn.Parameter(decay.new_zeros(channels, axes)) if drift else None
        sizes = (taps,) * axes if isinstance(taps, int) else taps
        self.raw_correction = None if sizes is None else nn.Parameter(decay.new_zeros(channels, *sizes))

    def forward(self) -> Propagator:
        velocity = correction = None
        if self.raw_velocity is not None:
            free = [float(axis not in _mirrored(self.boundary)) for axis in range(len(self.boundary))]
            velocity = _bounded(self.raw_velocity) * self.raw_velocity.new_tensor(free)
        if self.raw_correction is not None:
            correction = _symmetric(_bounded(self.raw_correction), self.boundary)
        return Propagator(softplus(self.raw_decay) + MIN_DECAY, softplus(self.raw_diffusivity), velocity, correction)

    def only_decay(self, channel: int, decay: Float[Tensor, ""]) -> None:
        """Makes a channel decay at this rate and do nothing else (it diffuses by 1e-6 voxels^2 a step)."""
        self.decay_and_diffuse(channel, decay, torch.tensor(NO_DIFFUSIVITY))

    @torch.no_grad()
    def decay_and_diffuse(self, channel: int, decay: Float[Tensor, ""], diffusivity: Float[Tensor, ""]) -> None:
        """Makes a channel decay and diffuse at these rates and do nothing else; a diffusivity is 1e-6 at least."""
        self.raw_decay[channel] = inverse_softplus(decay - MIN_DECAY)
        self.raw_diffusivity[channel] = inverse_softplus(diffusivity.clamp(min=NO_DIFFUSIVITY))
        for still in (self.raw_velocity, self.raw_correction):
            if still is not None:
                still[channel] = 0


class LearnedKernel(nn.Module):
    """A `Kernel` from raw taps; scaled only where their absolute sum reaches 1.

    Args:
        taps: Initial taps, (channel, *K).
        boundary: The boundary of each axis; taps are made symmetric along mirrored ones.
    """

    def __init__(self, taps: Float[Tensor, "channel *kernel"], boundary: tuple[str, ...]):
        super().__init__()
        self.boundary = tuple(boundary)
        self.raw_taps = nn.Parameter(taps.clone())

    def forward(self) -> Kernel:
        taps = _symmetric(self.raw_taps, self.boundary)
        total = taps.double().abs().flatten(1).sum(1)
        scale = (1 - MIN_DECAY) / total.clamp(min=1 - MIN_DECAY)
        return Kernel(taps * scale.to(taps.dtype).reshape(-1, *[1] * (taps.ndim - 1)))

    @torch.no_grad()
    def only_decay(self, channel: int, decay: Float[Tensor, ""]) -> None:
        """Makes a channel decay at this rate and do nothing else."""
        self.raw_taps[channel] = 0
        self.raw_taps[channel][tuple(size // 2 for size in self.raw_taps.shape[1:])] = torch.exp(-decay)


class LearnedPointwise(nn.Module):
    """A `Pointwise` transition from raw decays and free frequencies.

    Args:
        rate: Initial rates, (channel,), real or complex, their real parts below -1e-5; see `initial.py`.
    """

    def __init__(self, rate: Inexact[Tensor, "channel"]):
        super().__init__()
        self.raw_decay = nn.Parameter(inverse_softplus(-rate.real - MIN_DECAY))
        self.frequency = nn.Parameter(rate.imag.clone() if rate.is_complex() else torch.zeros_like(rate))

    def forward(self) -> Pointwise:
        return Pointwise(torch.complex(-softplus(self.raw_decay) - MIN_DECAY, self.frequency))

    @torch.no_grad()
    def only_decay(self, channel: int, decay: Float[Tensor, ""]) -> None:
        """Makes a channel decay at this rate and do nothing else."""
        self.raw_decay[channel] = inverse_softplus(decay - MIN_DECAY)
        self.frequency[channel] = 0


class SelectiveSteps(nn.Module):
    """Steps that depend on the input: dt_t = 0.01 + softplus(weight mean(x_t) + bias).

    The mean is over space, so a step is the same for all voxels and the transition stays diagonal in frequency; it does
    depend on time. For `scan(x, transition, dt=steps(x))`, one step a channel, or for the states of a `ConvSSM`. After
    Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (2023), section 3.2, algorithm 2,
    with the mean over space in place of a token.

    Args:
        channels: Channels of the input.
        axes: Axes of the grid.
        states: How many steps a frame has; by default one a channel.
        step: The initial step, larger than 0.01 (`SHORTEST`).
    """

    def __init__(self, channels: int, axes: int, *, states: int | None = None, step: float = 1.0):
        super().__init__()
        self.axes = axes
        states = channels if states is None else states
        self.weight = nn.Parameter(torch.zeros(states, channels))
        self.bias = nn.Parameter(inverse_softplus(torch.full((states,), step - SHORTEST)))

    def forward(self, x: Float[Tensor, "*frames"]) -> Float[Tensor, "*steps"]:
        """The steps, in the precision of the weights, also under autocast: they are exponents of the transition."""
        with torch.autocast(x.device.type, enabled=False):
            mean = x.flatten(-self.axes).to(self.weight.dtype).mean(-1)
            return SHORTEST + softplus(nn.functional.linear(mean, self.weight, self.bias))


def inverse_softplus(value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return value + torch.log(-torch.expm1(-value))


def _bounded(raw: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return FASTEST * torch.tanh(raw / FASTEST)


def _mirrored(boundary: tuple[str, ...]) -> list[int]:
    return [axis for axis, name in enumerate(boundary) if name in MIRRORS]


def _symmetric(taps: Float[Tensor, "channel *kernel"], boundary: tuple[str, ...]) -> Float[Tensor, "channel *kernel"]:
    """The part of the taps that is its own mirror image along every mirrored axis."""
    for axis in _mirrored(boundary):
        taps = taps / 2 + taps.flip(axis + 1) / 2  # halves first: their sum cannot overflow
    return taps
