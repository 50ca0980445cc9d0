"""The convolutional state-space model: h_t = A * h_{t-1} + B x_t, y_t = C h_t + D x_t."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Inexact
from torch import Tensor, nn

from ssm_ops.channels import as_real, mix, per_channel
from ssm_ops.families import learned_family
from ssm_ops.learned import SelectiveSteps
from ssm_ops.mixers.mixer import Frames
from ssm_ops.mixers.scanned import Scanned
from ssm_ops.transition import Kernel, Pointwise, Transition


class ConvSSM(Scanned):
    """A convolutional state-space layer: h_t = A^dt_t * h_{t-1} + s_t B x_t, y_t = C h_t + D x_t.

    A is a transition of any family, one a state channel; B and C are pointwise matrices, D a gain a channel. What a
    step takes from its input, s_t, is `taken`: a state is never larger than its inputs, and as large where the
    transition keeps most. The states of a `Pointwise` transition are complex and y_t = Re(C h_t) + D x_t with a complex
    C (Gu, Gupta, Goel, Re, "On the Parameterization and Initialization of Diagonal State Space Models" (2022); Smith
    et al., "Convolutional State Space Models for Long-Range Spatiotemporal Modeling" (2023)); it is held as one real
    matrix on the real and the imaginary parts of h. B is real: the phase of a state is C's to learn.

    The carry is the spectrum of the states, (state, *spectrum); of `Pointwise` ones (state, *grid), complex. A run of T
    frames of N voxels takes O(T N states (log N + channels)) time, without the logarithm of `Pointwise`, and training
    holds O(T N (channels + states)) numbers; a step is a run of one frame. The size of a kernel does not matter: it is
    its transfer function that is multiplied.

    Under `torch.autocast` the products with B and C are made in the lower precision; steps, scan and carry stay in that
    of the weights.

    Args:
        channels: Channels of the input and of the output.
        states: State channels.
        family: A module that returns the transition of `states` channels, see `learned.py` and `learned_family`. By
            default decay and diffusion: memories of 1 to 20 steps and diffusivities laid out on a grid.
        steps: Makes the layer selective: dt_t is `steps(x_t)`, one a state. Without it dt_t is 1.

    Raises:
        ValueError: Steps are given with a family of kernels.
    """

    def __init__(
        self, channels: int, states: int, family: nn.Module | None = None, *, steps: SelectiveSteps | None = None
    ):
        super().__init__(states, learned_family("propagator", states) if family is None else family, steps)
        parts = 2 * states if isinstance(self.family(), Pointwise) else states
        self.B = nn.Parameter(torch.randn(states, channels) / math.sqrt(channels))
        self.C = nn.Parameter(torch.randn(channels, parts) / math.sqrt(parts))
        self.D = nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def start_average(self, channel: int, *, decay: Float[Tensor, ""], gain: float) -> None:
        """Makes output `channel` start as `gain` times the exponential average of input `channel`, undiffused."""
        self.family.only_decay(channel, decay)
        self.B[channel], self.C[channel] = 0, 0
        self.B[channel, channel], self.C[channel, channel] = gain, 1

    @torch.no_grad()
    def start_state(self, state: int, *, reads: int, decay: Float[Tensor, ""], diffusivity: Float[Tensor, ""]) -> None:
        """Makes a state start as the average of input channel `reads` alone, over times of 1 / `decay` steps, diffused
        on the way by `diffusivity` voxels^2 a step; of propagators. No output reads it before `C` says so."""
        self.family.decay_and_diffuse(state, decay, diffusivity)
        self.B[state], self.C[:, state] = 0, 0
        self.B[state, reads] = 1

    def enters(
        self,
        x: Frames,
        boundary: tuple[str, ...],
        transition: Transition,
        dt: Float[Tensor, "time"] | Float[Tensor, "time state"] | None = None,
    ) -> Float[Tensor, "time state *grid"]:
        """The offsets s_t B x_t."""
        if dt is None:
            return mix(self.B * taken(transition)[:, None], x)
        return mix(self.B * taken(transition, dt)[..., None].to(self.B.dtype), x)

    def leaves(self, states: Inexact[Tensor, "time state *grid"], x: Frames, boundary: tuple[str, ...] = ()) -> Frames:
        """The outputs C h_t + D x_t, of complex states Re(C h_t) + D x_t."""
        return mix(self.C, as_real(states)) + per_channel(self.D, x) * x


def taken(
    transition: Transition, dt: Float[Tensor, "time"] | Float[Tensor, "time state"] | None = None
) -> Float[Tensor, "*frames state"]:
    """What a step takes from its input: 1 - m^dt, with m the most that a step of 1 keeps of any frequency, |a(w)| <= m.

    m is exp(-decay) for a propagator, exp(Re rate) for pointwise rates, sum |taps| for a kernel. So a state is never
    larger than the largest of its inputs, in root mean square over space. A constant input gives a state of its size
    where the transition keeps constants best (decay, diffusion and drift; taps and corrections that are not negative),
    an oscillation does where the rate is its own. For a decay alone this is the zero-order hold, exact for inputs that
    are constant over each step, whatever its length (`discretize.zero_order_hold`); with steps that the input chooses
    it is a gate, h_t = (1 - g_t) h_{t-1} + g_t x_t (Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective
    State Spaces" (2023), theorem 1).
    """
    if dt is not None and dt.ndim == 1:
        dt = dt[:, None]
    if isinstance(transition, Kernel):
        kept = transition.taps.abs().flatten(1).sum(1)
        return 1 - (kept if dt is None else kept**dt)
    decay = -transition.rate.real if isinstance(transition, Pointwise) else transition.decay
    return -torch.expm1(-decay if dt is None else -decay * dt)
