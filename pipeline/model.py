"""The model: encoder, ConvSSM blocks, decoder; one network for forecasts, denoising, and maps of frames to others.

A forecast is the present frame plus an increment. Where that depends on differences between frames alone, adding a
constant to all frames adds it to the forecast: a climate warmer than any in training is no new territory. Where that is
not so, anomalies that fade, the forecast can be made of the frames themselves (`ModelSettings.reads`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from pipeline.network.block import Block, Chunks, Steps, each_applied, gated, within_frames
from pipeline.network.decoder import Decoder
from pipeline.network.encoder import Neighbours, patches_of
from pipeline.network.settings import ModelSettings
from pipeline.volume import InputError
from ssm_ops import Affine, LocalExchange, drive
from ssm_ops.carry import Carry, Program
from ssm_ops.channels import mix
from ssm_ops.classes import Classes

QUIET = 0.1
"""Scale of the initial features beside the average. Loud ones let the first steps of training leave it at once."""


def exchanges(settings: ModelSettings) -> int:
    """Exchange points of a shard's program: the frame before the shard, then one carry a layer."""
    return 1 + settings.layers


class Forecaster(nn.Module):
    """Makes a frame of each frame of a series and those before it.

    Args:
        settings: See `ModelSettings`.
        volume_channels: Channels of a frame that is read, without masks.
        boundary: `periodic` or `reflect` for (depth, height, width).
        depth: Voxels in depth; a series of depth 1 is treated as images.
        masks: Further channels that tell where there is a value, read and not made: one for all channels, or one
            for each.
        outputs: Channels of the target; forecasts make what they read.
        unit: How long a step of 1 is, where steps are uneven; see `pipeline.elapsed`.
        labels: With classes, the numbers (a, b) by which a normalised target is the label a * target + b.

    Raises:
        InputError: The settings ask for a transition that does not fit the boundary.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        volume_channels: int,
        boundary: tuple[str, ...],
        depth: int,
        masks: int = 0,
        outputs: int | None = None,
        unit: float | None = None,
        labels: tuple[float, float] | None = None,
    ):
        super().__init__()
        self.settings, self.volume_channels, self.depth, self.masks = settings, volume_channels, depth, masks
        self.outputs = volume_channels if outputs is None else outputs
        self.unit, self.labels = unit, labels
        self.boundary = tuple(boundary) if depth > 1 else tuple(boundary[1:])
        read = volume_channels * (2 if settings.reading == "both" else 1) + masks + settings.gaps
        made = self.outputs if settings.classes is None else settings.classes
        self.encoder = Neighbours(read, settings.channels, self.boundary, settings.patch, settings.patch_taps)
        self.blocks = nn.ModuleList(Block(settings, self.boundary) for _ in range(settings.layers))
        self.decoder = Decoder(
            settings.channels, made, self.boundary, settings.patch, settings.upsampling, settings.patch_taps
        )
        self.later = nn.ModuleList()
        if settings.bidirectional:
            self.later.extend(Block(settings, self.boundary) for _ in range(settings.layers))
            self.meeting = Meeting(settings, self.boundary)
        self._start()

    def description(self) -> dict:
        """What `from_description` needs to build this model again, as JSON."""
        return {
            "model": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.settings).items()},
            "volume_channels": self.volume_channels,
            "boundary": ["reflect"] * (3 - len(self.boundary)) + list(self.boundary),
            "depth": self.depth,
            "masks": self.masks,
            "outputs": self.outputs,
            "unit": self.unit,
            "labels": None if self.labels is None else list(self.labels),
        }

    @staticmethod
    def from_description(description: dict) -> Forecaster:
        return Forecaster(
            ModelSettings(**{k: tuple(v) if isinstance(v, list) else v for k, v in description["model"].items()}),
            volume_channels=description["volume_channels"],
            boundary=tuple(description["boundary"]),
            depth=description["depth"],
            masks=description["masks"],
            outputs=description["outputs"],
            unit=description["unit"],
            labels=None if description["labels"] is None else tuple(description["labels"]),
        )

    def program(self, chunks: Chunks, steps: Steps | None = None, behind: Behind | None = None) -> Program[Chunks]:
        """What the model makes of consecutive chunks (time, channel, depth, height, width) of one shard.

        Element t of a result, which has no masks, is made from frame t and what lies before it (`bidirectional`: also
        behind it); of forecasts it is frame t + 1. Yields a summary at each of its `exchanges`; see `ssm_ops.carry`.
        Without a carry the frame before the first is taken to equal it.

        Args:
            chunks: The frames.
            steps: The time from the frame before to each frame, one tensor a chunk; `None` is 1, `inf` forgets what
                was before.
            behind: What a model that looks both ways knows of the frames behind the shard; by default there are none.
        """
        frames = self._images(chunks)
        stream = yield from self._through(self.blocks, frames, steps)
        if self.settings.bidirectional:
            behind = behind or Behind()
            back = drive(self.mirrored(chunks, behind.steps), LocalExchange(behind.carries))
            stream = [self.meeting(x, y) for x, y in zip(stream, back, strict=True)]
        made = [self.frames_of(x, y) for x, y in zip(frames, stream, strict=True)]
        return [f.unsqueeze(2) for f in made] if self.depth == 1 else made

    def mirrored(self, chunks: Chunks, steps: Steps | None = None) -> Program[Chunks]:
        """The stream of the second stack of blocks, which runs from the last frame to the first; in the frames' order.

        A program as `program` is one, for which what lies behind a shard comes first: shards are run from the last to
        the first. `steps` are here the times from each frame to the one behind it.
        """
        frames = [chunk.flip(0) for chunk in reversed(self._images(chunks))]
        steps = None if steps is None else [own.flip(0) for own in reversed(steps)]
        stream = yield from self._through(self.later, frames, steps)
        return [chunk.flip(0) for chunk in reversed(stream)]

    def _through(self, blocks: Iterable[Block], frames: Chunks, steps: Steps | None) -> Program[Chunks]:
        read = yield from self._read(frames, steps)
        stream = [self.encoder(x) for x in read]
        for block in blocks:
            stream = yield from block.program(stream, self.boundary, steps)
        return stream

    def _images(self, chunks: list[Tensor]) -> list[Tensor]:
        """The chunks without an axis of depth, where there is one voxel of it."""
        return [chunk.squeeze(2) for chunk in chunks] if self.depth == 1 else chunks

    def frames_of(
        self, frames: Float[Tensor, "time read *grid"], stream: Float[Tensor, "time stream *patches"]
    ) -> Float[Tensor, "time made *grid"]:
        """The frames that are made, from those read and what the blocks made of them."""
        made = self.decoder.to_frames(stream, tuple(frames.shape[2:]))
        return frames[:, : self.volume_channels] + made if self.settings.adds else made

    def losses(
        self, made: Float[Tensor, "time made *grid"], target: Float[Tensor, "time target *grid"]
    ) -> Float[Tensor, "time channel *grid"]:
        """What training makes small, of each voxel: the squared error, or of labels the cross-entropy; zero where the
        target, by the masks behind it, has no value.

        Raises:
            InputError: A label is none of the classes.
        """
        if self.settings.classes is None:
            return self.errors(made, target).square()
        masks = target[:, self.outputs :]
        found = nn.functional.cross_entropy(made, self.labelled(target), reduction="none").unsqueeze(1)
        return found * masks if masks.shape[1] else found

    def labelled(self, target: Float[Tensor, "time target *grid"]) -> Int[Tensor, "time *grid"]:
        """The labels of target frames; 0 where there is no value.

        Raises:
            InputError: A label is none of the classes.
        """
        scale, offset = self.labels
        labels = (target[:, 0] * scale + offset).round().long()
        if target.shape[1] > 1:
            labels = torch.where(target[:, 1] > 0, labels, 0)
        low, high = (int(labels.min()), int(labels.max())) if labels.numel() else (0, 0)
        if low < 0 or high >= self.settings.classes:
            raise InputError(
                f"the target has labels from {low} to {high} and the model {self.settings.classes} classes, 0 to "
                f"{self.settings.classes - 1}; set classes to {max(high + 1, 2)}, or number the labels from 0"
            )
        return labels

    def errors(
        self, made: Float[Tensor, "time channel *grid"], target: Float[Tensor, "time target *grid"]
    ) -> Float[Tensor, "time channel *grid"]:
        """What was made less the target; zero where that, by the masks behind it, has no value."""
        errors, masks = made - target[:, : self.outputs], target[:, self.outputs :]
        return errors * masks if masks.shape[1] else errors

    def valued(self, target: Float[Tensor, "time target *grid"]) -> int:
        """How many voxels of target frames have a value, over all channels but the masks."""
        masks = target[:, self.outputs :]
        if not masks.shape[1]:
            return target.numel()
        return int(torch.count_nonzero(masks)) * self.outputs // masks.shape[1]

    def read(
        self,
        frames: Float[Tensor, "time read *grid"],
        before: Float[Tensor, "read *grid"],
        steps: Float[Tensor, "time"] | None = None,
    ) -> Float[Tensor, "time input *grid"]:
        """What the encoder reads of frames, given the frame before them: differences, or levels, or both; and the
        masks as they are. A difference from or to a missing value is zero, and so is one from what is forgotten. Where
        there may be gaps, see `gap`, they are zero, and a further channel is 1 in all other frames."""
        if self.settings.reading == "levels":
            return _told(frames) if self.settings.gaps else frames
        earlier = torch.cat([before[None], frames[:-1]])
        data = slice(self.volume_channels)
        differences = frames[:, data] - earlier[:, data]
        masks, were = frames[:, self.volume_channels :], earlier[:, self.volume_channels :]
        if self.masks:
            differences = differences * masks * were
        if steps is not None:
            differences = torch.where(_column(torch.isinf(steps), frames), 0, differences)
        parts = [differences, *([frames[:, data]] if self.settings.reading == "both" else []), masks]
        return torch.cat(parts, dim=1) if len(parts) > 2 or self.masks else differences

    def _read(self, chunks: Chunks, steps: Steps | None) -> Program[Chunks]:
        """`read` of consecutive chunks. The frame before the shard is a carry with transition 0."""
        last = torch.nan_to_num(chunks[-1][-1]) if self.settings.gaps else chunks[-1][-1]  # 0 times NaN is not 0
        previous = yield Affine(0.0, last, sum(len(chunk) for chunk in chunks))
        previous = chunks[0][0] if previous is None else previous
        result = []
        for number, chunk in enumerate(chunks):
            result.append(self.read(chunk, previous, None if steps is None else steps[number]))
            previous = chunk[-1]
        return result

    def power(self, point: int, shape: tuple[int, int, int], span: int) -> float | Shaped[Tensor, "state *spectrum"]:
        """What a run of time leaves of the carry of an exchange point, on (depth, height, width); the transition that a
        summary with that span has. Of a model whose input chooses no steps."""
        return 0.0 if point == 0 else self.blocks[point - 1].mixer.power(self.grid(shape), self.boundary, span)

    def classes(self, shape: tuple[int, int, int], tolerance: float) -> list[Classes]:
        """Which frequencies of each layer's carry must travel, on (depth, height, width).

        Raises:
            InputError: The input chooses the model's steps, and what decays how fast.
        """
        if tolerance > 0 and not self.settings.side_by_side:
            raise InputError(
                f"a carry tolerance of {tolerance:g} for a model whose mixer is {self.settings.mixer!r}, whose carry "
                "has no frequencies that could stay; leave carry_tolerance out"
            )
        if tolerance > 0 and self.settings.selective:
            raise InputError(
                f"a carry tolerance of {tolerance:g} for a selective model, whose input chooses what decays how fast; "
                "leave carry_tolerance out"
            )
        return [block.mixer.classes(self.grid(shape), self.boundary, tolerance) for block in self.blocks]

    def carry_bytes(self, shape: tuple[int, int, int], tolerance: float = 0.0) -> list[int]:
        """Bytes of what is sent of the carry of each exchange point, on (depth, height, width)."""
        frame = (self.volume_channels + self.masks) * math.prod(shape) * self.encoder.weight.dtype.itemsize
        grid = self.grid(shape)
        mixers, boundary = [block.mixer for block in self.blocks], self.boundary
        if tolerance > 0:
            return [frame, *(mixer.sent_bytes(grid, boundary, tolerance) for mixer in mixers)]
        return [frame, *(mixer.carry_bytes(grid, boundary) for mixer in mixers)]

    def grid(self, shape: tuple[int, int, int]) -> tuple[int, ...]:
        """The grid of the states, one voxel a patch, on frames of (depth, height, width).

        Raises:
            InputError: The patches do not fit the frames.
        """
        return patches_of(shape[1:] if self.depth == 1 else shape, self.boundary, self.settings.patch)

    def forward(
        self,
        frames: Float[Tensor, "time read depth height width"],
        carries: list[Carry] | None = None,
        steps: Float[Tensor, "time"] | None = None,
        behind: Behind | None = None,
    ) -> tuple[Float[Tensor, "time channel depth height width"], list[Carry]]:
        """What is made of one run of time in one process, and the carries that continue it."""
        exchange = LocalExchange(carries)
        (made,) = drive(self.program([frames], None if steps is None else [steps], behind), exchange)
        return made, exchange.next_shard()

    @torch.no_grad()
    def _start(self) -> None:
        """Sets what training starts from: of forecasts the exponential average; else, or where that does not fit, what
        is near a model that has learned nothing."""
        settings = self.settings
        needed = self.volume_channels * settings.patch ** len(self.boundary)
        most = min(settings.channels, settings.states)
        able = settings.task == "forecast" and settings.mixer == "convssm"
        if able and (settings.patch == 1 or (needed <= most and settings.upsampling == "transposed")):
            self._start_as_exponential_average(settings.rate, min(needed, most))
        else:
            self.decoder.weight.mul_(QUIET)

    def _start_as_exponential_average(self, rate: float, numbers: int) -> None:
        """Sets the first stream channels (one for each number of a patch) and states so that the forecast is the
        average.

        With d_t = x_t - x_{t-1} and r = 1 - rate, the average is x_t - r sum_k r^k d_{t-k}: state k of the first layer
        decays by r and holds rate * sum r^k B d, so B = -r / rate gives the sum; D = -1 takes the encoder's d out. Of
        levels it is the state itself, B = 1.
        """
        memory, patch, axes = 1 - rate, self.settings.patch, len(self.boundary)
        gain = 1.0 if self.settings.reading == "levels" else -memory / rate
        first = self.blocks[0].mixer
        for matrix in (self.encoder.weight, *(m for block in self.blocks for m in (block.mixer.B, block.mixer.C))):
            matrix.mul_(QUIET)
        for number in range(numbers):
            channel, *place = np.unravel_index(number, (self.volume_channels, *[patch] * axes))
            self.encoder.weight[number] = 0
            self.encoder.weight[(number, channel, *(patch * self.encoder.beside + offset for offset in place))] = 1
            self.decoder.weight[number] = 0
            self.decoder.weight[(number, number, *[self.decoder.beside] * axes)] = 1
            first.start_average(number, decay=-torch.log(torch.tensor(memory)), gain=gain)
            first.D[number] = -1
            for block in self.blocks[1:]:
                block.mixer.C[number] = 0


@dataclass(frozen=True)
class Behind:
    """What lies behind a shard, for a model that looks both ways.

    Attributes:
        carries: What `Forecaster.mirrored` leaves of the frames behind; `None` where there are none.
        steps: The time from each frame of the shard to the one behind it, one tensor a chunk; `None` is 1.
    """

    carries: list[Carry] | None = None
    steps: Steps | None = None


class Meeting(nn.Module):
    """The sum of both streams, and a gated nonlinearity of both; it starts as the sum."""

    def __init__(self, settings: ModelSettings, boundary: tuple[str, ...]):
        super().__init__()
        channels = settings.channels
        self.value = within_frames(2 * channels, settings.gate_taps, boundary)
        self.gate = within_frames(2 * channels, settings.gate_taps, boundary)
        self.output = nn.Parameter(torch.zeros(channels, 2 * channels))

    def forward(
        self, earlier: Float[Tensor, "time channel *grid"], later: Float[Tensor, "time channel *grid"]
    ) -> Float[Tensor, "time channel *grid"]:
        both = torch.cat([earlier, later], dim=1)
        return earlier + later + mix(self.output, gated(*each_applied(self.value, self.gate, both)))


def gap(like: Float[Tensor, "*frames"]) -> Float[Tensor, "*frames"]:
    """Frames that were not seen: all NaN."""
    return torch.full_like(like, math.nan)


def _told(frames: Float[Tensor, "time read *grid"]) -> Float[Tensor, "time told *grid"]:
    """Frames, gaps as zeros, with a further channel that is 1 where a frame was seen."""
    seen = _column(~torch.isnan(frames.flatten(1)[:, 0]), frames)
    return torch.cat([torch.where(seen, frames, 0), seen.expand_as(frames[:, :1]).to(frames.dtype)], dim=1)


def _column(frames: Bool[Tensor, "time"], like: Float[Tensor, "time channel *grid"]) -> Bool[Tensor, "time *one"]:
    """One value a frame, to be broadcast against frames."""
    return frames.reshape(-1, *[1] * (like.ndim - 1))
