"""What the readers of archives are to be told: which variables, and what becomes a channel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import xarray as xr

from pipeline.archive import Ask
from pipeline.archive.ask import FILES, Source
from pipeline.archive.kinds import GRIB, NETCDF, NIFTI, VIDEO, ZARR, files_in, is_zarr
from pipeline.volume import DATA, InputError

TOGETHER = 4
"""So many variables on one grid, of one unit, become channels unless something else is asked for."""

ECHO = re.compile(r"echo[-_]?(\d+)|(?<![a-z])e(\d+)(?![a-z\d])", re.IGNORECASE)
"""How file names tell the echoes of one recording."""


def completed(ask: Ask, sources: Sequence[Source], found: str) -> tuple[Ask, tuple[str, ...]]:
    """What the readers are to be told, with what can be found out where nothing is said; and the variables that are not
    taken.

    Args:
        ask: What is said.
        sources: What is to be read.
        found: Its format.

    Raises:
        InputError: There is a choice that somebody has to make.
    """
    if found in (NETCDF, GRIB, ZARR):
        known = variables_of(sources, found)
        taken = ask.variables or chosen(known, str(sources[0]))
        return replace(ask, variables=taken), tuple(name for name in known if name not in taken)
    if found == NIFTI and not ask.channels and are_echoes(sources):
        return replace(ask, channels=FILES), ()
    if found == VIDEO and not ask.channels:
        return replace(ask, channels="grey"), ()
    return ask, ()


def variables_of(sources: Sequence[Source], found: str) -> dict[str, xr.DataArray]:
    """The variables of three axes or more of the first file; none of a store that is a volume."""
    first = sources[0]
    if isinstance(first, Path) and first.is_dir() and not is_zarr(first):
        first = files_in(first)[0]
    if found == NETCDF:
        from pipeline.archive.netcdf import open_netcdf

        dataset = open_netcdf(first)
    elif found == GRIB:
        from pipeline.archive.grib import open_grib

        dataset = open_grib([first], keys={}, variables=(), skip_bad=False)
    else:
        from pipeline.archive.zarr_store import is_ome_zarr, open_zarr

        if is_ome_zarr(first):
            return {}
        dataset = open_zarr(first)
        if DATA in dataset:
            return {}
    return {str(name): array for name, array in dataset.data_vars.items() if array.ndim >= 3}


def chosen(known: dict[str, xr.DataArray], name: str) -> tuple[str, ...]:
    """The variables that are taken where none is named: the only one, or a few on one grid and in one unit.

    Raises:
        InputError: There are others; the message lists them.
    """
    if not known:
        return ()
    alike = {(array.dims, array.shape, str(array.attrs.get("units", ""))) for array in known.values()}
    if len(known) == 1 or (len(alike) == 1 and len(known) <= TOGETHER and known_unit(known)):
        return tuple(known)
    raise InputError(
        f"{name} has {len(known)} variables to choose from; name one, or several of one grid that become channels, as "
        "in "
        f"--variable {next(iter(known))}:\n" + "\n".join(f"  {described(array)}" for array in known.values())
    )


def known_unit(known: dict[str, xr.DataArray]) -> bool:
    """Whether variables say in which unit they are: those that do not may be anything."""
    return all(str(array.attrs.get("units", "")) for array in known.values())


def described(array: xr.DataArray) -> str:
    """A variable in words: its name, axes, unit and what it is called."""
    axes = ", ".join(f"{axis} {size}" for axis, size in array.sizes.items())
    unit, long = str(array.attrs.get("units", "")), str(array.attrs.get("long_name", ""))
    return " ".join(filter(None, (str(array.name), f"({axes})", unit, long)))


def are_echoes(sources: Sequence[Source]) -> bool:
    """Whether several files are the echoes of one recording, by their names.

    Raises:
        InputError: They are echoes of several recordings.
    """
    names = [Path(str(source)).name for source in sources]
    if len(names) < 2 or not all(ECHO.search(name) for name in names):
        return False
    recordings = list(dict.fromkeys(ECHO.sub("echo", name) for name in names))
    if len(recordings) == 1:
        return True
    one = sum(ECHO.sub("echo", name) == recordings[0] for name in names)
    if one == 1:
        return False  # one echo of each of several runs
    raise InputError(
        f"{len(names)} files are the echoes of {len(recordings)} recordings ({recordings[0]}, {recordings[1]}, ...); "
        "name the echoes of one recording, or one echo of each"
    )
