"""The ConvSSM layer: h_t = A * h_{t-1} + B x_t, y_t = C h_t + D x_t, as a program over chunks of time."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ssm_ops.affine import Affine
from ssm_ops.carry import Program
from ssm_ops.learned import MIN_DECAY, LearnedPropagator, inverse_softplus
from ssm_ops.scan import final_carry, scan
from ssm_ops.transition import Propagator


class ConvSSM(nn.Module):
    """A convolutional state-space layer whose states are averages over many memories and many widths.

    The transition is a `Propagator` a state channel; B, C are pointwise matrices, D a gain a channel. The offset is
    scaled by 1 - exp(-decay), the zero-order hold of a pure decay, so that a constant input gives a state of its size.

    Args:
        channels: Channels of the input and of the output.
        states: State channels; their memories (1 to `longest` steps) and diffusivities are laid out on a grid.
        longest: The longest initial memory, in steps.
    """

    def __init__(self, channels: int, states: int, *, longest: float = 20.0):
        super().__init__()
        memory, diffusivity = initial_scales(states, longest)
        self.family = LearnedPropagator(1 / memory, diffusivity)
        self.B = nn.Parameter(torch.randn(states, channels) / math.sqrt(channels))
        self.C = nn.Parameter(torch.randn(channels, states) / math.sqrt(states))
        self.D = nn.Parameter(torch.zeros(channels))

    def transition(self) -> Propagator:
        return self.family()

    @torch.no_grad()
    def start_average(self, channel: int, *, decay: Float[Tensor, ""], gain: float) -> None:
        """Makes output `channel` start as `gain` times the exponential average of input `channel`, undiffused."""
        self.family.raw_decay[channel] = inverse_softplus(decay - MIN_DECAY)
        self.family.raw_diffusivity[channel] = inverse_softplus(torch.tensor(1e-6))
        self.B[channel], self.C[channel] = 0, 0
        self.B[channel, channel], self.C[channel, channel] = gain, 1

    def program(
        self, chunks: list[Float[Tensor, "_ channel *grid"]], boundary: tuple[str, ...]
    ) -> Program[list[Float[Tensor, "_ channel *grid"]]]:
        """The outputs of consecutive chunks of one shard. Yields the shard's summary once, is sent its carry.

        The carry is the spectrum (state, *spectrum) of the state before the first frame, in the input's precision.
        """
        transition = self.transition()
        project = self.B * -torch.expm1(-transition.decay)[:, None]
        offsets = [mix(project, x) for x in chunks]

        final = None
        for u in offsets:
            final = final_carry(u, transition, boundary=boundary, carry=final)
        grid = transition.basis(tuple(chunks[0].shape[2:]), tuple(boundary), len(project))
        power = transition.power(grid, sum(x.shape[0] for x in chunks)).to(final.dtype)

        carry = yield Affine(power, final)

        gain = self.D.reshape(-1, *[1] * len(grid.shape))
        outputs = []
        for u, x in zip(offsets, chunks, strict=True):
            states, carry = scan(u, transition, boundary=boundary, carry=carry, backend="spectral")
            outputs.append(mix(self.C, states) + gain * x)
        return outputs


def mix(
    matrix: Float[Tensor, "out channel"], x: Float[Tensor, "time channel *grid"]
) -> Float[Tensor, "time out *grid"]:
    """The same matrix applied to the channels of every voxel."""
    return (matrix @ x.flatten(2)).unflatten(2, x.shape[2:])


def initial_scales(states: int, longest: float) -> tuple[Float[Tensor, "states"], Float[Tensor, "states"]]:
    """Memories (steps) and diffusivities (voxels^2 a step) of the states: logarithmic grids, memory running slowest."""
    widths = min(4, states)
    memories = math.ceil(states / widths)
    memory = torch.logspace(0, math.log10(longest), memories).repeat_interleave(widths)[:states]
    diffusivity = torch.tensor([0.001, 0.1, 0.5, 2.0])[:widths].repeat(memories)[:states]
    return memory, diffusivity
