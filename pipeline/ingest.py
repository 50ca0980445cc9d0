"""Stage `ingest`: one variable of an archive into `raw.zarr`, axes (T, C, D, H, W), coordinates kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from pipeline import store
from pipeline.archive import open_netcdf
from pipeline.progress import Progress, Steps
from pipeline.volume import AXES, DATA, InputError, Settings, default_chunk

VERSION = 1

LATITUDES = ("degrees_north", "degree_north", "degree_N", "degrees_N")
LONGITUDES = ("degrees_east", "degree_east", "degree_E", "degrees_E")


@dataclass(frozen=True)
class IngestSettings(Settings):
    """Settings of an `ingest` stage.

    Attributes:
        source: The file: a path (relative ones start at the recipe's folder) or `package://NAME/PATH`.
        variable: The variable to read.
        chunk: Frames a chunk; by default as many whole frames as fit 4 MB.
    """

    source: str
    variable: str
    chunk: int | None = None

    def __post_init__(self):
        if self.chunk is not None and self.chunk < 1:
            raise ValueError(f"chunk is {self.chunk}; give at least 1 frame")


def ingest(settings: IngestSettings, inputs: dict[str, Path], output: Path) -> Steps:
    """Writes `raw.zarr` into the folder `output`."""
    del inputs
    yield Progress(0, 1, f"reading {Path(settings.source).name}")
    volume = as_volume(open_netcdf(Path(settings.source), settings.variable))
    frame = volume[DATA].isel(time=0)
    chunk = min(settings.chunk or default_chunk(frame.nbytes), volume.sizes["time"])
    store.write_volume({None: volume}, output / "raw.zarr", {None: chunk})
    yield Progress(1, 1, " x ".join(str(volume.sizes[axis]) for axis in AXES))


def as_volume(array: xr.DataArray) -> xr.Dataset:
    """A (time, latitude, longitude) array as a volume of one channel and one depth.

    Latitude and longitude, found by their units, stay as coordinates of height and width. Scalar coordinates whose
    name is also an axis of a volume get the suffix `_value`. The time's units and calendar are kept for the store.

    Raises:
        InputError: The array has other axes, no times that decode, or times that do not increase.
    """
    name = array.name
    if array.ndim != 3 or "time" not in array.dims:
        raise InputError(
            f"variable {name!r} has axes {array.dims}; expected three of them: time, latitude and longitude"
        )
    times = array.indexes.get("time")
    if times is None or not isinstance(times, xr.CFTimeIndex):
        raise InputError(f"variable {name!r} has no time coordinate with units such as 'days since 2000-01-01'")
    if not (times.is_monotonic_increasing and times.is_unique):
        raise InputError(f"the times of variable {name!r} do not increase; sort them and drop repeated ones")

    array = array.rename({c: f"{c}_value" for c in array.coords if c in AXES and c not in array.dims})
    height, width = _axis(array, LATITUDES, "latitude"), _axis(array, LONGITUDES, "longitude")
    array = array.transpose("time", height, width).rename({height: "latitude", width: "longitude"})
    array = array.reset_index(["latitude", "longitude"]).swap_dims(latitude="height", longitude="width")
    array = array.expand_dims(channel=[str(name)], depth=1).transpose(*AXES).astype(np.float32)

    volume = array.rename(DATA).to_dataset()
    volume["time"].attrs.pop("bounds", None)
    volume.attrs["source_variable"] = str(name)
    return volume


def _axis(array: xr.DataArray, units: tuple[str, ...], name: str) -> str:
    for dim in array.dims:
        if dim in array.coords and array[dim].attrs.get("units") in units:
            return str(dim)
    raise InputError(
        f"variable {array.name!r} has no axis with units of {name} ({units[0]}); its axes are {array.dims}"
    )
