"""All that is done to volumes before statistics, in one fixed order; the volumes stay lazy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import xarray as xr

from pipeline.reshape.coarsen import Coarsen, coarsen
from pipeline.reshape.noise import Noise, with_noisy_copies
from pipeline.reshape.orient import check_orientation, orient
from pipeline.reshape.regrid import Regrid, regrid
from pipeline.reshape.resample import Resample, resample
from pipeline.reshape.take import Crop, crop, select
from pipeline.reshape.tile import Tile, runs, tiles
from pipeline.volume import InputError, Settings


@dataclass(frozen=True)
class Reshape(Settings):
    """What is done to every series, in this order; what is left out is not done.

    Attributes:
        select: For axes by name what is taken of them: a value of a coordinate, or `FIRST:LAST`, both included.
        orient: `canonical`, or axis codes such as `RAS`.
        crop: Voxels along each axis, `[first, last]`: the last is not taken.
        coarsen: How many voxels along each axis become one, by means weighted with the sizes of cells.
        regrid: The places of another grid, by linear interpolation.
        runs: `apart`: of a series of several runs each becomes one of its own, `NAME.run1`, so that nothing crosses
            from one to the next; `joined`: they stay one, in which models begin anew with each run.
        resample: Which frames become one; never frames of two runs.
        tile: The size of tiles, each of which becomes a series, `NAME.h0w0`.
        noise: White noise of which each channel gets a copy, `noisy CHANNEL`, to learn from how it is taken away.
    """

    select: dict[str, str | int | float] = field(default_factory=dict)
    orient: str | None = None
    crop: Crop | None = None
    coarsen: Coarsen | None = None
    regrid: Regrid | None = None
    runs: Literal["apart", "joined"] = "apart"
    resample: Resample | None = None
    tile: Tile | None = None
    noise: Noise | None = None

    def __post_init__(self):
        if self.orient is not None:
            check_orientation(self.orient)


def reshaped(series: Mapping[str, xr.Dataset], settings: Reshape) -> dict[str, xr.Dataset]:
    """The series as `settings` say: by name, each volume (see `pipeline.archive.assemble`) or its runs and tiles, whose
    names begin with its own: `NAME.run1.h0w0`. A series of one run, with no settings, is what it was.

    Raises:
        InputError: Something cannot be done to a series, which the message names; or two would have one name.
    """
    found: dict[str, xr.Dataset] = {}
    for name, volume in series.items():
        try:
            parts = _parts(name, volume, settings)
        except InputError as error:
            raise InputError(f"series {name!r}: {error}") from error
        for part, piece in parts.items():
            own = ".".join(filter(None, (name, *part)))
            if own in found or (own in series and own != name):
                raise InputError(f"two series would be called {own!r}; rename the input {name!r} or the other")
            found[own] = piece
    return found


def told(series: Mapping[str, xr.Dataset]) -> list[str]:
    """What of the series was left out by `reshaped`, in words."""
    names: dict[str, list[str]] = {}
    for name, volume in series.items():
        for line in volume.attrs.get("left_out", ()):
            names.setdefault(line, []).append(name)
    return [
        f"series {own[0]}{f' and {len(own) - 1} more' if len(own) > 1 else ''}: {line}" for line, own in names.items()
    ]


def _parts(name: str, volume: xr.Dataset, settings: Reshape) -> dict[tuple[str, ...], xr.Dataset]:
    """A series as it comes out, by what its name has after its own."""
    volume = _frames(volume, settings)
    found: dict[tuple[str, ...], xr.Dataset] = {}
    for run, piece in (runs(volume) if settings.runs == "apart" else {"": volume}).items():
        if settings.resample is not None:
            piece = resample(piece, settings.resample)
        if settings.tile is None:
            found[run,] = piece
        else:
            found |= {(run, place): tile for place, tile in tiles(piece, settings.tile).items()}
    if settings.noise is None:
        return found
    return {
        part: with_noisy_copies(piece, ".".join(filter(None, (name, *part))), settings.noise)
        for part, piece in found.items()
    }


def _frames(volume: xr.Dataset, settings: Reshape) -> xr.Dataset:
    if settings.select:
        volume = select(volume, settings.select)
    if settings.orient is not None:
        volume = orient(volume, settings.orient)
    if settings.crop is not None:
        volume = crop(volume, settings.crop)
    if settings.coarsen is not None:
        volume = coarsen(volume, settings.coarsen)
    if settings.regrid is not None:
        volume = regrid(volume, settings.regrid)
    return volume
