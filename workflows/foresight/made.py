"""What stages will have made: volumes whose sizes and coordinates are known before any frame is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dask.array
import numpy as np
import xarray as xr

from pipeline.archive import open_archive
from pipeline.grid import natural_boundary
from pipeline.ingest import IngestSettings
from pipeline.masks import with_masks
from pipeline.preprocess import PreprocessSettings
from pipeline.reshape.reshaped import reshaped
from pipeline.splits import Span, spans_of
from pipeline.storage import arrays, store
from pipeline.times import with_times
from pipeline.volume import AXES, DATA

Volumes = Mapping[str, xr.Dataset]
"""The volumes of a stage by the names of their series; of `ingest` one."""


def ingested(settings: IngestSettings, folder: Path) -> xr.Dataset:
    """What an `ingest` stage has made or will make.

    Raises:
        InputError: The archive cannot be read as the settings say.
    """
    if (folder / "raw.zarr").exists():
        return store.open_volume(folder / "raw.zarr", chunked=True)
    return open_archive(settings.sources, settings.ask)


def prepared(
    settings: PreprocessSettings, folder: Path, raw: Mapping[str, xr.Dataset]
) -> tuple[dict[str, xr.Dataset], dict[str, list[Span]]]:
    """What a `preprocess` stage has made or will make, and the periods of its splits.

    Where missing values are masked, each channel has its mask here: whether one has missing values is not known before
    all is read.

    Raises:
        InputError: What is to be done to the volumes cannot be done, or a split does not fit them.
    """
    series = reshaped({name: with_times(volume) for name, volume in raw.items()}, settings.reshape)
    spans = spans_of(series, settings.splits)
    path = folder / "prepared.zarr"
    if path.exists():
        known = {name: store.open_volume(path, name, chunked=True) for name in arrays.groups(path)}
        return known, spans
    return {name: _normal(volume, masked=settings.missing == "mask") for name, volume in series.items()}, spans


def _normal(volume: xr.Dataset, *, masked: bool) -> xr.Dataset:
    """The volume as float32, with a mask for each channel."""
    names = [f"mask {name}" for name in volume["channel"].values] if masked else []
    data = volume[DATA].data.astype(np.float32)
    if masked:
        data = dask.array.concatenate([data, dask.array.ones_like(data)], axis=1)
    bare = with_masks(volume, names)
    attributes = {**volume[DATA].attrs, "units": "1", "normalised_from": volume[DATA].attrs.get("units", "")}
    return bare.assign({DATA: (AXES, data, attributes)}).assign_attrs(boundary=list(natural_boundary(volume)))


def frame_bytes(volume: xr.Dataset) -> int:
    return volume[DATA].nbytes // max(1, volume.sizes["time"])


def in_words(volume: xr.Dataset) -> str:
    """`240 x 1 x 1 x 37 x 49`."""
    return " x ".join(str(volume.sizes[axis]) for axis in AXES)
