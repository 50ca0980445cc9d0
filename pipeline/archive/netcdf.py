"""NetCDF and HDF5 files of variables on grids, lazily."""

from __future__ import annotations

import struct
from pathlib import Path

import xarray as xr

from pipeline.archive.guard import guarded
from pipeline.archive.netcdf_classic import promised_bytes
from pipeline.archive.unpack import is_compressed, open_unpacked
from pipeline.volume import InputError


def open_netcdf(path: Path, *, apart: bool = False) -> xr.Dataset:
    """The variables of a file, masked and unpacked; times stay numbers with units. The file may be in gzip.

    At most 128 files are open at once (xarray's setting `file_cache_maxsize`), however many are read.

    Args:
        apart: See `guard.guarded`.

    Raises:
        InputError: The file is not NetCDF, or breaks off. Computing an array raises it where numbers cannot be read.
    """
    if is_compressed(path):
        return open_unpacked(path, lambda plain: _open(plain, path, apart))
    return _open(path, path, apart)


def _open(path: Path, name: Path, apart: bool) -> xr.Dataset:
    """What is in the file at `path`, which messages call `name`."""
    try:
        promised, has = promised_bytes(path) or 0, path.stat().st_size
        if has < promised:
            raise InputError(
                f"{name} breaks off: it has {has} bytes and its header promises {promised}; fetch it again"
            )
        undecoded = {"decode_times": False, "decode_timedelta": False}
        return guarded(xr.open_dataset(path, engine="netcdf4", cache=False, **undecoded), str(name), apart=apart)
    except (OSError, ValueError, RuntimeError, KeyError, IndexError, struct.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} cannot be read as NetCDF: {error}; fetch it again") from error
