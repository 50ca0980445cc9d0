"""Where voxels lie: the coordinate of each axis, and an affine that follows when voxels are moved, merged or spread."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from pipeline.volume import SPACE

AFFINE_AXES = ("width", "height", "depth")
"""The axes that an affine's first three columns are for, in order."""

NAMES = {"depth": ("level", "z"), "height": ("latitude", "y"), "width": ("longitude", "x")}
"""What the coordinates of places along each axis are called."""

OPPOSITE = dict(zip("LRPAIS", "RLAPSI", strict=True))

STALE = ("quatern", "qoffset", "srow", "pixdim")
"""Fields of a NIfTI header that say what `affine` says."""

AROUND = 360.0


def coordinate_of(volume: xr.Dataset, axis: str) -> xr.DataArray | None:
    """The coordinate of numbers along one axis of space, float; none where there is none of one axis alone."""
    for name in NAMES[axis]:
        found = volume.coords.get(name)
        if found is not None and found.dims == (axis,) and found.dtype.kind in "fiu":
            return found
    return None


def unwound(values: np.ndarray, name: str) -> np.ndarray:
    """Numbers of a coordinate, float64; longitudes without the jump from 360 to 0, or from 180 to -180."""
    values = np.asarray(values, np.float64)
    if name == "longitude":
        for axis in range(values.ndim):
            values = np.unwrap(values, period=AROUND, axis=axis)
    return values


def moved(volume: xr.Dataset, first: Mapping[str, int | float], step: Mapping[str, int | float]) -> xr.Dataset:
    """The volume with the affine of one whose voxel i along an axis lies where voxel `first + step * i` lay; a volume
    without affine as it is."""
    if "affine" not in volume.attrs or all(first.get(a, 0) == 0 and step.get(a, 1) == 1 for a in SPACE):
        return volume
    change = np.diag([*(float(step.get(axis, 1)) for axis in AFFINE_AXES), 1.0])
    change[:3, 3] = [first.get(axis, 0) for axis in AFFINE_AXES]
    letters = [
        OPPOSITE[letter] if step.get(axis, 1) < 0 else letter
        for letter, axis in zip(volume.attrs.get("orientation", ""), AFFINE_AXES, strict=False)
    ]
    return placed(volume, np.array(volume.attrs["affine"]) @ change, "".join(letters))


def placed(volume: xr.Dataset, affine: np.ndarray, orientation: str) -> xr.Dataset:
    """The volume with another affine (4 x 4); what a header said of the old one is left out."""
    attributes = dict(volume.attrs) | {"affine": affine.tolist(), "orientation": orientation}
    if isinstance(attributes.get("nifti"), Mapping):
        attributes["nifti"] = {key: value for key, value in attributes["nifti"].items() if key not in STALE}
    volume = volume.copy()
    volume.attrs = attributes
    return volume
