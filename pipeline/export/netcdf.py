"""NetCDF-4 files of variables by the CF conventions 1.11, written some frames at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr

from pipeline.export.cf import as_variables
from pipeline.export.source import Source
from pipeline.export.wish import Wish
from pipeline.volume import default_chunk

LARGEST_FRAME = 64 << 20
"""Frames of more bytes have a chunk for each level."""


def write_netcdf(source: Source, path: Path, wish: Wish) -> list[str]:
    """Writes variables as `pipeline.export.cf` names them: floats with NaN as `_FillValue`, integers as they are.

    Times have the units and the calendar of the source. All is compressed (zlib); time can be appended to.
    """
    del wish
    dataset = as_variables(source)
    time = str(next(iter(dataset.data_vars.values())).dims[0])
    encoding = {str(name): _encoding(variable) for name, variable in dataset.variables.items()}
    with dask.config.set(scheduler="synchronous"):  # one block of frames in memory, not one for each thread
        dataset.to_netcdf(path, format="NETCDF4", engine="netcdf4", encoding=encoding, unlimited_dims=[time])
    return []


def _encoding(variable: xr.Variable) -> dict[str, Any]:
    """How a variable is stored."""
    if "calendar" in variable.encoding:
        return variable.encoding | {"dtype": "float64", "_FillValue": None}
    if variable.chunks is None:
        return {"_FillValue": None} if variable.dtype.kind in "fiub" else {}
    frame = int(np.prod(variable.shape[1:])) * variable.dtype.itemsize
    chunk = [min(default_chunk(max(1, frame)), variable.shape[0]), *variable.shape[1:]]
    if frame > LARGEST_FRAME:
        chunk[1:-2] = [1] * len(chunk[1:-2])
    fill = {"_FillValue": variable.dtype.type(np.nan)} if variable.dtype.kind == "f" else {}
    return {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": tuple(chunk)} | fill
