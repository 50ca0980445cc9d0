"""Any archive as one volume: the format is found by content, its reader is imported when it is needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import xarray as xr

from pipeline.archive import kinds
from pipeline.archive.ask import FILES, Ask, Source
from pipeline.archive.grids import as_volume
from pipeline.archive.guard import without_unreadable
from pipeline.archive.join import join
from pipeline.archive.kinds import files_in, kind_of
from pipeline.archive.locate import check_there
from pipeline.archive.select import selected
from pipeline.volume import AXES, DATA, InputError

EXTRAS = {
    kinds.GRIB: "grib",
    kinds.NIFTI: "medical",
    kinds.DICOM: "medical",
    kinds.VIDEO: "video",
    kinds.TIFF: "microscopy",
}
"""What brings the libraries that formats need."""


def open_archive(sources: Sequence[Source], ask: Ask) -> xr.Dataset:
    """The volume that files, folders of files, or a store hold, lazily; see `pipeline.archive.assemble`.

    Raises:
        InputError: Something is not there, of no known or of different formats, damaged, or not what was asked for; or
            a library is missing, then the message names the extra that brings it.
    """
    paths = kinds.without_images([path for source in sources for path in _files(source)])
    _refuse_twice(paths)
    found = {path: kinds.ZARR if isinstance(path, str) else kind_of(path) for path in paths}
    kind = found[paths[0]]
    other = next((path for path in paths if found[path] != kind), None)
    if other is not None:
        raise InputError(f"{paths[0]} is {kind} and {other} is {found[other]}; give files of one format")
    _check_ask(paths, kind, ask)
    try:
        volume = READERS[kind](paths, ask)
    except ImportError as error:
        raise InputError(
            f"{paths[0]} is {kind}, and to read it {error.name} is missing; "
            f"pip install 'chronovox[{EXTRAS.get(kind, 'remote')}]'"
        ) from error
    if "missing" in volume.coords and volume["missing"].values.all():
        raise InputError(f"{paths[0]}: none of {volume.sizes['time']} frames can be read; fetch it again")
    volume.attrs.setdefault("source_format", kind)
    return volume


def _files(source: Source) -> list[Source]:
    if isinstance(source, str):
        return [source]
    check_there(source, str(source))
    return files_in(source) if source.is_dir() and not kinds.is_zarr(source) else [source]


def _refuse_twice(paths: Sequence[Source]) -> None:
    seen: dict[Source, Source] = {}
    for path in paths:
        place = path.rstrip("/") if isinstance(path, str) else path.resolve()
        if place in seen:
            also = "" if seen[place] == path else f", as {seen[place]} as well"
            raise InputError(f"{path} is given twice{also}; name it once")
        seen[place] = path


def _check_ask(paths: Sequence[Source], kind: str, ask: Ask) -> None:
    """Refuses what no archive, or none of this format, can be asked for; what one file has not, its reader refuses."""
    if ask.time and ask.time == ask.channels:
        raise InputError(f"the axis {ask.time!r} is to be time and channels (--time, --channels); choose one")
    if ask.channels != FILES or kind == kinds.DICOM:
        return
    if kind == kinds.GRIB:
        raise InputError(
            f"{paths[0]} is GRIB, whose fields go together whatever file they lie in, and each file is to be a channel "
            "(--channels files); stack the axis in which they differ, as with --channels number"
        )
    if len(paths) == 1:
        raise InputError(
            f"each file is to be a channel (--channels files), and there is one, {paths[0]}; name several, or leave "
            "--channels out"
        )


def _netcdf(paths: Sequence[Path], ask: Ask) -> xr.Dataset:
    from pipeline.archive.netcdf import open_netcdf

    volumes = [as_volume(open_netcdf(path, apart=ask.skip_bad), ask, str(path)) for path in paths]
    return join([without_unreadable(one) for one in volumes] if ask.skip_bad else volumes, paths, ask)


def _grib(paths: Sequence[Path], ask: Ask) -> xr.Dataset:
    """Keys of GRIB that choose fields are selected by the reader, axes of what it found afterwards."""
    from pipeline.archive.grib import open_grib
    from pipeline.archive.grib_cubes import KEYS

    keys = {name: wanted for name, wanted in ask.select if name in KEYS}
    rest = tuple(pair for pair in ask.select if pair[0] not in KEYS)
    dataset = open_grib(paths, keys=keys, variables=ask.variables, skip_bad=ask.skip_bad)
    names = tuple(map(str, dataset.data_vars)) if ask.variables else ()
    volume = as_volume(dataset, replace(ask, variables=names, select=rest), str(paths[0]))
    volume.attrs |= {"skipped": dataset.attrs["skipped"]} if "skipped" in dataset.attrs else {}
    return volume


def _zarr(paths: Sequence[Source], ask: Ask) -> xr.Dataset:
    from pipeline.archive.zarr_store import is_ome_zarr, open_ome_zarr, open_zarr

    volumes = []
    for path in paths:
        image = is_ome_zarr(path)
        found = open_ome_zarr(path, ask) if image else open_zarr(path)
        if DATA in found and found[DATA].dims == AXES:
            _check_ask_of_volume(path, replace(ask, time="") if image else ask)
            volumes.append(_selected(found, ask))
        else:
            volumes.append(as_volume(found, ask, str(path)))
    return join([without_unreadable(one) for one in volumes] if ask.skip_bad else volumes, paths, ask)


def _check_ask_of_volume(path: Source, ask: Ask) -> None:
    if ask.variables:
        raise InputError(
            f"{path} is a volume without variables, and {', '.join(ask.variables)} is asked of it (--variable); name "
            "none (--select channel=NAME takes one of its channels)"
        )
    if ask.channels not in ("", "channel", FILES):
        raise InputError(
            f"{path} is a volume whose channels are known, and {ask.channels!r} is asked as channels; leave --channels "
            "out, or say 'files' where each store is one"
        )
    if ask.time not in ("", "time"):
        raise InputError(f"{path} is a volume whose time is known, and {ask.time!r} is asked as time; leave --time out")


def _by(module: str, function: str) -> Callable[[Sequence[Path], Ask], xr.Dataset]:
    """A reader that gives a volume, of which is selected afterwards."""

    def read(paths: Sequence[Path], ask: Ask) -> xr.Dataset:
        reader = getattr(importlib.import_module(f"pipeline.archive.{module}"), function)
        taken = ("series",) if module in ("dicom", "tiff") else ()  # these take one of several series themselves
        rest = tuple(pair for pair in ask.select if pair[0] not in taken)
        return _selected(reader(paths, ask), replace(ask, select=rest))

    return read


def _selected(volume: xr.Dataset, ask: Ask) -> xr.Dataset:
    for axis, wanted in ask.select:
        volume = selected(volume, axis, wanted)
    return volume


READERS: dict[str, Callable[[Sequence, Ask], xr.Dataset]] = {
    kinds.NETCDF: _netcdf,
    kinds.GRIB: _grib,
    kinds.ZARR: _zarr,
    kinds.NIFTI: _by("nifti", "open_nifti"),
    kinds.DICOM: _by("dicom", "open_dicom"),
    kinds.VIDEO: _by("video", "open_video"),
    kinds.TIFF: _by("tiff", "open_tiff"),
    kinds.NPY: _by("npy", "open_npy"),
}
