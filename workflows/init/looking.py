"""What somebody's files are, by their headers and a bounded look at their numbers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from pipeline.archive import Ask, locate, open_archive
from pipeline.archive.ask import FILES, Source
from pipeline.archive.kinds import GRIB, NETCDF, NIFTI, VIDEO, ZARR, files_in, is_zarr, kind_of
from pipeline.grid import closes
from pipeline.times import with_times
from pipeline.volume import DATA, SPACE, InputError
from workflows.init.sample import Sample, sampled

Kind = Literal["climate", "medical", "video"]

TOGETHER = 4
"""So many variables on one grid, of one unit, become channels unless something else is asked for."""

ECHO = re.compile(r"echo[-_]?(\d+)|(?<![a-z])e(\d+)(?![a-z\d])", re.IGNORECASE)
"""How file names tell the echoes of one recording."""

MANY = 8
"""Of so many series numbers are looked at; of more the headers alone."""


@dataclass(frozen=True)
class Series:
    """One series: what one `ingest` stage reads.

    Attributes:
        name: What the recipe calls it.
        sources: As they were given, or where they lie.
        times: Of each frame: dates, seconds, or numbers.
        runs: Frames of each recording without interruption; one number where there is one.
    """

    name: str
    sources: tuple[str, ...]
    times: tuple[Any, ...]
    runs: tuple[int, ...]

    @property
    def frames(self) -> int:
        return len(self.times)


@dataclass(frozen=True)
class Facts:
    """What was seen.

    Attributes:
        format: As `pipeline.archive.kinds` calls it.
        series: One, or several whose times overlap: members, scenarios.
        ask: What the readers are to be told.
        others: Variables that are there and not taken.
        channels: Their names.
        grid: Voxels of (depth, height, width).
        dtype: The type of the numbers as they are read.
        units: Of the values; empty where they are not known.
        clock: `dates`, `seconds`, or `numbers` of frames.
        calendar: Of dates.
        levels: The places along depth and their unit, of grids that have levels.
        latitudes: The least and the greatest; `None` of what is no grid on the earth, or a bent one.
        closes: Whether longitudes go once around.
        voxel: Sizes along depth, height, width, and their unit; `None` where they are not known.
        sample: A look at the numbers.
        warnings: What readers had to say.
    """

    format: str
    series: tuple[Series, ...]
    ask: Ask
    channels: tuple[str, ...]
    grid: tuple[int, int, int]
    dtype: str
    clock: Literal["dates", "seconds", "numbers"]
    sample: Sample
    others: tuple[str, ...] = ()
    units: str = ""
    calendar: str = ""
    levels: tuple[tuple[float, ...], str] | None = None
    latitudes: tuple[float, float] | None = None
    closes: bool = False
    voxel: tuple[tuple[float, ...], str] | None = None

    @property
    def first(self) -> Series:
        return self.series[0]

    @property
    def voxels(self) -> int:
        return int(np.prod(self.grid))

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame as float32, all channels."""
        return 4 * self.voxels * len(self.channels)


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
    ask, others = _asked(located, found, ask, kind)
    members = _opened(given, located, ask)
    volumes = [with_times(volume) for _, _, volume in members]
    volume = volumes[0]
    on_earth = {"latitude", "longitude"} & set(map(str, volume.coords))
    clock = _clock(volume)
    refuse_other_content(given[0], kind, on_earth=bool(on_earth), dates=clock == "dates", volume=volume)
    series = tuple(
        Series(name, sources, tuple(own.indexes["time"]), _runs(own))
        for (name, sources, _), own in zip(members, volumes, strict=True)
    )
    samples = [sampled(own, one.runs) for own, one in itertools.islice(zip(volumes, series, strict=True), MANY)]
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


OWN_FORMATS: dict[str, Kind] = {GRIB: "climate", VIDEO: "video", NIFTI: "medical", "DICOM": "medical"}
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
            f"{name} is {found}, and a {kind} recipe is for {WANTS[kind]}; say `chronovox init {own}`, or name other files"
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
        f"{name} has no {lacking} ({sizes}: time, depth, height, width), and a climate recipe is for {WANTS['climate']}; "
        "say `chronovox init medical` or `chronovox init video`, or give its axes the units that CF wants"
    )


def _asked(sources: Sequence[Source], found: str, ask: Ask, kind: Kind) -> tuple[Ask, tuple[str, ...]]:
    """What the readers are to be told, with what can be found out; and the variables that are not taken."""
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
        f"{name} has {len(known)} variables to choose from; name one, or several of one grid that become channels, as in "
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
        f"{len(names)} files are the echoes of {len(recordings)} recordings ({recordings[0]}, {recordings[1]}, ...); name "
        "the echoes of one recording, or one echo of each"
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
