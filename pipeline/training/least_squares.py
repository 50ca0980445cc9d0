"""A start of training by least squares: how the first layer's states are read, fitted in closed form.

Forecasts are affine in the readout of the first layer's states, y_t = C h_t + D x_t, as long as nothing behind it bends
them, and at the start nothing does: gates are closed and later layers are not read. So the best readout for the
training frames is a ridge regression, and no seed matters (but for the levels below, which are drawn). The states are a
bank: averages over several times and widths (`ConvSSM.start_state`).

What the frames of training cannot show is told apart. Steady years, or anomalies from the frames' own mean, have no
level and no trend that lasts, and reward slow averages that lag behind one. Adding random ones to the frames,

    x_t + level z + trend s t,   z ~ N(0, 1) each voxel, s ~ N(0, 1) each channel,

adds to the expected squared error that of z or s t alone, since forecasts are linear: two more runs of frames.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from pipeline.model import Forecaster
from pipeline.splits import Span
from pipeline.storage import store
from pipeline.volume import SPACE, InputError, Settings

LONGEST = 1e4
"""Frames of the longest memory; a learned decay has a least value, `ssm_ops.learned.MIN_DECAY`."""
TOGETHER = 16
"""Frames that go through the model at a time."""

Frames = Float[Tensor, "time read depth height width"]


@dataclass(frozen=True)
class LeastSquares(Settings):
    """How the readout of the first layer starts.

    Attributes:
        memories: Times that states average over, in frames: a state keeps exp(-1 / memory) in a step.
        diffusivities: How fast they diffuse, in voxels^2 a step. A state of memory m and diffusivity k forgets a wave
            shorter than about 2 pi sqrt(m k) voxels sooner than the longer ones. Each channel of the data has a state
            for each memory and each diffusivity.
        ridge: Penalty on the squares of the readout's numbers, as a share of the mean square of what each of them
            multiplies. It pulls towards the forecast of a model that learned nothing, see `ModelSettings.reads`.
        level: Standard deviation of a random level of each voxel, in normalised units; matters with `reads: levels`.
        trend: Standard deviation of a random trend, the same everywhere in a channel, in normalised units a frame.
    """

    memories: tuple[float, ...] = (1.0, 4.0, 16.0)
    diffusivities: tuple[float, ...] = (0.0, 3.0, 100.0)
    ridge: float = 0.01
    level: float = 0.0
    trend: float = 0.0

    def __post_init__(self):
        if not self.memories or not all(0 < memory <= LONGEST for memory in self.memories):
            raise ValueError(
                f"memories are {self.memories}; give one or more positive numbers of frames, {LONGEST:g} at most"
            )
        if not self.diffusivities or not all(0 <= value < math.inf for value in self.diffusivities):
            raise ValueError(f"diffusivities are {self.diffusivities}; give one or more numbers from 0 on")
        for name in ("ridge", "level", "trend"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 or more")

    @property
    def bank(self) -> list[tuple[float, float]]:
        """The memory and the diffusivity of each state of a channel."""
        return list(itertools.product(self.memories, self.diffusivities))


@torch.no_grad()
def start_by_least_squares(
    model: Forecaster,
    settings: LeastSquares,
    path: Path,
    spans: Sequence[Span],
    *,
    window: int,
    burn_in: int,
    seed: int,
) -> None:
    """Lays out the bank in the first states of the model, and fits how they are read; the rest stays as it is.

    Args:
        path: The prepared store.
        spans: The training periods. The state is empty at the first frame of each.
        window: Frames of a run that is a level or a trend alone.
        burn_in: First frames of a period or a run that are not scored.
        seed: Of the levels.

    Raises:
        InputError: The model has too few channels or states, or a transition other than propagators.
    """
    readout = Readout(model, settings)
    sums = [products(readout, read_period(path, span), burn_in) for span in spans]
    equations = sum(sums[1:], sums[0]).mean()
    sizes = store.open_volume(path, spans[0].series).sizes
    frame = (model.volume_channels, *(sizes[axis] for axis in SPACE))
    known = torch.ones(window, model.masks, *frame[1:])
    for run in displacements(settings, frame, window, seed):
        chunks = (torch.cat([run[part], known[part]], dim=1) for part in parts(window))
        equations += products(readout, chunks, burn_in).mean()
    readout.choose(equations.solution(settings.ridge))


class Readout:
    """The numbers that are fitted: of each data channel, how its forecast reads its own states and the present frame.

    Args:
        model: Gets the bank; all numbers are zero then.
    """

    def __init__(self, model: Forecaster, settings: LeastSquares):
        self.model, self.bank, self.ssm = model, settings.bank, model.blocks[0].mixer
        refuse_misfit(model, self.bank)
        for channel in range(model.volume_channels):
            for state, (memory, diffusivity) in zip(self._states(channel), self.bank, strict=True):
                scales = {"decay": torch.tensor(1 / memory), "diffusivity": torch.tensor(float(diffusivity))}
                self.ssm.start_state(state, reads=channel, **scales)
        self.choose(torch.zeros(len(self), dtype=torch.float64))

    def __len__(self) -> int:
        return self.model.volume_channels * (len(self.bank) + 1)

    def choose(self, numbers: Float64[Tensor, "numbers"]) -> None:
        """Reads by these numbers; with all of them zero the model is one that learned nothing. D = -1 takes out what
        the block adds its output to."""
        for channel, own in enumerate(numbers.reshape(self.model.volume_channels, -1)):
            self.ssm.C[channel] = 0
            self.ssm.C[channel, list(self._states(channel))] = own[1:].to(self.ssm.C.dtype)
            self.ssm.D[channel] = own[0] - 1

    def _states(self, channel: int) -> range:
        return range(channel * len(self.bank), (channel + 1) * len(self.bank))


def refuse_misfit(model: Forecaster, bank: Sequence[tuple[float, float]]) -> None:
    """Refuses a bank that the model has no place for."""
    settings, channels = model.settings, model.volume_channels
    for name, plain in (("mixer", "convssm"), ("task", "forecast"), ("patch", 1), ("uneven", False)):
        if getattr(settings, name) != plain:
            raise InputError(
                f"start fits how states are read where the model is linear in frames of its own grid, and {name} is "
                f"{getattr(settings, name)!r}; set it to {plain!r}, or leave start out"
            )
    if settings.reading == "both":
        raise InputError("start fits models that read differences or levels, and this one reads both; choose one")
    if settings.transition != "propagator":
        raise InputError(
            f"start gives decays and diffusivities, and the model's transition is {settings.transition!r}; set it to "
            "propagator, or leave start out"
        )
    if settings.channels < channels or settings.states < channels * len(bank):
        raise InputError(
            f"start lays out {len(bank)} states for each of {channels} channels of the data, and the model has "
            f"{settings.states} states and {settings.channels} channels; set states to at least {channels * len(bank)} "
            f"and channels to at least {channels}, or give fewer memories or diffusivities"
        )


@dataclass(frozen=True)
class Products:
    """Sums over voxels, of which `count` have a value: of products of what each number of a readout adds to the
    forecast, and of these with what a model that learned nothing lacks."""

    gram: Float64[Tensor, "number number"]
    aim: Float64[Tensor, "number"]
    count: int

    def __add__(self, other: Products) -> Products:
        return Products(self.gram + other.gram, self.aim + other.aim, self.count + other.count)

    def mean(self) -> Products:
        """A voxel's share; zero where none has a value."""
        count = max(self.count, 1)
        return Products(self.gram / count, self.aim / count, 1)

    def solution(self, ridge: float) -> Float64[Tensor, "number"]:
        """The numbers with the least mean square error plus ridge: (G + ridge diag G) numbers = aim. Those of which
        nothing depends are zero."""
        penalised = self.gram + ridge * torch.diag(self.gram.diagonal())
        return torch.linalg.lstsq(penalised, self.aim[:, None], driver="gelsd").solution[:, 0]


def products(readout: Readout, chunks: Iterable[Frames], burn_in: int) -> Products:
    """Those of one run of frames, whose chunks share a frame with the next; forecasts from the first `burn_in` frames
    do not count."""
    model, size = readout.model, len(readout)
    probes = torch.cat([torch.zeros(1, size), torch.eye(size)]).double()
    carries: list = [None] * len(probes)
    sums = Products(torch.zeros(size, size).double(), torch.zeros(size).double(), 0)
    for frames in chunks:
        came, errors = frames[1:], []
        for number, probe in enumerate(probes):
            readout.choose(probe)
            forecasts, carries[number] = model(frames[:-1], carries[number])
            errors.append(model.errors(forecasts, came)[burn_in:].flatten().double())
        added = torch.stack(errors[1:]) - errors[0]
        sums += Products(added @ added.T, -added @ errors[0], model.valued(came[burn_in:]))
        burn_in = max(0, burn_in - len(came))
    return sums


def read_period(path: Path, span: Span) -> Iterator[Frames]:
    """The frames of a period, in `parts`."""
    for part in parts(span.stop - span.start):
        yield torch.from_numpy(store.read_frames(path, span.series, span.start + part.start, span.start + part.stop))


def parts(frames: int) -> Iterator[slice]:
    """Of so many frames, `TOGETHER` to be forecast from at a time and the one that follows them."""
    for first in range(0, frames - 1, TOGETHER):
        yield slice(first, min(first + TOGETHER, frames - 1) + 1)


def displacements(
    settings: LeastSquares, frame: tuple[int, int, int, int], window: int, seed: int
) -> Iterator[Float[Tensor, "time channel depth height width"]]:
    """Runs of `window` frames that are a level alone, another at each voxel, and a trend alone; those that are asked
    for. A trend of one standard deviation stands for all: errors of linear forecasts go with its square."""
    if settings.level:
        levels = np.random.default_rng(seed).standard_normal(frame, np.float32)
        yield settings.level * torch.from_numpy(levels).expand(window, *frame)
    if settings.trend:
        yield settings.trend * torch.arange(window, dtype=torch.float32).reshape(-1, 1, 1, 1, 1).expand(-1, *frame)
