"""S4ND: a state space for each axis, time among them; the kernel of all is the product of their kernels."""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from ssm_ops import powers
from ssm_ops.channels import per_channel
from ssm_ops.learned import LearnedPointwise
from ssm_ops.mixers.mixer import Frames
from ssm_ops.mixers.rates import held, log_uniform, stepped_rates
from ssm_ops.mixers.scanned import Scanned
from ssm_ops.transition import Pointwise

LONG = 1024
"""The ring on which the size of new kernels is taken: longer than they reach."""


class S4ND(Scanned):
    """Each channel convolved with k(t) k_1(z_1) ... k_d(z_d), one kernel an axis, and a gain: y = k * x + D x.

    Nguyen, Goel, Gu, Downs, Shah, Dao, Baccus, Re, "S4ND: Modeling Images and Videos as Multidimensional Signals with
    State Spaces" (2022), with the kernels of S4D (Gu, Gupta, Goel, Re, 2022). In time the kernel is causal,

        k(t) = Re sum_n C_n g_n exp(t rate_n),    h_t = exp(dt_t rate) h_{t-1} + g(dt_t) (k_1 ... k_d * x_t)

    which is a scan with g the zero-order hold (`rates.held`); along axes of space kernels look both ways, see
    `AxisKernel`. Channels do not mix; that is left to what follows, as there.

    Not as in the paper: kernels in space are not cut at the size of the grid but go on around periodic axes and are
    mirrored at the borders of all others; frequencies are not limited by band, but no state starts to turn by more than
    half a circle in a step; steps start between 0.01 and 1 frames (memories of 2 to 200) and 0.05 and 1 voxels (reaches
    of 2 to 40), one a channel, and rate times step is learned as one number; kernels have one term and not a sum of
    products; they start so that noise keeps its size.

    The carry is the complex states (channel x states, *grid). A frame costs N channels products for each voxel of each
    axis (dense matrices), and the scan's N channels states; every call makes the matrices anew, which costs channels
    states times the length of each axis. A training run holds of the order of 4 T N channels states numbers, a step as
    much with T = 1; nothing grows with the time that has passed.

    Args:
        channels: Channels of the input and of the output.
        states: Complex states of each channel and axis; of time in each voxel.
        axes: Axes of the grid.
        initial: The spectrum of all axes, of `rates.SPECTRA`.
    """

    def __init__(self, channels: int, states: int, axes: int, *, initial: str = "legs"):
        steps = log_uniform(channels, 1, least=0.01, most=1.0)
        rate = stepped_rates(initial, states, steps)
        super().__init__(channels * states, LearnedPointwise(rate.flatten()))
        C = torch.randn(2, channels, states)
        self.C = nn.Parameter(C / folded(rate, torch.complex(*C), LONG).norm(dim=-1).float()[:, None])
        self.D = nn.Parameter(torch.randn(channels))
        self.space = nn.ModuleList(AxisKernel(channels, states, initial) for _ in range(axes))

    def enters(
        self, x: Frames, boundary: tuple[str, ...], transition: Pointwise, dt: Float[Tensor, "time"] | None = None
    ) -> Complex[Tensor, "time state *grid"]:
        """The frames convolved in space, times the hold of each state of their channel."""
        x = x.to(self.kind)
        for axis, (kernel, name) in enumerate(zip(self.space, boundary, strict=True), start=2):
            lines = x.movedim(axis, 2).flatten(3)
            lines = torch.einsum("cij,tcjr->tcir", kernel(lines.shape[2], name), lines)
            x = lines.unflatten(3, x.movedim(axis, 2).shape[3:]).movedim(2, axis)
        gain = held(transition.rate, dt).to(self.kind.to_complex()).unflatten(-1, self.C.shape[1:])
        return (gain.reshape(*gain.shape, *[1] * len(boundary)) * x.to(self.kind)[:, :, None]).flatten(1, 2)

    def leaves(self, states: Complex[Tensor, "time state *grid"], x: Frames, boundary: tuple[str, ...]) -> Frames:
        """The outputs Re(C h_t) + D x_t, each channel of its own states."""
        own = states.unflatten(1, self.C.shape[1:]).flatten(3)
        y = (torch.complex(*self.C)[:, None] @ own).real.reshape(x.shape)
        return y + per_channel(self.D, x) * x


class AxisKernel(nn.Module):
    """The kernel of one axis of space for each channel, with states that look forward and states that look back.

        k(z) = Re sum_n C_n g_n exp(z rate_n), z >= 0        k(z) = Re sum_n C'_n g_n exp((-1 - z) rate_n), z < 0

    Args:
        channels: How many kernels.
        states: Complex rates of each.
        initial: The spectrum, of `rates.SPECTRA`.
    """

    def __init__(self, channels: int, states: int, initial: str):
        super().__init__()
        rate = stepped_rates(initial, states, log_uniform(channels, 1, least=0.05, most=1.0))
        self.family = LearnedPointwise(rate.flatten())
        self.C = nn.Parameter(torch.randn(2, 2, channels, states))  # forward and back, real and imaginary parts
        with torch.no_grad():
            self.C /= self.around(LONG).norm(dim=-1).float()[:, None]

    def around(self, period: int) -> Float[Tensor, "channel period"]:
        """The kernels on a ring, float64: sum_m k(z + m period), z = 0, 1, ..."""
        rate = self.family().rate.unflatten(0, self.C.shape[2:])
        forward, back = (folded(rate, torch.complex(*C), period) for C in self.C)
        return forward + back.flip(-1)

    def forward(self, size: int, boundary: str) -> Float[Tensor, "channel size size"]:
        """The matrices M_ij that the kernels are on an axis: k(i - j), and k from each image of j around or behind the
        borders, without end."""
        i = torch.arange(size, device=self.C.device)
        if boundary == "periodic":
            return self.around(size)[:, (i[:, None] - i) % size].to(self.C.dtype)
        kernel = self.around(2 * size)  # a mirrored field repeats after twice its size
        return (kernel[:, (i[:, None] - i) % (2 * size)] + kernel[:, i[:, None] + i + 1]).to(self.C.dtype)


def folded(
    rate: Complex[Tensor, "channel states"], C: Complex[Tensor, "channel states"], period: int
) -> Float[Tensor, "channel period"]:
    """sum_m Re sum_n C_n g_n exp((z + m period) rate_n), m = 0, 1, ..., float64; the sum over m is a geometric one."""
    rate = rate.to(torch.complex128)
    weight = C * held(rate) / -powers.change(rate, period)
    z = torch.arange(period, device=rate.device)
    return torch.einsum("cn,cnz->cz", weight, torch.exp(rate[..., None] * z)).real
