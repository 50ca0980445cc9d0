"""Coarser voxels: means over blocks of them, each voxel weighted with the area or length of its cell.

The mean over the whole field, weighted alike, stays what it was.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import xarray as xr

from pipeline.reshape.frames import real, whole
from pipeline.reshape.places import coordinate_of, moved, unwound
from pipeline.volume import AXES, DATA, SPACE, InputError, Settings

EVEN = 1e-3
"""Relative difference of cells that still count as equal: what float32 coordinates are off by."""


@dataclass(frozen=True)
class Coarsen(Settings):
    """How many voxels along each axis become one.

    Attributes:
        depth, height, width: Along that axis.
        trim: Whether last voxels that fill no block are left out, and not refused.
    """

    depth: int = 1
    height: int = 1
    width: int = 1
    trim: bool = False

    def __post_init__(self):
        for axis, factor in self.factors.items():
            if factor < 1:
                raise ValueError(f"{axis} is to be coarsened by {factor}; give at least 1")

    @property
    def factors(self) -> dict[str, int]:
        return {"depth": self.depth, "height": self.height, "width": self.width}


def coarsen(volume: xr.Dataset, settings: Coarsen) -> xr.Dataset:
    """Means of blocks of voxels, float32 (float64 of wide numbers), of what is not missing; NaN where all of it is.

    A voxel's weight is the size of its cell, see `cell_sizes`. Coordinates are plain means too (longitudes across the
    jump from 360 to 0 as well); those that are no numbers are left out. An affine follows.

    Raises:
        InputError: Blocks do not divide an axis, and `trim` is not set; or an axis has less voxels than one block.
    """
    factors = {axis: factor for axis, factor in settings.factors.items() if factor > 1}
    if not factors:
        return volume
    for axis, factor in factors.items():
        size = volume.sizes[axis]
        if size < factor or (size % factor and not settings.trim):
            fit = size // factor * factor
            raise InputError(
                f"{axis} has {size} voxels, which blocks of {factor} do not divide; "
                + (f"crop it to {fit}, or set trim: true" if fit else f"coarsen it by {size} at most")
            )
    kept = {axis: slice(volume.sizes[axis] // factor * factor) for axis, factor in factors.items()}
    weights = [cell_sizes(volume, axis)[kept.get(axis, slice(None))] for axis in SPACE]
    volume = volume.isel(kept)
    blocks = tuple(settings.factors[axis] for axis in SPACE)
    data = whole(volume)
    chunks = (*data.chunks[:2], *((data.shape[2 + n] // blocks[n],) for n in range(3)))
    kind = real(data.dtype)
    found = data.map_blocks(means, blocks, weights, kind, dtype=kind, chunks=chunks, meta=np.empty((0,) * 5, kind))
    coordinates = {
        name: _coarse(volume[name].variable, str(name), factors)
        for name in volume.coords
        if not set(volume[name].dims) & set(factors) or volume[name].dtype.kind in "fiu"
    }
    coarse = xr.Dataset({DATA: (AXES, found, volume[DATA].attrs)}, coords=coordinates, attrs=volume.attrs)
    return moved(coarse, {axis: (factor - 1) / 2 for axis, factor in factors.items()}, factors)


def cell_sizes(volume: xr.Dataset, axis: str) -> np.ndarray:
    """The weight of each voxel along an axis, float64: along latitudes the difference of the sines of its cell's
    bounds, along other uneven coordinates (levels) its cell's length, 1 on even ones and where there is none.

    Cells end in the middle between neighbours, the outer ones as far out as in; none goes beyond a pole.
    """
    coordinate = coordinate_of(volume, axis)
    if coordinate is None or coordinate.size < 2:
        return np.ones(volume.sizes[axis])
    centres = unwound(coordinate.values, str(coordinate.name))
    middles = (centres[1:] + centres[:-1]) / 2
    bounds = np.concatenate([[2 * centres[0] - middles[0]], middles, [2 * centres[-1] - middles[-1]]])
    if coordinate.name == "latitude":
        return np.abs(np.diff(np.sin(np.deg2rad(np.clip(bounds, -90, 90)))))
    sizes = np.diff(bounds)
    return np.ones(len(sizes)) if np.allclose(sizes, sizes[0], rtol=EVEN) else np.abs(sizes)


def means(values: np.ndarray, blocks: tuple[int, int, int], weights: list[np.ndarray], kind: np.dtype) -> np.ndarray:
    """Weighted means over blocks (depth, height, width) of whole frames, summed up in float64 in one fixed order."""
    shape = (*values.shape[:2], *(size // block for size, block in zip(values.shape[2:], blocks, strict=True)))
    total, weight = np.zeros(shape), np.zeros(shape)
    for offsets in itertools.product(*map(range, blocks)):
        places = tuple(slice(offset, None, block) for offset, block in zip(offsets, blocks, strict=True))
        part = values[(..., *places)]
        depth, height, width = (axis[place] for axis, place in zip(weights, places, strict=True))
        share = depth[:, None, None] * height[:, None] * width
        there = ~np.isnan(part)
        total += np.where(there, part, 0) * share
        weight += there * share
    return np.divide(total, weight, out=np.full(shape, np.nan), where=weight > 0).astype(kind)


def _coarse(variable: xr.Variable, name: str, factors: dict[str, int]) -> xr.Variable:
    if not set(variable.dims) & set(factors):
        return variable
    values = unwound(variable.values, name)
    for number, axis in enumerate(variable.dims):
        block = factors.get(str(axis), 1)
        values = values.reshape(*values.shape[:number], -1, block, *values.shape[number + 1 :]).mean(number + 1)
    kind = variable.dtype if variable.dtype.kind == "f" else np.float64
    return xr.Variable(variable.dims, values.astype(kind), variable.attrs)
