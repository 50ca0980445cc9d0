"""Linear interpolation along the axes of space, one after another, and where it must not be done."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pipeline.grid import closes
from pipeline.reshape.places import AROUND, unwound
from pipeline.volume import InputError

Neighbours = tuple[np.ndarray, np.ndarray, np.ndarray]
"""For each new voxel along an axis the number of the one before, of the one after, and the weight of the latter."""


def numbers_of(coordinate: xr.DataArray, targets: np.ndarray) -> np.ndarray:
    """Where targets lie among the places of a coordinate: numbers of voxels, float64, whole to the bit where a target
    is a place as exactly as the coordinate's type can tell. Longitudes count modulo 360; of a coordinate that goes once
    around, numbers may be one beyond its ends.

    Raises:
        InputError: The coordinate does not run one way; a target lies outside.
    """
    name, source = str(coordinate.name), unwound(coordinate.values, str(coordinate.name))
    steps = np.diff(source)
    if len(source) < 2 or not ((steps > 0).all() or (steps < 0).all()):
        raise InputError(f"{name} has {len(source)} places that do not run one way; nothing lies between them")
    rising = source if steps[0] > 0 else source[::-1]
    resolution = np.finfo(coordinate.dtype if coordinate.dtype.kind == "f" else np.float64).eps
    slack = 4 * resolution * np.abs(rising).max() + 1e-9 * np.abs(steps).min()
    extended, places = rising, np.asarray(targets, np.float64)
    if name == "longitude":
        places = places + AROUND * np.ceil((rising[0] - slack - places) / AROUND)
        if closes(source):
            extended = np.append(rising, rising[0] + AROUND)
    outside = (places < extended[0] - slack) | (places > extended[-1] + slack)
    if outside.any():
        raise InputError(
            f"{name} is to be {targets.min():g} to {targets.max():g} and is known from {source.min():g} to "
            f"{source.max():g}; stay inside"
        )
    numbers = np.interp(places, extended, np.arange(len(extended), dtype=np.float64))
    nearest = np.rint(numbers)
    numbers = np.where(np.abs(places - extended[nearest.astype(int)]) <= slack, nearest, numbers)
    return numbers if steps[0] > 0 else len(source) - 1 - numbers


def neighbours(numbers: np.ndarray, size: int) -> Neighbours:
    """The voxels that new ones lie between; one that lies on a voxel has it alone."""
    before = np.floor(numbers)
    weight = numbers - before
    after = before + (weight > 0)
    return before.astype(int) % size, after.astype(int) % size, weight


def interpolated(values: np.ndarray, plans: list[Neighbours | None], kind: np.dtype) -> np.ndarray:
    """Values between those of whole frames (time, channel, depth, height, width), a plan an axis, frame by frame in
    float64; NaN where one that has any weight is NaN."""
    return np.stack([_interpolated(frame, plans).astype(kind) for frame in values])


def _interpolated(values: np.ndarray, plans: list[Neighbours | None]) -> np.ndarray:
    for axis, plan in enumerate(plans, start=values.ndim - 3):
        if plan is None:
            continue
        before, after, weight = plan
        low = np.take(values, before, axis)
        if weight.any():
            weight = weight.reshape(-1, *[1] * (values.ndim - 1 - axis))
            high = np.take(values, after, axis)
            with np.errstate(invalid="ignore"):  # infinity times a weight of 0, which is not taken
                low = np.where(weight > 0, low * (1 - weight) + high * weight, low)
        values = low
    return values
