"""What somebody's files are, by their headers and a bounded look at their numbers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from pipeline.archive import Ask, locate, open_archive
from pipeline.archive.ask import FILES, Source
from pipeline.archive.kinds import DICOM, GRIB, NIFTI, VIDEO, ZARR, files_in, is_zarr, kind_of, without_images
from pipeline.archive.unpack import is_compressed
from pipeline.grid import closes
from pipeline.times import with_times
from pipeline.volume import DATA, SPACE, InputError
from workflows.init.asking import completed
from workflows.init.facts import Facts, Kind, Series
from workflows.init.sample import sampled

PACKED_BYTES = 50e6
"""Of compressed scans with more bytes only headers and first frames are looked at."""

MANY = 8
"""Of so many series numbers are looked at; of more the headers alone."""


def look(given: Sequence[str], kind: Kind, ask: Ask, folder: Path) -> Facts:
    """Looks at files of a kind.

    Args:
        given: Files, folders of files, stores or their URLs, as `chronovox ingest` takes them.
        kind: What they are said to be.
        ask: What the readers are told; variables and echoes are found where nothing is said of them.
        folder: Where relative paths start.

    Raises:
        InputError: They cannot be read, are of another kind, or leave a choice that somebody has to make.
    """
    located = [locate(one, folder) for one in given]
    found = _format(located[0])
    refuse_other_format(given[0], found, kind)
    ask, others = completed(ask, located, found)
    skims = found == NIFTI and _packed_bytes(located) > PACKED_BYTES
    members = [("", tuple(given), _skimmed(located, ask))] if skims else _opened(given, located, ask)
    volumes = [with_times(volume) for _, _, volume in members]
    volume = volumes[0]
    on_earth = {"latitude", "longitude"} & set(map(str, volume.coords))
    clock = _clock(volume)
    refuse_other_content(given[0], kind, on_earth=bool(on_earth), dates=clock == "dates", volume=volume)
    series = tuple(
        Series(name, sources, tuple(own.indexes["time"]), _runs(own))
        for (name, sources, _), own in zip(members, volumes, strict=True)
    )
    pairs = itertools.islice(zip(volumes, series, strict=True), MANY)
    samples = [sampled(own, one.runs, near=skims) for own, one in pairs]
    sample = replace(
        samples[0],
        missing=max(one.missing for one in samples),
        moves=any(one.moves for one in samples),
        infinite=max(one.infinite for one in samples),
    )
    level, latitude, longitude = (volume.coords.get(name) for name in ("level", "latitude", "longitude"))
    return Facts(
        format=found,
        series=series,
        ask=ask,
        others=others,
        channels=tuple(map(str, volume["channel"].values)),
        grid=tuple(volume.sizes[axis] for axis in SPACE),
        dtype=str(volume[DATA].dtype),
        units=str(volume[DATA].attrs.get("units", "")),
        clock=clock,
        calendar=str(volume["time"].values[0].calendar) if clock == "dates" else "",
        levels=_along(level) if level is not None and level.dims == ("depth",) else None,
        latitudes=_ends(latitude) if latitude is not None and latitude.ndim == 1 else None,
        closes=longitude is not None and longitude.ndim == 1 and closes(longitude.values),
        voxel=_voxel(volume),
        sample=sample,
    )


def _format(source: Source) -> str:
    if isinstance(source, str):
        return ZARR
    return kind_of(files_in(source)[0]) if source.is_dir() and not is_zarr(source) else kind_of(source)


OWN_FORMATS: dict[str, Kind] = {GRIB: "climate", VIDEO: "video", NIFTI: "medical", DICOM: "medical"}
"""The formats that are of one kind alone."""

WANTS = {
    "climate": "fields on a grid of latitudes and longitudes, with dates",
    "medical": "volumes or slices in millimetres, in time",
    "video": "pictures in time",
}


def refuse_other_format(name: str, found: str, kind: Kind) -> None:
    """Refuses a format that is of another kind alone.

    Raises:
        InputError: It is.
    """
    own = OWN_FORMATS.get(found, kind)
    if own != kind:
        raise InputError(
            f"{name} is {found}, and a {kind} recipe is for {WANTS[kind]}; say `chronovox init {own}`, or name other "
            "files"
        )


def refuse_other_content(name: str, kind: Kind, *, on_earth: bool, dates: bool, volume: xr.Dataset) -> None:
    """Refuses what is of another kind by its axes.

    Raises:
        InputError: It is.
    """
    earth = on_earth and dates
    if earth == (kind == "climate"):
        return
    sizes = " x ".join(str(volume.sizes[axis]) for axis in ("time", *SPACE))
    if earth:
        raise InputError(
            f"{name} has dates, latitudes and longitudes ({sizes}), and a {kind} recipe is for {WANTS[kind]}; say "
            "`chronovox init climate`"
        )
    lacking = " and ".join(what for what, has in (("dates", dates), ("latitudes and longitudes", on_earth)) if not has)
    raise InputError(
        f"{name} has no {lacking} ({sizes}: time, depth, height, width), and a climate recipe is for "
        f"{WANTS['climate']}; say `chronovox init medical` or `chronovox init video`, or give its axes the units that "
        "CF wants"
    )


Member = tuple[str, tuple[str, ...], xr.Dataset]
"""A name, its sources, its volume."""


def _opened(given: Sequence[str], located: Sequence[Source], ask: Ask) -> list[Member]:
    """The files as one volume; or, where they are grids whose times overlap, each as a series of its own."""
    sources = tuple(map(str, given))
    try:
        return [("", sources, open_archive(located, ask))]
    except InputError:
        if len(located) == 1 or ask.channels == FILES:
            raise
        apart = overlapping(located, ask)
        if apart is None:
            raise
    return [(name, (one,), volume) for name, one, volume in zip(names_of(located), sources, apart, strict=True)]


def _packed_bytes(located: Sequence[Source]) -> int:
    """Bytes of compressed files."""
    return sum(path.stat().st_size for path in _paths(located) if is_compressed(path))


def _paths(located: Sequence[Source]) -> list[Path]:
    """All files that are read."""
    paths = [Path(source) for source in located]
    return without_images([one for path in paths for one in (files_in(path) if path.is_dir() else [path])])


def _skimmed(located: Sequence[Source], ask: Ask) -> xr.Dataset:
    """Large compressed NIfTI files as their headers have them: to see that they are whole takes reading all of them."""
    from pipeline.archive.nifti import open_nifti

    return open_nifti(_paths(located), ask, whole=False)


def overlapping(located: Sequence[Source], ask: Ask) -> list[xr.Dataset] | None:
    """The volumes of files of one grid whose times overlap; `None` where they are no such files."""
    try:
        volumes = [open_archive([one], ask) for one in located]
    except InputError:
        return None
    ends = sorted((volume["time"].values[0], volume["time"].values[-1]) for volume in volumes)
    overlap = any(later[0] <= earlier[1] for earlier, later in itertools.pairwise(ends))
    shapes = {volume[DATA].shape[1:] for volume in volumes}
    return volumes if overlap and len(shapes) == 1 else None


def names_of(located: Sequence[Source]) -> list[str]:
    """Names of series from those of their files; numbered where these do not tell them apart."""
    stems = [word(Path(str(one)).name.split(".")[0]) for one in located]
    return stems if len(set(stems)) == len(stems) else [f"member{number}" for number in range(1, len(stems) + 1)]


def word(text: str) -> str:
    """Letters, digits, _ and - of a text; what else there is becomes _."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-") or "series"


def _clock(volume: xr.Dataset) -> Literal["dates", "seconds", "numbers"]:
    if volume["time"].dtype == object:
        return "dates"
    return "seconds" if volume["time"].attrs.get("units") == "s" else "numbers"


def _runs(volume: xr.Dataset) -> tuple[int, ...]:
    if "run" not in volume.coords:
        return (volume.sizes["time"],)
    numbers, counts = np.unique(volume["run"].values, return_counts=True)
    del numbers
    return tuple(map(int, counts))


def _along(coordinate: xr.DataArray) -> tuple[tuple[float, ...], str]:
    return tuple(map(float, coordinate.values)), str(coordinate.attrs.get("units", ""))


def _ends(coordinate: xr.DataArray) -> tuple[float, float]:
    return float(coordinate.min()), float(coordinate.max())


def _voxel(volume: xr.Dataset) -> tuple[tuple[float, ...], str] | None:
    """The mean distances of places along depth, height and width; 0 along an axis of one place."""
    sizes, unit = [], ""
    for name, axis in (("z", "depth"), ("y", "height"), ("x", "width")):
        place = volume.coords.get(name)
        if place is None or place.dims != (axis,):
            if volume.sizes[axis] > 1:
                return None
            sizes.append(0.0)
            continue
        unit = str(place.attrs.get("units", unit))
        sizes.append(float(np.abs(np.diff(place.values)).mean()) if place.size > 1 else 0.0)
    return tuple(sizes), unit
