"""One series as several: tiles of its frames, and runs, which are recordings without interruption."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass

import numpy as np
import xarray as xr

from pipeline.reshape.take import Crop, crop
from pipeline.volume import InputError, Settings


@dataclass(frozen=True)
class Tile(Settings):
    """How many voxels a tile has along the axes that are cut; along the others it has all.

    Attributes:
        depth, height, width: Along that axis.
    """

    depth: int | None = None
    height: int | None = None
    width: int | None = None

    def __post_init__(self):
        for axis, size in self.sizes.items():
            if size < 1:
                raise ValueError(f"{axis} of a tile is {size}; give at least 1")

    @property
    def sizes(self) -> dict[str, int]:
        return {axis: size for axis, size in asdict(self).items() if size is not None}


def tiles(volume: xr.Dataset, settings: Tile) -> dict[str, xr.Dataset]:
    """Tiles of one size side by side, all of the volume, by name: `h0w1` is the first along height and second along
    width. Coordinates and affine are those of the tile.

    Raises:
        InputError: Tiles do not divide an axis.
    """
    for axis, size in settings.sizes.items():
        whole = volume.sizes[axis]
        if whole % size:
            fit = whole // size * size
            raise InputError(
                f"{axis} has {whole} voxels, which tiles of {size} do not divide; "
                + (f"crop it to {fit}, or give a tile that does" if fit else f"give tiles of {whole} at most")
            )
    axes = list(settings.sizes)
    counts = [range(volume.sizes[axis] // size) for axis, size in settings.sizes.items()]
    found = {}
    for numbers in itertools.product(*counts):
        name = "".join(f"{axis[0]}{number}" for axis, number in zip(axes, numbers, strict=True))
        sizes = settings.sizes.items()
        spans = {axis: (n * size, (n + 1) * size) for (axis, size), n in zip(sizes, numbers, strict=True)}
        found[name] = crop(volume, Crop(**spans))
    return found


def runs(volume: xr.Dataset) -> dict[str, xr.Dataset]:
    """Each run of a volume that has several, by name: `run1` has the number 0 in the coordinate `run`."""
    if "run" not in volume.coords:
        return {"": volume}
    run = volume["run"].values
    if (run == run[0]).all():
        return {"": volume}
    return {f"run{number + 1}": volume.isel(time=np.flatnonzero(run == number)) for number in np.unique(run)}
