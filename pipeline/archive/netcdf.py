"""NetCDF and HDF5 files of variables on grids, lazily."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from pipeline.archive.ask import Ask
from pipeline.archive.grids import as_volume
from pipeline.archive.join import join
from pipeline.volume import InputError


def open_netcdf(paths: Sequence[Path], ask: Ask) -> xr.Dataset:
    """The volume in NetCDF files, which follow each other in time or are stacked as channels; see `as_volume`, `join`.

    Raises:
        InputError: A file is not NetCDF, or what `as_volume` and `join` raise.
    """
    return join([as_volume(_open(path), ask, str(path)) for path in paths], paths, ask)


def _open(path: Path) -> xr.Dataset:
    try:
        return xr.open_dataset(path, engine="netcdf4", chunks={}, decode_times=False, decode_timedelta=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read as NetCDF: {error}") from error
