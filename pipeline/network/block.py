"""A block: a mixer, which alone looks along time, and a gated nonlinearity within each frame."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.network.encoder import Neighbours
from pipeline.network.settings import ModelSettings
from pipeline.volume import InputError
from ssm_ops.carry import Program
from ssm_ops.channels import mix
from ssm_ops.mixers.catalogue import mixer_named
from ssm_ops.mixers.mixer import Mixer

Chunks = list[Float[Tensor, "_ channel *grid"]]
Steps = list[Float[Tensor, "_"]]


class Block(nn.Module):
    """A mixer and a gated nonlinearity on its output, both added to the stream; the gate starts closed."""

    def __init__(self, settings: ModelSettings, boundary: tuple[str, ...]):
        super().__init__()
        channels = settings.channels
        self.mixer = mixer_of(settings, boundary)
        self.norm = RootMeanSquare(channels) if settings.norm else nn.Identity()
        self.value = within_frames(channels, settings.gate_taps, boundary)
        self.gate = within_frames(channels, settings.gate_taps, boundary)
        self.output = nn.Parameter(torch.zeros(channels, channels))

    def program(self, stream: Chunks, boundary: tuple[str, ...], steps: Steps | None = None) -> Program[Chunks]:
        """What leaves the block; see `Mixer.program`."""
        linear = yield from self.mixer.program(stream, boundary, steps)
        return [self.add(x, y) for x, y in zip(stream, linear, strict=True)]

    def add(
        self, x: Float[Tensor, "time channel *grid"], y: Float[Tensor, "time channel *grid"]
    ) -> Float[Tensor, "time channel *grid"]:
        """The stream, given the stream that entered and the mixer's output."""
        normal = self.norm(y)
        return x + y + mix(self.output, gated(*each_applied(self.value, self.gate, normal)))


class RootMeanSquare(nn.Module):
    """Divides each voxel by the root mean square of its channels, times a gain a channel; eps = 1e-5.

    RMSNorm (Zhang and Sennrich, "Root Mean Square Layer Normalization" (2019), equation 4). It looks at one voxel of
    one frame, so cuts of time do not matter.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x: Float[Tensor, "time channel *grid"]) -> Float[Tensor, "time channel *grid"]:
        gain = self.gain.reshape(-1, *[1] * (x.ndim - 2))
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-5) * gain


def within_frames(channels: int, taps: int, boundary: tuple[str, ...]) -> nn.Parameter | Neighbours:
    """What mixes the channels of each voxel: a matrix, or with 3 taps a convolution over its neighbours too."""
    if taps == 1:
        return nn.Parameter(torch.randn(channels, channels) / channels**0.5)
    return Neighbours(channels, channels, boundary)


def each_applied(
    value: Tensor | Neighbours, gate: Tensor | Neighbours, x: Float[Tensor, "time channel *grid"]
) -> tuple[Tensor, Tensor]:
    """What `within_frames` made twice, applied to the same; two convolutions as one, which is faster."""
    if isinstance(value, Neighbours):
        return value.convolved(x, torch.cat([value.weight, gate.weight])).chunk(2, 1)
    return mix(value, x), mix(gate, x)


def gated(value: Tensor, gate: Tensor) -> Tensor:
    """value * sigmoid(gate), the gated linear unit (Dauphin et al., 2017, equation 1)."""
    return value * torch.sigmoid(gate)


def mixer_of(settings: ModelSettings, boundary: tuple[str, ...]) -> Mixer:
    """The mixer that the settings ask for.

    Raises:
        InputError: They ask for one that does not fit the boundary.
    """
    try:
        return mixer_named(settings.mixer, settings.choices(boundary))
    except ValueError as error:
        raise InputError(f"the model's settings do not fit the data: {error}") from error
