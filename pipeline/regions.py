"""Regions: parts of space that are scored by themselves, by coordinates, by voxels, or by a stored mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Bool

from pipeline.storage import store
from pipeline.volume import DATA, SPACE, InputError, Settings

Limits = tuple[float, float]
Box = tuple[int, int]
Inside = Bool[np.ndarray, "depth height width"]

AROUND = 360.0


@dataclass(frozen=True)
class Region(Settings):
    """The voxels that lie within all limits that are given.

    Attributes:
        latitude, level, x, y, z: The least and the greatest value of that coordinate, both included.
        longitude: From west to east in degrees, both included, modulo 360: (350, 10) goes across the meridian of
            Greenwich, and (-10, 10) is the same.
        depth, height, width: Voxels along that axis, from 0: the first that is taken, and the first that is not taken
            any more.
    """

    latitude: Limits | None = None
    longitude: Limits | None = None
    level: Limits | None = None
    x: Limits | None = None
    y: Limits | None = None
    z: Limits | None = None
    depth: Box | None = None
    height: Box | None = None
    width: Box | None = None

    def __post_init__(self):
        if not self.limits:
            raise ValueError(f"a region without limits; give some of {', '.join(f.name for f in fields(self))}")
        for name, (first, last) in self.limits.items():
            if name in SPACE and not 0 <= first < last:
                raise ValueError(f"{name} of a region is [{first}, {last}]; give 0 <= first < last")
            if name not in SPACE and name != "longitude" and not first <= last:
                raise ValueError(f"{name} of a region is [{first}, {last}]; give the lesser first")

    @property
    def limits(self) -> dict[str, Limits | Box]:
        """Those that are given, by name."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: limits for name, limits in given.items() if limits is not None}

    def inside(self, volume: xr.Dataset) -> Inside:
        """Which voxels of a volume lie in it; none may.

        Raises:
            InputError: The volume has no such coordinate, or a box ends beyond it.
        """
        found = np.ones([volume.sizes[axis] for axis in SPACE], bool)
        for name, limits in self.limits.items():
            found &= _in_box(volume, name, limits) if name in SPACE else _in_limits(volume, name, limits)
        return found


def _in_box(volume: xr.Dataset, axis: str, box: Limits | Box) -> Bool[np.ndarray, "_ _ _"]:
    size = volume.sizes[axis]
    if box[1] > size:
        raise InputError(f"a region has the voxels {list(box)} of {axis}, which has {size}; end at {size} at most")
    along = np.arange(size)
    return _spread((axis,), (along >= box[0]) & (along < box[1]))


def _in_limits(volume: xr.Dataset, name: str, limits: Limits | Box) -> Bool[np.ndarray, "_ _ _"]:
    coordinate = volume.coords.get(name)
    if coordinate is None or not coordinate.dims or not set(coordinate.dims) <= set(SPACE):
        known = [str(one) for one, found in volume.coords.items() if found.dims and set(found.dims) <= set(SPACE)]
        raise InputError(
            f"a region has limits of {name}, and the coordinates of the data are {', '.join(known) or 'none'}; "
            "give limits of those, or voxels of depth, height and width"
        )
    low, high = limits
    values = np.asarray(coordinate.values, np.float64)
    if name != "longitude":
        within = (values >= low) & (values <= high)
    elif high - low >= AROUND:
        within = np.isfinite(values)
    else:
        within = (values - low) % AROUND <= (high - low) % AROUND
    return _spread(coordinate.dims, within)


def _spread(axes: tuple, values: Bool[np.ndarray, "..."]) -> Bool[np.ndarray, "_ _ _"]:
    """Values along some axes of space, with axes of length 1 for the others."""
    others = [axis for axis in SPACE if axis not in axes]
    return xr.DataArray(values, dims=axes).expand_dims(others).transpose(*SPACE).values


def masked(mask: Path, volume: xr.Dataset) -> Inside:
    """Which voxels of a volume a stored mask holds: where the first frame of any of its channels is not zero (and not
    missing).

    Args:
        mask: A store that `ingest` wrote, of the volume's grid.

    Raises:
        InputError: Its voxels are others.
    """
    stored = store.open_volume(mask)
    shape, own = (tuple(one.sizes[axis] for axis in SPACE) for one in (volume, stored))
    if shape != own:
        raise InputError(
            f"{mask} has {' x '.join(map(str, own))} voxels and the data {' x '.join(map(str, shape))}; give a mask of "
            "the same grid"
        )
    affines = [one.attrs["affine"] for one in (volume, stored) if "affine" in one.attrs]
    if len(affines) == 2 and not np.allclose(*affines, atol=1e-3):
        raise InputError(f"{mask} lies elsewhere: its affine is {affines[1]}, that of the data {affines[0]}")
    first = stored[DATA].isel(time=0).values
    return ((first != 0) & ~np.isnan(first)).any(axis=0)


def regions_of(volume: xr.Dataset, regions: Mapping[str, Region], masks: Mapping[str, Path]) -> dict[str, Inside]:
    """The voxels of each region and of each mask, by name.

    Raises:
        InputError: As `Region.inside` and `masked`; a name is given twice, or a region holds no voxel.
    """
    if twice := sorted(regions.keys() & masks.keys()):
        raise InputError(f"{twice[0]!r} is the name of a region and of a mask; rename one")
    found = {name: region.inside(volume) for name, region in regions.items()}
    found |= {name: masked(path, volume) for name, path in masks.items()}
    for name, inside in found.items():
        if not inside.any():
            raise InputError(f"region {name!r} holds none of the {inside.size} voxels of the data; choose other limits")
    return found
