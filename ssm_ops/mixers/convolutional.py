"""Convolutions over the neighbours of a voxel in space and, where there is a span, in the time behind it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv3d

from ssm_ops.channels import mix, per_channel
from ssm_ops.mixers.mixer import Frames, Mixer
from ssm_ops.mixers.weights import kernel_sizes
from ssm_ops.spatial import extended

SIZE_OF_GATED = 0.34
"""The root mean square of tanh(a) sigmoid(b) for a, b normal of variance 1 (0.1155 is its square)."""


class Convolution(Mixer):
    """A gated layer of convolutions that sees the last `span` frames, the present one among them.

    z_t = tanh(W * x) sigmoid(V * x), y_t = C z_t + c, with biases in both and * the convolution

        (W * x)_t = sum_{s < span} W_s * x_{t - s}    W_s a kernel in space, boundary of each axis respected

    3-D for images over time (Tran et al., "Learning Spatiotemporal Features with 3D Convolutional Networks" (2015)),
    4-D for volumes, causal in time and gated as van den Oord et al., "WaveNet: A Generative Model for Raw Audio"
    (2016), equation 2. Of WaveNet there are no dilations, no skip connections (a block has one around it); of C3D
    neither pooling nor its symmetric look into the future. With a span of 1 each frame is a convolution by itself:
    nothing is looked at in time, which is the control for all that does.

    The carry is the last span - 1 frames, the oldest first, (span - 1, channel, *grid); zeros are what lies before the
    first frame. With a span of 1 it is empty, (0,).

    A frame costs N span taps^axes channels filters products, in training and as a step; a training run holds T N
    (channels + 5 filters) numbers, a step span N channels.

    Args:
        channels: Channels of the input and of the output.
        filters: Channels of z.
        axes: Axes of the grid.
        span: Frames that are seen.
        taps: Voxels that are seen along each axis, an odd number; 3 by default.
    """

    def __init__(self, channels: int, filters: int, axes: int, *, span: int, taps: int | None = None):
        super().__init__()
        sizes = kernel_sizes(taps, axes)
        seen = span * channels * math.prod(sizes)
        self.channels, self.span = channels, span
        self.kernels = nn.Parameter(torch.randn(span, 2 * filters, channels, *sizes) / math.sqrt(seen))
        self.bias = nn.Parameter(torch.zeros(2 * filters))
        self.output = nn.Parameter(torch.randn(channels, filters) / (SIZE_OF_GATED * math.sqrt(filters)))
        self.output_bias = nn.Parameter(torch.zeros(channels))

    def through(
        self, x: Frames, boundary: tuple[str, ...], carry: Float[Tensor, "..."]
    ) -> tuple[Frames, Float[Tensor, "..."]]:
        seen = x if self.span == 1 else torch.cat([carry, x])
        reach = self.kernels.shape[-1] // 2
        wide = extended(seen, boundary, reach, (reach,) * len(boundary))
        convolve = conv2d if len(boundary) == 2 else conv3d
        total = None
        for s, kernel in enumerate(self.kernels):  # frames of the span; time is parallel within each
            first = self.span - 1 - s
            own = convolve(wide[first : first + len(x)], kernel, self.bias if s == 0 else None)
            total = own if total is None else total + own
        value, gate = total.chunk(2, dim=1)
        y = mix(self.output, torch.tanh(value) * torch.sigmoid(gate))
        return y + per_channel(self.output_bias, x), carry if self.span == 1 else seen[len(x) :]

    def carry_form(self, shape: tuple[int, ...], boundary: tuple[str, ...]) -> tuple[tuple[int, ...], torch.dtype]:
        return ((0,) if self.span == 1 else (self.span - 1, self.channels, *shape)), self.kind
