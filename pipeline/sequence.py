"""What the command `scan` scans: the settings, and a store's data with all that workers must know of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.grid import natural_boundary
from pipeline.storage import arrays, store
from pipeline.transitions import propagator
from pipeline.volume import AXES, DATA, SPACE, InputError, Shard
from ssm_ops import Propagator
from ssm_ops.carry import Place
from ssm_ops.classes import Classes


@dataclass(frozen=True)
class FilterSettings:
    """What is to be computed.

    Attributes:
        decay, diffusivity, velocity: See `ssm_ops.Propagator`; per unit of dt, voxels^2, voxels along each axis.
        boundary: For (depth, height, width), or (height, width) of images; `None` for what the data call for.
        dt: The time between frames.
        dt_from_time: Instead: the differences of the time coordinate over their median, both within runs.
        join_runs: Whether the scan goes on across the borders of runs; by default each begins from a state of zero.
        chunk: Frames of a stored chunk; by default so many that it has about the bytes of the input's.
        carry_tolerance: See `ssm_ops.classes`; 0 is exact.
    """

    decay: float
    diffusivity: float = 0.0
    velocity: tuple[float, ...] | None = None
    boundary: tuple[str, ...] | None = None
    dt: float = 1.0
    dt_from_time: bool = False
    join_runs: bool = False
    chunk: int | None = None
    carry_tolerance: float = 0.0

    def __post_init__(self):
        if not 0 <= self.carry_tolerance < 1:
            raise InputError(f"a carry tolerance of {self.carry_tolerance:g}; give 0 (exact), or a number below 1")
        if not 0 < self.dt < math.inf:
            raise InputError(f"a step of time of {self.dt:g}; give a positive number")
        if self.dt_from_time and self.dt != 1.0:
            raise InputError("both dt and dt from the time coordinate; give one of them")


@dataclass(frozen=True)
class Sequence4D:
    """The input as it will be scanned, and what everybody must know of it.

    Attributes:
        source: The store.
        output: The folder of the unfinished result.
        shape: (time, channel, depth, height, width).
        boundary: For each axis of the grid: images have two.
        transition: What a unit of time does.
        steps: The time from the frame before to each, float64, infinite where a run begins; `None` where all are 1.
        shards: Of each strand.
        parts: The channels of each strand.
        dtype: Of the states.
        tolerance: See `FilterSettings.carry_tolerance`.
        threads: Of a worker.
        earlier: A result of the first frames alone, which this one continues.
        kept: How many frames that has; its whole chunks are this one's.
    """

    source: Path
    output: Path
    shape: tuple[int, ...]
    boundary: tuple[str, ...]
    transition: Propagator
    steps: np.ndarray | None
    shards: list[Shard]
    parts: list[slice]
    dtype: str
    tolerance: float
    threads: int
    earlier: Path | None = None
    kept: int = 0

    @property
    def grid_shape(self) -> tuple[int, ...]:
        return self.shape[3:] if self.images else self.shape[2:]

    @property
    def data(self) -> Path:
        """The store that will be the result; the carries lie in it too."""
        return self.output / "data.zarr"

    @property
    def images(self) -> bool:
        return len(self.boundary) == 2

    @property
    def shortest(self) -> float:
        """The shortest step of time."""
        return 1.0 if self.steps is None else float(self.steps.min())

    def steps_of(self, shard: Shard) -> np.ndarray | None:
        """The steps of a shard's frames; `None` where all are 1."""
        steps = None if self.steps is None else self.steps[shard.start : shard.stop]
        return None if steps is None or (steps == 1).all() else steps

    def span(self, shard: Shard) -> int | float:
        """The time from the state before a shard to its last; infinite where a run begins in it."""
        steps = self.steps_of(shard)
        return shard.stop - shard.start if steps is None else float(steps.sum())

    def describe(self, place: Place) -> str:
        """A shard in words."""
        shard, part = self.shards[place.index], self.parts[place.strand]
        channels = f", channels {part.start} to {part.stop - 1}" if len(self.parts) > 1 else ""
        return f"frames {shard.start} to {shard.stop - 1}{channels}"

    def classes(self, part: slice) -> Classes:
        channels = part.stop - part.start
        grid = self.transition.basis(self.grid_shape, self.boundary, channels)
        return Classes(self.transition, grid, channels, self.tolerance, self.shortest)

    def as_scanned(self, frames: np.ndarray) -> np.ndarray:
        """Frames of the source in the type of the states, zeros where something is missing."""
        frames = frames.astype(self.dtype, copy=False)
        missing = np.isnan(frames)
        return np.where(missing, 0, frames).astype(self.dtype, copy=False) if missing.any() else frames

    def name(self, strand: int) -> str:
        part = self.parts[strand]
        return f"channels-{part.start:04d}-{part.stop - 1:04d}"


def open_input(source: Path):
    """The store to be scanned, as it is there.

    Raises:
        InputError: There is none, or it has no array `data` with the axes of a volume.
    """
    if not arrays.is_store(source):
        raise InputError(f"{source} is no Zarr store; `chronovox run` with an ingest stage makes one of an archive")
    volume = store.open_undecoded(source)
    if DATA not in volume or volume[DATA].dims != AXES:
        found = f"an array {DATA!r} with the axes {volume[DATA].dims}" if DATA in volume else f"no array {DATA!r}"
        raise InputError(f"{source} cannot be scanned: it has {found}; rename or transpose it to {', '.join(AXES)}")
    if volume[DATA].dtype.kind not in "fiu" or 0 in volume[DATA].shape:
        raise InputError(
            f"{source} cannot be scanned: its data are {volume[DATA].dtype} of shape {volume[DATA].shape}; give real "
            "numbers, and no empty axis"
        )
    return volume


def boundaries(given: tuple[str, ...] | None, volume, shape: tuple[int, ...]) -> tuple[str, ...]:
    """The boundary of each axis of the grid, two for images."""
    names = given or tuple(volume.attrs.get("boundary") or natural_boundary(volume))
    axes = 2 if shape[2] == 1 else 3
    if len(names) not in (axes, 3):
        raise InputError(f"{len(names)} boundaries for {', '.join(SPACE[-axes:])}; give one for each")
    return tuple(names[-axes:])


def transition_of(settings: FilterSettings, shape: tuple[int, ...]) -> Propagator:
    """The transition that the settings ask for, over one step.

    Raises:
        InputError: Its numbers are not finite, negative where they must not be, or not one for each axis.
    """
    velocity, axes = settings.velocity, 2 if shape[2] == 1 else 3
    if velocity is not None:
        if len(velocity) not in (axes, 3):
            raise InputError(f"a velocity of {len(velocity)} numbers for {', '.join(SPACE[-axes:])}; give one for each")
        velocity = tuple(v * settings.dt for v in velocity[-axes:])
    return propagator(settings.decay * settings.dt, settings.diffusivity * settings.dt, velocity)


def time_steps(settings: FilterSettings, volume) -> tuple[np.ndarray | None, float | None]:
    """The steps of time of `Sequence4D`, and their unit where they come from the time coordinate, else `None`.

    Where they do, they are its differences over their median. The first frame's, which nothing is before, is 1.

    Raises:
        InputError: There is no such coordinate, or it does not increase within a run; or runs have no numbers.
    """
    starts = np.zeros(0, int)
    if not settings.join_runs:
        refuse_unnumbered(volume)
        starts = run_starts(volume)
    if not settings.dt_from_time:
        return (begun_anew(np.ones(volume.sizes["time"]), starts) if len(starts) else None), None
    if "time" not in volume.coords or volume["time"].dtype.kind not in "fiu":
        raise InputError("the store has no coordinate time with numbers to take steps from; leave --dt-from-time out")
    steps = np.diff(volume["time"].values.astype(np.float64), prepend=0)
    within = np.delete(steps, [0, *starts])
    if len(within) == 0 or not (within > 0).all():
        raise InputError("the coordinate time does not increase from frame to frame; sort the frames, or give --dt")
    unit = float(np.median(within))
    return begun_anew(np.concatenate([[1.0], steps[1:] / unit]), starts), unit


def begun_anew(steps: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Steps of time that forget at these frames what was before; see `ssm_ops.scanning`."""
    steps[starts] = np.inf
    return steps


def run_starts(volume) -> np.ndarray:
    """The frames at which the coordinate `run` (time) changes: those that begin a run, without the first of all."""
    if "run" not in volume or volume["run"].dims != ("time",):
        return np.zeros(0, int)
    runs = volume["run"].values
    return np.flatnonzero(runs[1:] != runs[:-1]) + 1


def refuse_unnumbered(volume) -> None:
    """Refuses runs that are not told apart by whole numbers.

    Raises:
        InputError: They are not.
    """
    if "run" in volume and volume["run"].dims == ("time",) and volume["run"].dtype.kind not in "iu":
        raise InputError(
            f"the coordinate run holds values of type {volume['run'].dtype}, and runs are told apart by whole numbers; "
            "number them so, or go on across their borders with --join-runs"
        )
