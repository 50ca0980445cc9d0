"""Another grid: values between the voxels of the old one, linearly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from pipeline.reshape.coarsen import EVEN
from pipeline.reshape.frames import real, whole
from pipeline.reshape.linear import interpolated, neighbours, numbers_of
from pipeline.reshape.places import AFFINE_AXES, NAMES, coordinate_of, moved, unwound
from pipeline.volume import AXES, DATA, SPACE, InputError, Settings

Points = tuple[int | float, int | float, int | float]
"""The first place, the last, and the step from one to the next."""

WHOLE = 1e-4
"""What steps from first to last may be off a whole number."""


@dataclass(frozen=True)
class Regrid(Settings):
    """The places along each coordinate that is to be another one; or one spacing for all.

    Attributes:
        latitude, longitude, level, x, y, z: The first, the last (included) and the step.
        spacing: Of voxels along all axes that have more than one place, in the unit of their coordinates (mm).
    """

    latitude: Points | None = None
    longitude: Points | None = None
    level: Points | None = None
    x: Points | None = None
    y: Points | None = None
    z: Points | None = None
    spacing: int | float | None = None

    def __post_init__(self):
        if self.spacing is not None and not self.spacing > 0:
            raise ValueError(f"spacing is {self.spacing}; give more than 0")
        if (self.spacing is None) == (not self.points):
            raise ValueError("give either spacing, or the places along coordinates such as latitude: [-90, 90, 2.5]")
        for name, (first, last, step) in self.points.items():
            steps = (last - first) / step if step else -1.0
            if steps < 0 or abs(steps - round(steps)) > WHOLE:
                raise ValueError(
                    f"{name} is to go from {first:g} to {last:g} in steps of {step:g}, which are not a whole number of "
                    "steps; correct one of them"
                )

    @property
    def points(self) -> dict[str, Points]:
        names = ("latitude", "longitude", "level", "x", "y", "z")
        return {name: points for name in names if (points := getattr(self, name)) is not None}


def regrid(volume: xr.Dataset, settings: Regrid) -> xr.Dataset:
    """The volume on another grid, float32 (float64 of wide numbers): linear between neighbours along each axis, NaN
    where one that counts is NaN. Longitudes count modulo 360; all around, the ends are neighbours.

    New voxels that are old ones keep their values to the bit, and a grid of such alone its type. The first voxel of a
    `spacing` is the old first one; as many follow as lie inside. Coordinates of other places are left out; an affine
    follows. Nothing is averaged: for coarser grids coarsen first.

    Raises:
        InputError: There is no such coordinate of one axis alone, or it is uneven where a `spacing` is asked for; a
            place lies outside the old grid.
    """
    found = _by_spacing(volume, settings.spacing) if settings.spacing else _by_points(volume, settings)
    numbers = {axis: places for axis, (places, _) in found.items()}
    changed = {axis for axis in numbers if not np.array_equal(numbers[axis], np.arange(volume.sizes[axis]))}
    coordinates = {
        name: volume[name].variable for name in volume.coords if not set(map(str, volume[name].dims)) & changed
    }
    coordinates |= {str(new.name): new.variable for axis, (_, new) in found.items() if axis in changed}
    plans = [neighbours(numbers[axis], volume.sizes[axis]) if axis in changed else None for axis in SPACE]
    kind = real(volume[DATA].dtype) if any(p is not None and p[2].any() for p in plans) else volume[DATA].dtype
    if changed:
        sizes = [volume.sizes[axis] if p is None else len(p[0]) for axis, p in zip(SPACE, plans, strict=True)]
        data = whole(volume, growth=math.prod(sizes) / math.prod(volume.sizes[axis] for axis in SPACE))
        work = partial(interpolated, plans=plans, kind=kind)
        data = data.map_blocks(
            work, dtype=kind, chunks=(*data.chunks[:2], *((n,) for n in sizes)), meta=np.empty((0,) * 5, kind)
        )
        volume = xr.Dataset({DATA: (AXES, data, volume[DATA].attrs)}, coords=coordinates, attrs=volume.attrs)
    first = {axis: float(numbers[axis][0]) for axis in changed}
    step = {axis: float(numbers[axis][1] - numbers[axis][0]) for axis in changed if len(numbers[axis]) > 1}
    return moved(volume, first, step)


Found = dict[str, tuple[np.ndarray, xr.DataArray]]
"""For an axis the numbers of voxels that its new ones lie at, and its new coordinate."""


def _by_points(volume: xr.Dataset, settings: Regrid) -> Found:
    found = {}
    for name, (first, last, step) in settings.points.items():
        axis = next(axis for axis in SPACE if name in NAMES[axis])
        coordinate = coordinate_of(volume, axis)
        if coordinate is None or coordinate.name != name:
            known = [str(c.name) for a in SPACE if (c := coordinate_of(volume, a)) is not None]
            raise InputError(
                f"it is to have other places along {name} and has no such coordinate of one axis alone; "
                f"it has {', '.join(known) or 'none'}"
            )
        targets = first + step * np.arange(round((last - first) / step) + 1)
        found[axis] = numbers_of(coordinate, targets), _like(coordinate, targets)
    return found


def _by_spacing(volume: xr.Dataset, spacing: int | float) -> Found:
    found = {}
    for axis in SPACE:
        coordinate = coordinate_of(volume, axis)
        if coordinate is None or coordinate.size < 2:
            continue
        if coordinate.name not in ("z", "y", "x"):
            raise InputError(
                f"it has {coordinate.name} along {axis}, which is no length; "
                f"instead of a spacing give {coordinate.name}: [first, last, step]"
            )
        places = unwound(coordinate.values, str(coordinate.name))
        steps = np.diff(places)
        if not np.allclose(steps, steps[0], rtol=EVEN, atol=0):
            raise InputError(
                f"{coordinate.name} has steps of {np.abs(steps).min():g} to {np.abs(steps).max():g}, and a spacing "
                f"needs even ones; give {coordinate.name}: [first, last, step]"
            )
        old = abs(places[-1] - places[0]) / len(steps)
        if "affine" in volume.attrs:
            old = float(np.linalg.norm(np.array(volume.attrs["affine"])[:3, AFFINE_AXES.index(axis)]))
        ratio = spacing / old
        numbers = ratio * np.arange(int(np.floor(len(steps) / ratio + 1e-6)) + 1)
        nearest = np.rint(numbers)
        numbers = np.where(np.abs(numbers - nearest) < 1e-6, nearest, numbers)
        found[axis] = numbers, _like(coordinate, np.interp(numbers, np.arange(len(places)), places))
    if not found:
        raise InputError(f"it has no coordinates of length to have a spacing of {spacing:g}; leave the spacing out")
    return found


def _like(coordinate: xr.DataArray, values: np.ndarray) -> xr.DataArray:
    kind = coordinate.dtype if coordinate.dtype.kind == "f" else np.float64
    return xr.DataArray(values.astype(kind), dims=coordinate.dims, name=coordinate.name, attrs=coordinate.attrs)
