"""NetCDF and HDF5 files of variables on grids, lazily."""

from __future__ import annotations

import struct
from pathlib import Path

import xarray as xr

from pipeline.archive.netcdf_classic import promised_bytes
from pipeline.archive.unpack import is_compressed, open_unpacked
from pipeline.volume import InputError


def open_netcdf(path: Path) -> xr.Dataset:
    """The variables of a file, masked and unpacked; times stay numbers with units. The file may be in gzip.

    Raises:
        InputError: The file is not NetCDF, or breaks off.
    """
    if is_compressed(path):
        return open_unpacked(path, open_netcdf)
    try:
        promised, has = promised_bytes(path) or 0, path.stat().st_size
        if has < promised:
            raise InputError(
                f"{path} breaks off: it has {has} bytes and its header promises {promised}; fetch it again"
            )
        return xr.open_dataset(path, engine="netcdf4", chunks={}, decode_times=False, decode_timedelta=False)
    except (OSError, ValueError, RuntimeError, KeyError, IndexError, struct.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as NetCDF: {error}") from error
