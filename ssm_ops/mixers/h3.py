"""H3: two state-space systems a channel, and products between them, that can find what followed something before."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d

from ssm_ops.channels import mix, per_channel
from ssm_ops.initial import s4d_lin
from ssm_ops.mixers.diagonal import SteppedRates, from_systems, random_steps, to_systems
from ssm_ops.mixers.mixer import Frames, Mixer
from ssm_ops.scanning import scan


class H3(Mixer):
    """q, k, v = Q u, K u, V u; output O (q * diagonal(shift(k) * v)), every voxel for itself.

    `shift` is a system whose A moves each state to the next: its states are the last S values of k, and its output is
    sum_i c_i k_{t-i}, i < S, with learned c. `diagonal` is that of `s4d.S4D`, x' = A x + u, 2 Re(C x) + D u, held over
    each frame, with rates from S4D-Lin and a learned step a channel.

    Fu, Dao, Saab, Thomas, Rudra, Re, "Hungry Hungry Hippos: Towards Language Modeling with State Space Models" (2023).
    Left out: heads of more than one channel, in which shift(k) v^T is a matrix; a D of `shift`, which is its c_0; the
    norm before the layer, so the output goes with the third power of the input. Differently: states are scanned, and
    `shift` is a sum over its S taps, where the paper has FFTs.

    The carry is (channel, S - 1 + 2 S, *grid): the last S - 1 values of k, the oldest first; the real parts of the
    diagonal states; the imaginary ones. Zeros are values of k that are zero, as before the beginning.

    With C channels, S states, T frames, N voxels: a run takes time (C S + C^2) T N and memory C S T N, a step the same
    of one frame, the carry C S N.

    Args:
        channels: Of the input and of the output.
        states: Of each of the two systems of a channel; of the diagonal one complex, conjugates not counted.
    """

    def __init__(self, channels: int, states: int):
        super().__init__()
        self.family = SteppedRates(s4d_lin(states).repeat(channels, 1), random_steps(channels, 1))
        self.QKV = nn.Parameter(torch.randn(3 * channels, channels) / math.sqrt(channels))
        self.O = nn.Parameter(torch.randn(channels, channels) / math.sqrt(channels))
        self.taps = nn.Parameter(torch.randn(channels, states) / math.sqrt(states))
        self.C = nn.Parameter(torch.randn(2, channels, states) / math.sqrt(2))
        self.D = nn.Parameter(torch.randn(channels))

    def through(
        self, x: Frames, boundary: tuple[str, ...], carry: Float[Tensor, "channel part *grid"]
    ) -> tuple[Frames, Float[Tensor, "channel part *grid"]]:
        channels, states = self.taps.shape
        q, k, v = mix(self.QKV, x).to(self.kind).chunk(3, dim=1)
        before, real, imag = carry.split([states - 1, states, states], dim=1)
        keys = torch.cat([before, k.movedim(0, 1)], dim=1)
        product = self.shift(keys) * v
        held, entering = self.family.held(), torch.complex(real, imag).flatten(0, 1)
        found, left = scan(
            to_systems(held, product), self.family(), boundary=boundary, carry=entering, backend="spectral"
        )
        y = from_systems(self.C, found) + per_channel(self.D, x) * product
        left = left.unflatten(0, (channels, states))
        return mix(self.O, q * y), torch.cat([keys[:, len(x) :], left.real, left.imag], dim=1)

    def shift(self, keys: Float[Tensor, "channel all *grid"]) -> Float[Tensor, "time channel *grid"]:
        """sum_i c_i k_{t-i} of frames and the S - 1 before them, in the precision of the weights."""
        with torch.autocast(keys.device.type, enabled=False):
            summed = conv2d(keys.flatten(2)[None], self.taps.flip(1)[:, None, :, None], groups=len(keys))
        return summed[0].unflatten(2, keys.shape[2:]).movedim(0, 1)

    def carry_form(self, shape: tuple[int, ...], boundary: tuple[str, ...]) -> tuple[tuple[int, ...], torch.dtype]:
        channels, states = self.taps.shape
        return (channels, 3 * states - 1, *shape), self.kind
