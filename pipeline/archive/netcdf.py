"""NetCDF and HDF5: one variable, lazily, with its coordinates and calendar."""

from __future__ import annotations

import difflib
from pathlib import Path

import xarray as xr

from pipeline.store import DECODE
from pipeline.volume import InputError


def open_netcdf(path: Path, variable: str | None) -> xr.DataArray:
    """The variable of a NetCDF file as a lazy array; times are cftime, packed integers and fill values decoded.

    Args:
        variable: Its name; `None` will do where only one variable has three axes or more.

    Raises:
        InputError: The file is not NetCDF, or has no such variable, or none is named where there is a choice.
    """
    try:
        dataset = xr.open_dataset(path, engine="netcdf4", chunks={}, **DECODE)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as NetCDF: {error}") from error
    if variable is None:
        fields = [str(name) for name, array in dataset.data_vars.items() if array.ndim >= 3]
        if len(fields) != 1:
            known = ", ".join(fields or map(str, dataset.data_vars))
            raise InputError(
                f"{path} has {len(fields)} variables of three axes or more, and none is named; name one of {known}"
            )
        variable = fields[0]
    if variable not in dataset.data_vars:
        near = difflib.get_close_matches(variable, map(str, dataset.data_vars), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(str, dataset.data_vars))}"
        raise InputError(f"{path} has no variable {variable!r}; {hint}")
    return dataset[variable]
