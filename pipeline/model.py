"""The forecaster: encoder, ConvSSM blocks, decoder, built on increments of the recent state.

The next frame is forecast as the present one plus an increment that depends on past differences alone. Adding a
constant to all frames adds it to the forecast: a climate warmer than any in training is no new territory. Where that
is not so, anomalies that fade, the forecast can be made of the frames themselves (`ModelSettings.reads`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.functional import pad

from pipeline.volume import InputError, Settings
from ssm_ops import Affine, ConvSSM, LocalExchange, SelectiveSteps, drive, learned_family
from ssm_ops.carry import Carry, Program
from ssm_ops.classes import Classes
from ssm_ops.families import check_choice
from ssm_ops.layer import mix

QUIET = 0.1
"""Scale of the initial features beside the average. Loud ones let the first steps of training leave it at once."""

Chunks = list[Float[Tensor, "_ channel *grid"]]


@dataclass(frozen=True)
class ModelSettings(Settings):
    """Settings of the forecaster.

    Attributes:
        channels: Channels of the stream that the blocks read and write.
        states: State channels of each ConvSSM layer.
        layers: ConvSSM layers.
        rate: The forecaster starts as the exponential average s_t = s_{t-1} + rate (x_t - s_{t-1}) and learns from
            there.
        reads: What the encoder reads: `differences` of each frame from the one before, and the forecast is the present
            frame plus an increment; or the frames' own `levels`, and nothing is added. A model of differences that
            learned nothing is persistence, one of levels is the mean of the training frames. The average of `rate`
            starts at the first frame with differences, at zero with levels.
        transition: What a step does to the states of each layer: `propagator` (decay and diffusion, continuous in
            time), `kernel` (a kernel for each state) or `pointwise` (complex rates, every voxel for itself).
        selective: Whether the input chooses how far each state moves at a step; not with kernels.
        drift: Whether propagators learn a velocity, along axes that are periodic.
        taps: The size of kernels along each axis (3 by default), or of a correction that propagators learn (none by
            default). Odd where an axis reflects.
    """

    channels: int = 8
    states: int = 16
    layers: int = 2
    rate: float = 0.2
    reads: Literal["differences", "levels"] = "differences"
    transition: str = "propagator"
    selective: bool = False
    drift: bool = False
    taps: int | None = None

    def __post_init__(self):
        for name in ("channels", "states", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give at least 1")
        if not 0 < self.rate < 1:
            raise ValueError(f"rate is {self.rate}; give a number between 0 and 1")
        check_choice(self.transition, selective=self.selective, drift=self.drift, taps=self.taps)


def exchanges(settings: ModelSettings) -> int:
    """Exchange points of a shard's program: the frame before the shard, then one carry a layer."""
    return 1 + settings.layers


class Forecaster(nn.Module):
    """One-step forecasts of a series of volumes.

    Args:
        settings: See `ModelSettings`.
        volume_channels: Channels of a frame, without masks.
        boundary: `periodic` or `reflect` for (depth, height, width).
        depth: Voxels in depth; a series of depth 1 is treated as images.
        masks: Further channels that tell where there is a value, read and not forecast: one for all channels, or one
            for each.

    Raises:
        InputError: The settings ask for a transition that does not fit the boundary.
    """

    def __init__(
        self, settings: ModelSettings, *, volume_channels: int, boundary: tuple[str, ...], depth: int, masks: int = 0
    ):
        super().__init__()
        self.settings, self.volume_channels, self.depth, self.masks = settings, volume_channels, depth, masks
        self.boundary = tuple(boundary) if depth > 1 else tuple(boundary[1:])
        self.encoder = Neighbours(volume_channels + masks, settings.channels, self.boundary)
        self.blocks = nn.ModuleList(Block(settings, self.boundary) for _ in range(settings.layers))
        self.decoder = Neighbours(settings.channels, volume_channels, self.boundary)
        self._start_as_exponential_average(settings.rate)

    def description(self) -> dict:
        """What `from_description` needs to build this model again, as JSON."""
        return {
            "model": asdict(self.settings),
            "volume_channels": self.volume_channels,
            "boundary": ["reflect"] * (3 - len(self.boundary)) + list(self.boundary),
            "depth": self.depth,
            "masks": self.masks,
        }

    @staticmethod
    def from_description(description: dict) -> Forecaster:
        return Forecaster(
            ModelSettings(**description["model"]),
            volume_channels=description["volume_channels"],
            boundary=tuple(description["boundary"]),
            depth=description["depth"],
            masks=description["masks"],
        )

    def program(self, chunks: Chunks) -> Program[Chunks]:
        """Forecasts for consecutive chunks (time, channel, depth, height, width) of one shard.

        Element t of a result, which has no masks, is the forecast of frame t + 1, made from frame t and what lies
        before it. Yields a summary at each of its `exchanges`; see `ssm_ops.carry`. Without a carry the frame before
        the first is taken to equal it.
        """
        frames = [chunk.squeeze(2) for chunk in chunks] if self.depth == 1 else chunks
        increments = yield from self._increments_of(frames)
        stream = [self.encoder(x) for x in increments]
        for block in self.blocks:
            stream = yield from block.program(stream, self.boundary)
        forecasts = [self.forecasts(x, y) for x, y in zip(frames, stream, strict=True)]
        return [f.unsqueeze(2) for f in forecasts] if self.depth == 1 else forecasts

    def forecasts(
        self, frames: Float[Tensor, "time read *grid"], stream: Float[Tensor, "time stream *grid"]
    ) -> Float[Tensor, "time channel *grid"]:
        """The frames that follow, from frames and what the blocks made of them."""
        if self.settings.reads == "levels":
            return self.decoder(stream)
        return frames[:, : self.volume_channels] + self.decoder(stream)

    def errors(
        self, forecasts: Float[Tensor, "time channel *grid"], frames: Float[Tensor, "time read *grid"]
    ) -> Float[Tensor, "time channel *grid"]:
        """Forecasts less the frames that came; zero where these have no value."""
        errors = forecasts - frames[:, : self.volume_channels]
        return errors * frames[:, self.volume_channels :] if self.masks else errors

    def valued(self, frames: Float[Tensor, "time read *grid"]) -> int:
        """How many voxels of the frames have a value, over all channels but the masks."""
        if not self.masks:
            return frames.numel()
        found = int(torch.count_nonzero(frames[:, self.volume_channels :]))
        return found * self.volume_channels // self.masks

    def increments(
        self, frames: Float[Tensor, "time read *grid"], before: Float[Tensor, "read *grid"]
    ) -> Float[Tensor, "time read *grid"]:
        """What the encoder reads of frames, given the frame before them: their differences, and the masks as they are.
        A difference from or to a missing value is zero. Of levels it reads the frames as they are."""
        if self.settings.reads == "levels":
            return frames
        earlier = torch.cat([before[None], frames[:-1]])
        if not self.masks:
            return frames - earlier
        data = slice(self.volume_channels)
        masks, were = frames[:, self.volume_channels :], earlier[:, self.volume_channels :]
        return torch.cat([(frames[:, data] - earlier[:, data]) * masks * were, masks], dim=1)

    def _increments_of(self, chunks: Chunks) -> Program[Chunks]:
        """Those of consecutive chunks. The frame before the shard is a carry with transition 0."""
        previous = yield Affine(0.0, chunks[-1][-1], sum(len(chunk) for chunk in chunks))
        previous = chunks[0][0] if previous is None else previous
        result = []
        for chunk in chunks:
            result.append(self.increments(chunk, previous))
            previous = chunk[-1]
        return result

    def power(self, point: int, shape: tuple[int, int, int], span: int) -> float | Shaped[Tensor, "state *spectrum"]:
        """What a run of time leaves of the carry of an exchange point, on (depth, height, width); the transition that a
        summary with that span has. Of a model whose input chooses no steps."""
        return 0.0 if point == 0 else self.blocks[point - 1].ssm.power(self._grid(shape), self.boundary, span)

    def classes(self, shape: tuple[int, int, int], tolerance: float) -> list[Classes]:
        """Which frequencies of each layer's carry must travel, on (depth, height, width).

        Raises:
            InputError: The input chooses the model's steps, and what decays how fast.
        """
        if tolerance > 0 and self.settings.selective:
            raise InputError(
                f"a carry tolerance of {tolerance:g} for a selective model, whose input chooses what decays how fast; "
                "leave carry_tolerance out"
            )
        return [block.ssm.classes(self._grid(shape), self.boundary, tolerance) for block in self.blocks]

    def carry_bytes(self, shape: tuple[int, int, int], tolerance: float = 0.0) -> list[int]:
        """Bytes of what is sent of the carry of each exchange point, on (depth, height, width)."""
        frame = (self.volume_channels + self.masks) * math.prod(shape) * self.encoder.weight.dtype.itemsize
        grid = self._grid(shape)
        return [frame, *(block.ssm.carry_bytes(grid, self.boundary, tolerance) for block in self.blocks)]

    def _grid(self, shape: tuple[int, int, int]) -> tuple[int, ...]:
        return shape[1:] if self.depth == 1 else shape

    def forward(
        self, frames: Float[Tensor, "time read depth height width"], carries: list[Carry] | None = None
    ) -> tuple[Float[Tensor, "time channel depth height width"], list[Carry]]:
        """Forecasts of one run of time in one process, and the carries that continue it."""
        exchange = LocalExchange(carries)
        (forecasts,) = drive(self.program([frames]), exchange)
        return forecasts, exchange.next_shard()

    @torch.no_grad()
    def _start_as_exponential_average(self, rate: float) -> None:
        """Sets the first stream channels (one a volume channel) and states so that the forecast is the average.

        With d_t = x_t - x_{t-1} and r = 1 - rate, the average is x_t - r sum_k r^k d_{t-k}: state k of the first layer
        decays by r and holds rate * sum r^k B d, so B = -r / rate gives the sum; D = -1 takes the encoder's d out. Of
        levels it is the state itself, B = 1.
        """
        memory = 1 - rate
        gain = 1.0 if self.settings.reads == "levels" else -memory / rate
        first = self.blocks[0].ssm
        for matrix in (self.encoder.weight, *(m for block in self.blocks for m in (block.ssm.B, block.ssm.C))):
            matrix.mul_(QUIET)
        for channel in range(min(self.volume_channels, self.settings.channels, self.settings.states)):
            for conv in (self.encoder, self.decoder):
                conv.weight[channel] = 0
                conv.weight[channel, channel].view(-1)[conv.centre] = 1
            first.start_average(channel, decay=-torch.log(torch.tensor(memory)), gain=gain)
            first.D[channel] = -1
            for block in self.blocks[1:]:
                block.ssm.C[channel] = 0


class Block(nn.Module):
    """A ConvSSM layer and a gated nonlinearity on its output, both added to the stream; the gate starts closed."""

    def __init__(self, settings: ModelSettings, boundary: tuple[str, ...]):
        super().__init__()
        channels = settings.channels
        self.ssm = state_space_layer(settings, boundary)
        self.value = nn.Parameter(torch.randn(channels, channels) / channels**0.5)
        self.gate = nn.Parameter(torch.randn(channels, channels) / channels**0.5)
        self.output = nn.Parameter(torch.zeros(channels, channels))

    def program(self, stream: Chunks, boundary: tuple[str, ...]) -> Program[Chunks]:
        linear = yield from self.ssm.program(stream, boundary)
        return [self.add(x, y) for x, y in zip(stream, linear, strict=True)]

    def add(
        self, x: Float[Tensor, "time channel *grid"], y: Float[Tensor, "time channel *grid"]
    ) -> Float[Tensor, "time channel *grid"]:
        """The stream, given the stream that entered and the layer's output."""
        return x + y + mix(self.output, gated(mix(self.value, y), mix(self.gate, y)))


def state_space_layer(settings: ModelSettings, boundary: tuple[str, ...]) -> ConvSSM:
    """The ConvSSM layer that the settings ask for."""
    channels, states = settings.channels, settings.states
    try:
        family = learned_family(settings.transition, states, boundary, drift=settings.drift, taps=settings.taps)
    except ValueError as error:
        raise InputError(f"the model's settings do not fit the data: {error}") from error
    steps = SelectiveSteps(channels, len(boundary), states=states) if settings.selective else None
    return ConvSSM(channels, states, family, steps=steps)


class Neighbours(nn.Module):
    """A convolution over each voxel's nearest neighbours, 3 taps an axis, that respects the boundary of each axis.

    For 3 taps the half-sample even extension of a reflecting axis repeats the border voxel.
    """

    def __init__(self, inputs: int, outputs: int, boundary: tuple[str, ...]):
        super().__init__()
        taps = 3 ** len(boundary)
        self.boundary, self.centre = boundary, taps // 2
        self.weight = nn.Parameter(torch.randn(outputs, inputs, *[3] * len(boundary)) / (inputs * taps) ** 0.5)

    def forward(self, x: Float[Tensor, "time channel *grid"]) -> Float[Tensor, "time out *grid"]:
        axes = len(self.boundary)
        for axis, name in enumerate(self.boundary):
            widths = [0, 0] * (axes - 1 - axis) + [1, 1] + [0, 0] * axis
            x = pad(x, widths, mode="circular" if name == "periodic" else "replicate")
        return (nn.functional.conv2d if axes == 2 else nn.functional.conv3d)(x, self.weight)


def gated(value: Tensor, gate: Tensor) -> Tensor:
    """value * sigmoid(gate), the gated linear unit (Dauphin et al., 2017, equation 1)."""
    return value * torch.sigmoid(gate)
