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
    """Whether evenly spaced longitudes in degrees go exactly once around: one more step ends where they began."""
    steps = np.diff(longitude)
    if len(steps) == 0 or not np.allclose(steps, steps[0], rtol=1e-3):
        return False
    return bool(np.isclose(abs(steps[0]) * len(longitude), 360.0, rtol=1e-3))
