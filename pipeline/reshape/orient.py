"""Axes in an order and direction that all series share: flips and exchanges, no value is changed."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pipeline.reshape.places import AFFINE_AXES, coordinate_of, placed, unwound
from pipeline.volume import DATA, InputError

CANONICAL = "canonical"


def check_orientation(orient: str) -> None:
    """Refuses what is neither `canonical` nor three of nibabel's axis codes, such as RAS.

    Raises:
        ValueError: It is neither.
    """
    pairs = [pair for letter in orient for pair in ("RL", "AP", "SI") if letter in pair]
    if orient != CANONICAL and (len(orient) != 3 or len(set(pairs)) != 3):
        raise ValueError(
            f"orient is {orient!r}; give {CANONICAL!r}, or one each of L/R, P/A and I/S in any order, such as 'RAS'"
        )


def orient(volume: xr.Dataset, wanted: str) -> xr.Dataset:
    """The volume with its axes as wanted.

    With an `affine`: width, height and depth run towards the three letters, as near as the affine allows (`canonical`
    is RAS, as `nibabel.as_closest_canonical` has it); an oblique grid stays oblique. `affine`, `orientation` and the
    coordinates follow. Without: only `canonical`, and latitudes then run from south to north, longitudes from west to
    east, `y` and `x` upwards; where longitudes begin, and which way levels run, stays as it is.

    Raises:
        InputError: Letters are wanted of a volume without affine, or `canonical` of one that has no coordinate of one
            axis alone either; nibabel is not installed.
    """
    if "affine" in volume.attrs:
        return _by_affine(volume, "RAS" if wanted == CANONICAL else wanted)
    if wanted != CANONICAL:
        raise InputError(
            f"it is to be oriented to {wanted} and has no affine that tells left from right; on grids of latitude and "
            f"longitude write orient: {CANONICAL}"
        )
    known = {axis: coordinate_of(volume, axis) for axis in ("height", "width")}
    lacking = [axis for axis, coordinate in known.items() if coordinate is None]
    if lacking:
        raise InputError(
            f"it is to be oriented, and has no affine, nor along {' and '.join(lacking)} a coordinate of one axis "
            f"(it has {', '.join(map(str, volume.coords))}); leave orient out"
        )
    falling = [axis for axis, coordinate in known.items() if _falls(coordinate)]
    return volume.isel({axis: slice(None, None, -1) for axis in falling})


def _falls(coordinate: xr.DataArray) -> bool:
    steps = np.diff(unwound(coordinate.values, str(coordinate.name)))
    return len(steps) > 0 and bool((steps < 0).all())


def _by_affine(volume: xr.Dataset, wanted: str) -> xr.Dataset:
    try:
        from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

        from pipeline.archive.geometry import spatial
    except ImportError as error:
        raise InputError(
            "nibabel, which tells orientations, is not installed; install it with pip install 'chronovox[medical]'"
        ) from error
    affine = np.array(volume.attrs["affine"], np.float64)
    change = ornt_transform(io_orientation(affine), axcodes2ornt(tuple(wanted)))
    if np.array_equal(change, [[0, 1], [1, 1], [2, 1]]):
        return volume
    sizes = tuple(volume.sizes[axis] for axis in AFFINE_AXES)
    turned = affine @ inv_ornt_aff(change, sizes)
    flips = {axis: slice(None, None, -1) for axis, (_, sign) in zip(AFFINE_AXES, change, strict=True) if sign < 0}
    goes = {axis: AFFINE_AXES[int(to)] for axis, (to, _) in zip(AFFINE_AXES, change, strict=True)}
    goes = {old: new for old, new in goes.items() if old != new}
    dims = volume[DATA].dims
    found = volume.drop_vars(["x", "y", "z"], errors="ignore").isel(flips).rename(goes).transpose(*dims, ...)
    coordinates, attributes = spatial(turned, tuple(found.sizes[axis] for axis in AFFINE_AXES))
    found = found.assign_coords({name: (axis, values, attrs) for name, (axis, values, attrs) in coordinates.items()})
    return placed(found, turned, attributes["orientation"])
