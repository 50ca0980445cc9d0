"""Stage `preprocess`: splits, statistics of the training frames alone, normalisation, for all series at once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from pipeline import store
from pipeline.grid import natural_boundary
from pipeline.moments import moments_of
from pipeline.period import frames_between
from pipeline.progress import Progress, Steps
from pipeline.volume import DATA, InputError, Settings, default_chunk

VERSION = 2


@dataclass(frozen=True)
class Period(Settings):
    """The frames of one series from `first` to `last`, both included: years or ISO dates in the series' calendar."""

    series: str
    first: int | str
    last: int | str


@dataclass(frozen=True)
class Splits(Settings):
    """Which frames may be learned from, which choose among models, which are looked at once."""

    train: Period
    validation: Period
    test: Period

    def items(self) -> list[tuple[str, Period]]:
        return [("train", self.train), ("validation", self.validation), ("test", self.test)]


@dataclass(frozen=True)
class Normalise(Settings):
    """What is subtracted and divided by: means over time for each voxel or over a whole channel; one scale a channel.

    Attributes:
        mean: `voxel` (the training climatology of each voxel) or `channel`.
        scale: `channel`: the root mean square of what remains.
    """

    mean: Literal["voxel", "channel"] = "voxel"
    scale: Literal["channel"] = "channel"


@dataclass(frozen=True)
class PreprocessSettings(Settings):
    """Settings of a `preprocess` stage. Its inputs name the series: `{a1b: raw_a1b}`.

    Attributes:
        splits: The training, validation and test periods.
        normalise: See `Normalise`.
        chunk: Frames a chunk; by default as many whole frames as fit 4 MB.
    """

    splits: Splits
    normalise: Normalise = field(default_factory=Normalise)
    chunk: int | None = None

    def __post_init__(self):
        if self.chunk is not None and self.chunk < 1:
            raise ValueError(f"chunk is {self.chunk}; give at least 1 frame")


def preprocess(settings: PreprocessSettings, inputs: dict[str, Path], output: Path) -> Steps:
    """Writes `prepared.zarr` (a normalised volume a series, the splits as attributes) and `statistics.zarr`."""
    yield Progress(0, 3, "checking splits")
    series = {name: store.open_volume(path / "raw.zarr", chunked=True) for name, path in inputs.items()}
    spans = {split: frames_of(series, period) for split, period in settings.splits.items()}
    refuse_gaps(series)
    refuse_leaks(series, settings.splits, spans)

    yield Progress(1, 3, "statistics of the training frames")
    training = settings.splits.train
    start, stop = spans["train"]
    statistics = measure(series[training.series].isel(time=slice(start, stop)), settings.normalise)

    yield Progress(2, 3, "normalising")
    splits = {
        split: {"series": period.series, "start": spans[split][0], "stop": spans[split][1]}
        for split, period in settings.splits.items()
    }
    volumes = {
        name: prepared(volume, statistics).assign_attrs(splits=splits, boundary=list(natural_boundary(volume)))
        for name, volume in series.items()
    }
    chunk = {
        name: min(settings.chunk or default_chunk(volume[DATA].isel(time=0).nbytes), volume.sizes["time"])
        for name, volume in volumes.items()
    }
    store.write_volume(volumes, output / "prepared.zarr", chunk)
    store.write_arrays(
        output / "statistics.zarr", statistics, {"first": str(training.first), "last": str(training.last)}
    )
    yield Progress(3, 3, f"{len(volumes)} series")


def frames_of(series: dict[str, xr.Dataset], period: Period) -> tuple[int, int]:
    """The frames [start, stop) of a period.

    Raises:
        InputError: The series is unknown, or the period holds no frame of it.
    """
    if period.series not in series:
        raise InputError(f"split names series {period.series!r}; the inputs are {', '.join(series)}")
    times = series[period.series].indexes["time"]
    start, stop = frames_between(times, period.first, period.last)
    if start == stop:
        raise InputError(
            f"no frame of series {period.series!r} lies in {period.first}..{period.last}; "
            f"it runs {times[0]}..{times[-1]}"
        )
    return start, stop


def refuse_gaps(series: dict[str, xr.Dataset]) -> None:
    """Refuses series with missing values, which this version cannot yet carry through the recurrence."""
    for name, volume in series.items():
        missing = int(volume[DATA].isnull().sum().compute())
        if missing:
            raise InputError(
                f"series {name!r} has {missing} missing values of {volume[DATA].size}; give complete fields"
            )


def refuse_leaks(series: dict[str, xr.Dataset], splits: Splits, spans: dict[str, tuple[int, int]]) -> None:
    """Refuses splits that share a frame, bit for bit, even under different names (two runs with one past)."""
    seen: dict[bytes, str] = {}
    for split, period in splits.items():
        frames = series[period.series].isel(time=slice(*spans[split]))
        own = {}
        for block in frames[DATA].data.blocks.ravel():
            for frame in block.compute():
                own[hashlib.sha256(frame.tobytes()).digest()] = split
        shared = [seen[digest] for digest in own if digest in seen]
        if shared:
            raise InputError(
                f"splits leak: {len(shared)} of {frames.sizes['time']} frames of {split} "
                f"({period.series} {period.first}..{period.last}) are also in {shared[0]}, bit for bit; "
                f"choose periods whose frames differ"
            )
        seen.update(own)


def measure(training: xr.Dataset, normalise: Normalise) -> dict[str, np.ndarray]:
    """Mean and scale of the training frames, float64, broadcastable to (channel, depth, height, width).

    `climatology`, the mean of each voxel, is measured whether normalisation uses it or not: a baseline is made of it.
    """
    (moments,) = moments_of(training[DATA].data)
    climatology, count = moments.mean, moments.count.sum(axis=(1, 2, 3), keepdims=True)
    mean = climatology
    if normalise.mean == "channel":
        mean = (climatology * moments.count).sum(axis=(1, 2, 3), keepdims=True) / count
    squares = moments.squares + moments.count * (climatology - mean) ** 2
    scale = np.sqrt(squares.sum(axis=(1, 2, 3), keepdims=True) / count)
    if (scale == 0).any():
        raise InputError("the training frames do not vary in some channel; there is nothing to learn from it")
    return {"mean": mean, "scale": scale, "climatology": climatology}


def prepared(volume: xr.Dataset, statistics: dict[str, np.ndarray]) -> xr.Dataset:
    """The volume as (data - mean) / scale, float32, with its coordinates."""
    normal = volume.copy()
    normal[DATA] = ((volume[DATA] - statistics["mean"]) / statistics["scale"]).astype(np.float32)
    normal[DATA].attrs = {**volume[DATA].attrs, "units": "1", "normalised_from": volume[DATA].attrs.get("units", "")}
    return normal
