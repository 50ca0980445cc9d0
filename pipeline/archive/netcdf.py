"""NetCDF and HDF5 files of variables on grids, lazily."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from pipeline.archive.unpack import is_compressed, open_unpacked
from pipeline.volume import InputError


def open_netcdf(path: Path) -> xr.Dataset:
    """The variables of a file, masked and unpacked; times stay numbers with units. The file may be in gzip.

    Raises:
        InputError: The file is not NetCDF.
    """
    try:
        if is_compressed(path):
            return open_unpacked(path, open_netcdf)
        return xr.open_dataset(path, engine="netcdf4", chunks={}, decode_times=False, decode_timedelta=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read as NetCDF: {error}") from error
