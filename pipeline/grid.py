"""Boundaries that the data themselves call for: a longitude that closes is periodic, everything else reflects."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pipeline.volume import SPACE


def natural_boundary(volume: xr.Dataset) -> tuple[str, ...]:
    """The boundary of (depth, height, width): `periodic` on an axis whose longitudes go once around, else `reflect`."""
    longitude = volume.coords.get("longitude")
    closing = longitude.dims[0] if longitude is not None and longitude.ndim == 1 and closes(longitude.values) else None
    return tuple("periodic" if axis == closing else "reflect" for axis in SPACE)


def closes(longitude: np.ndarray) -> bool:
    """Whether evenly spaced longitudes in degrees go exactly once around: one more step ends where they began.

    A single place less of a fine grid (a crop) is no longer around, nor is one more.
    """
    steps = np.diff(np.asarray(longitude, np.float64))
    if len(steps) == 0 or not np.allclose(steps, steps[0], rtol=1e-3):
        return False
    off = abs(abs(steps.sum()) + abs(steps.mean()) - 360.0)
    return bool(off <= min(0.36, 0.1 * abs(steps.mean())))
