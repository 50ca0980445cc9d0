"""What members with a diagonal A share: rates with a learned step, the hold of an input over it, a system a channel.

x' = A x + B u, y = 2 Re(C x), with A diagonal and complex; of each conjugate pair only one state is held, therefore
twice the real part. Time passes at its own pace for each channel or state, a learned `step` a frame, the papers' Delta,
and the input is held constant over it: a = exp(step A), and what enters is (a - 1) / A B u.
"""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float, Inexact
from torch import Tensor, nn
from torch.nn.functional import softplus

from ssm_ops import powers
from ssm_ops.learned import MIN_DECAY, inverse_softplus
from ssm_ops.mixers.rates import log_uniform
from ssm_ops.transition import Pointwise

STEPS = (0.001, 0.1)
"""Between which steps are drawn, evenly in the logarithm, in units of A's time; those of S4, S4D and S5."""


class SteppedRates(nn.Module):
    """A `Pointwise` transition from rates of their own unit of time and learned steps: exp(step A).

    Re A = -softplus(raw) - MIN_DECAY, Im A free, step = exp(raw). Real rates stay real: they have no Im A to learn.

    Args:
        rate: The rates A at the beginning, their real parts below -1e-5.
        step: The steps at the beginning, of a shape that broadcasts against that of the rates.
    """

    def __init__(self, rate: Inexact[Tensor, "*shape"], step: Float[Tensor, "*steps"]):
        super().__init__()
        self.raw_decay = nn.Parameter(inverse_softplus(-rate.real - MIN_DECAY).to(step.dtype))
        self.frequency = nn.Parameter(rate.imag.to(step.dtype)) if rate.is_complex() else None
        self.raw_step = nn.Parameter(torch.log(step))

    @property
    def step(self) -> Float[Tensor, "*steps"]:
        return torch.exp(self.raw_step)

    def rate(self) -> Complex[Tensor, "*shape"]:
        """A, per unit of its own time."""
        decay = softplus(self.raw_decay) + MIN_DECAY
        return torch.complex(-decay, torch.zeros_like(decay) if self.frequency is None else self.frequency)

    def forward(self) -> Pointwise:
        return Pointwise((self.step * self.rate()).flatten())

    def held(self, dt: Float[Tensor, "time"] | None = None) -> Complex[Tensor, "frames *shape"]:
        """What an input adds to a state that it is held for: (exp(dt step A) - 1) / A; one frame for all without dt."""
        rate = self.rate().to(torch.complex128)
        exponent = (self.step * rate).flatten()
        change = powers.change(exponent, None if dt is None else dt[:, None])
        return (change.unflatten(-1, rate.shape) / rate).reshape(-1, *rate.shape).to(self.raw_decay.dtype.to_complex())


def random_steps(*shape: int) -> Float[Tensor, "*steps"]:
    """Steps of `STEPS`, drawn evenly in the logarithm."""
    return log_uniform(*shape, least=STEPS[0], most=STEPS[1])


def to_systems(
    held: Complex[Tensor, "#time channel state"], u: Float[Tensor, "time channel *grid"]
) -> Complex[Tensor, "time channel_state *grid"]:
    """The offsets of one system a channel: each input channel to all states of its own."""
    weights = held.reshape(*held.shape, *[1] * (u.ndim - 2))
    return (weights * u[:, :, None]).flatten(1, 2)


def from_systems(
    C: Float[Tensor, "part channel state"], x: Complex[Tensor, "time channel_state *grid"]
) -> Float[Tensor, "time channel *grid"]:
    """The outputs of one system a channel, 2 Re(sum_n C_n x_n); C in real and imaginary parts, or real parts alone."""
    real, *rest = C
    weights = torch.complex(real, rest[0] if rest else torch.zeros_like(real))
    systems = x.flatten(2).unflatten(1, real.shape)
    return 2 * (weights[:, None] @ systems).real.squeeze(2).unflatten(2, x.shape[2:])
