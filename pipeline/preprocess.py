"""Stage `preprocess`: splits, statistics of the training frames alone, normalisation, for all series at once."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import dask.array
import numpy as np
import xarray as xr

from pipeline import store
from pipeline.blocks import over_blocks
from pipeline.grid import natural_boundary
from pipeline.moments import merged, moments_of
from pipeline.progress import Progress, Steps
from pipeline.splits import Span, Splits, spans_of
from pipeline.times import in_words, with_times
from pipeline.volume import AXES, DATA, InputError, Settings, default_chunk

VERSION = 2


@dataclass(frozen=True)
class Normalise(Settings):
    """What is subtracted and divided by: means over time for each voxel or over a whole channel; one scale a channel.

    Attributes:
        mean: `voxel` (the training climatology of each voxel) or `channel`.
        scale: `channel`: the root mean square of what remains.
    """

    mean: Literal["voxel", "channel"] = "voxel"
    scale: Literal["channel"] = "channel"

    @property
    def of_voxels(self) -> bool:
        """Whether any of it is of each voxel."""
        return self.mean == "voxel"


@dataclass(frozen=True)
class PreprocessSettings(Settings):
    """Settings of a `preprocess` stage. Its inputs name the series: `{a1b: raw_a1b}`.

    Attributes:
        splits: The training, validation and test periods; see `pipeline.splits`.
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
    opened = {name: store.open_volume(path / "raw.zarr", chunked=True) for name, path in inputs.items()}
    series = {name: with_times(volume) for name, volume in opened.items()}
    spans = spans_of(series, settings.splits)
    refuse_unlike(series, settings)
    refuse_gaps(series)
    refuse_leaks(series, settings.splits, spans)

    yield Progress(1, 3, "statistics of the training frames")
    statistics = measure([frames_of(series, span) for span in spans["train"]], settings.normalise)

    yield Progress(2, 3, "normalising")
    splits = {split: [asdict(span) for span in own] for split, own in spans.items()}
    volumes = {
        name: prepared(volume, statistics).assign_attrs(splits=splits, boundary=list(natural_boundary(volume)))
        for name, volume in series.items()
    }
    chunk = {
        name: min(settings.chunk or default_chunk(volume[DATA].isel(time=0).nbytes), volume.sizes["time"])
        for name, volume in volumes.items()
    }
    store.write_volume(volumes, output / "prepared.zarr", chunk)
    store.write_arrays(output / "statistics.zarr", statistics, {"periods": told(series, spans["train"])})
    yield Progress(3, 3, f"{len(volumes)} series")


def refuse_gaps(series: dict[str, xr.Dataset]) -> None:
    """Refuses series with missing values, which this version cannot yet carry through the recurrence."""
    for name, volume in series.items():
        missing = int(volume[DATA].isnull().sum().compute())
        if missing:
            raise InputError(
                f"series {name!r} has {missing} missing values of {volume[DATA].size}; give complete fields"
            )


def refuse_leaks(series: dict[str, xr.Dataset], splits: Splits, spans: dict[str, list[Span]]) -> None:
    """Refuses splits that share a frame, bit for bit, even under different names (two runs with one past)."""
    seen: dict[bytes, str] = {}
    for split, periods in splits.items():
        own = {}
        for period, span in zip(periods, spans[split], strict=True):
            found = [digest for _, digests in over_blocks(frames_of(series, span), digests_of) for digest in digests]
            shared = [seen[digest] for digest in found if digest in seen]
            if shared:
                raise InputError(
                    f"splits leak: {len(shared)} of {span.stop - span.start} frames of {split} ({period}) are also in "
                    f"{shared[0]}, bit for bit; choose periods whose frames differ"
                )
            own |= dict.fromkeys(found, split)
        seen |= own


def digests_of(block: np.ndarray, first: int) -> list[bytes]:
    """Of each frame of a block."""
    del first
    return [hashlib.sha256(frame.tobytes()).digest() for frame in block]


def refuse_unlike(series: dict[str, xr.Dataset], settings: PreprocessSettings) -> None:
    """Refuses series whose frames are not of one shape. Where all statistics are of whole channels, a series that no
    split names need only have as many channels."""
    names = dict.fromkeys((*settings.splits.names().values(), *series))
    first = next(iter(names))
    for name in names:
        one, other = (series[each][DATA].shape[1:] for each in (first, name))
        if name not in settings.splits.names().values() and not settings.normalise.of_voxels:
            one, other = one[:1], other[:1]
        if one != other:
            raise InputError(
                f"frames of series {first!r} are {one} ({', '.join(AXES[1:][: len(one)])}), those of {name!r} are "
                f"{other}, and they are to share statistics; bring them to one grid, or give each a stage of its own"
            )


def frames_of(series: dict[str, xr.Dataset], span: Span) -> dask.array.Array:
    """The frames of a span, lazily."""
    return series[span.series][DATA].data[span.start : span.stop]


def told(series: dict[str, xr.Dataset], spans: list[Span]) -> list[dict]:
    """The frames of some spans by their dates, as JSON."""
    found = []
    for span in spans:
        times = series[span.series].indexes["time"]
        first, last = (in_words(times[frame]) for frame in (span.start, span.stop - 1))
        found.append({"series": span.series, "first": first, "last": last, "frames": span.stop - span.start})
    return found


def measure(periods: list[dask.array.Array], normalise: Normalise) -> dict[str, np.ndarray]:
    """Mean and scale of the training frames, float64, broadcastable to (channel, depth, height, width).

    `climatology`, the mean of each voxel, is measured whether normalisation uses it or not: a baseline is made of it.
    """
    moments = merged([one for data in periods for one in moments_of(data)], periods[0].shape[1:])
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
