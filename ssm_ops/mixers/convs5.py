"""ConvS5: linear states of fields that decay and turn in every voxel, kernels in space before and behind them."""

from __future__ import annotations

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from ssm_ops.channels import as_real, per_channel
from ssm_ops.learned import LearnedPointwise
from ssm_ops.mixers.mixer import Frames
from ssm_ops.mixers.rates import held, log_uniform, stepped_rates
from ssm_ops.mixers.scanned import Scanned
from ssm_ops.mixers.weights import kernel_sizes
from ssm_ops.spatial import convolved
from ssm_ops.transition import Pointwise


class ConvS5(Scanned):
    """h_t = exp(dt_t rate) h_{t-1} + g(dt_t) B * x_t, y_t = Re(C * h_t) + D x_t, with B and C complex kernels in space.

    Smith, De Mello, Kautz, Linderman, Byeon, "Convolutional State Space Models for Long-Range Spatiotemporal Modeling"
    (2023), after S5 (Smith, Warrington, Linderman, 2023). The transition is a diagonal of complex scalars, the same in
    every voxel; g is the zero-order hold, see `rates.held`. Rates start from the spectrum of HiPPO-LegS's normal part,
    one of each conjugate pair, or another, times steps drawn log-uniformly.

    Not as in the papers: steps start between 0.01 and 1 frames, memories of 2 to 200 frames, where S5 has 0.001 to 0.1,
    for windows of frames are tens long and not thousands; rate times step is learned as one number; there is one
    spectrum and no blocks of it; B is scaled by -Re rate, so that no state outgrows its input. Beyond the border lies
    what the boundary says. What is around the layer (normalisation, nonlinearity, skip connections) is a block's.

    The carry is the complex states (state, *grid). A frame costs 4 N channels states taps^axes products and the scan's
    N states, in training and as a step. A training run holds of the order of 6 T N states numbers, a step as much with
    T = 1; nothing grows with the time that has passed.

    Args:
        channels: Channels of the input and of the output.
        states: Complex states of each voxel.
        axes: Axes of the grid.
        taps: The size of B and C along each axis, an odd number; 3 by default.
        initial: The spectrum, of `rates.SPECTRA`.
    """

    def __init__(self, channels: int, states: int, axes: int, *, taps: int | None = None, initial: str = "legs"):
        steps = log_uniform(states, least=0.01, most=1.0)
        super().__init__(states, LearnedPointwise(stepped_rates(initial, states, steps)))
        sizes = kernel_sizes(taps, axes)
        into, out_of = channels * math.prod(sizes), 2 * states * math.prod(sizes)
        self.B = nn.Parameter(torch.randn(2 * states, channels, *sizes) / math.sqrt(2 * into))
        self.C = nn.Parameter(torch.randn(channels, 2 * states, *sizes) / math.sqrt(out_of))
        self.D = nn.Parameter(torch.randn(channels))

    def enters(
        self, x: Frames, boundary: tuple[str, ...], transition: Pointwise, dt: Float[Tensor, "time"] | None = None
    ) -> Complex[Tensor, "time state *grid"]:
        """The offsets g(dt_t) B * x_t."""
        entering = convolved(x.to(self.kind), self.B, boundary).to(self.kind)
        gain = held(transition.rate, dt).to(self.kind.to_complex())
        return gain.reshape(*gain.shape, *[1] * len(boundary)) * torch.complex(*entering.chunk(2, 1))

    def leaves(self, states: Complex[Tensor, "time state *grid"], x: Frames, boundary: tuple[str, ...]) -> Frames:
        """The outputs Re(C * h_t) + D x_t; C is held as one real kernel on the real and the imaginary parts of h."""
        return convolved(as_real(states), self.C, boundary) + per_channel(self.D, x) * x
