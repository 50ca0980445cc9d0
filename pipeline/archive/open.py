"""Any archive as one volume: the format is found by content, the reader is imported when it is needed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from pipeline.archive import kinds
from pipeline.archive.ask import Ask
from pipeline.archive.kinds import files_in, kind_of
from pipeline.archive.select import selected
from pipeline.volume import InputError

READERS = {
    kinds.NETCDF: ("netcdf", "open_netcdf", ""),
}
"""For each format its module here, the function in it, and the extra that brings what it needs."""

GRIDDED = {kinds.NETCDF, kinds.GRIB}
"""Formats whose reader selects by itself, by the names of the file's own axes."""


def open_archive(sources: Sequence[Path], ask: Ask) -> xr.Dataset:
    """The volume that files, folders of files, or a store hold, lazily; see `pipeline.archive.assemble`.

    Raises:
        InputError: Something is not there, of no known or of different formats, damaged, or not what was asked for; or
            a library is missing, then the message names the extra that brings it.
    """
    paths = [path for source in sources for path in _files(source)]
    found = {path: kind_of(path) for path in paths}
    kind = found[paths[0]]
    other = next((path for path in paths if found[path] != kind), None)
    if other is not None:
        raise InputError(f"{paths[0]} is {kind} and {other} is {found[other]}; give files of one format")
    if kind not in READERS:
        raise InputError(f"{paths[0]} is {kind}, which cannot be read yet; convert it to {', '.join(READERS)}")
    module, function, extra = READERS[kind]
    try:
        reader = getattr(importlib.import_module(f"pipeline.archive.{module}"), function)
    except ImportError as error:
        raise InputError(
            f"{paths[0]} is {kind}, to read it {error.name} is missing; pip install 'chronovox[{extra}]'"
        ) from error
    volume = reader(paths, ask)
    for axis, wanted in () if kind in GRIDDED else ask.select:
        volume = selected(volume, axis, wanted)
    volume.attrs.setdefault("source_format", kind)
    return volume


def _files(source: Path) -> list[Path]:
    if not source.exists():
        raise InputError(f"no file or folder {source.resolve()}")
    if not source.is_dir() or kind_of(source) == kinds.ZARR:
        return [source]
    return files_in(source)
