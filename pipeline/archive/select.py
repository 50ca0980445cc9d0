"""Parts of an axis by its coordinate: `time=1990:1999`, `level=500`; by number where it has none."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import xarray as xr

from pipeline.volume import InputError

Array = TypeVar("Array", xr.DataArray, xr.Dataset)


def selected(array: Array, name: str, wanted: str) -> Array:
    """What is `wanted` of an axis, named by itself or by a coordinate along it; the axis stays, with one place or more.

    Args:
        wanted: A value of the coordinate, or `FIRST:LAST`, both included; either may be left out. Times are years or
            dates; a year means all of it.

    Raises:
        InputError: There is no such axis; nothing is selected; a value is not there.
    """
    axis = _axis(array, name)
    coordinate = array.coords.get(name, None)
    if coordinate is None:
        coordinate = xr.DataArray(np.arange(array.sizes[axis]), dims=axis)
    first, colon, last = wanted.partition(":")
    if coordinate.dtype == object and not isinstance(coordinate.values.flat[0], str):
        places = _dates(coordinate, axis, wanted, first.strip(), last.strip() if colon else first.strip())
    elif coordinate.dtype.kind in "fiu":
        places = _numbers(coordinate.values, name, wanted, first, last, bool(colon))
    else:
        texts = [str(value) for value in coordinate.values]
        if colon or wanted not in texts:
            raise InputError(f"{name} has no {wanted!r}; it has {', '.join(texts)}")
        places = np.array([texts.index(wanted)])
    if len(places) == 0:
        ends = f"{coordinate.values[0]} to {coordinate.values[-1]}"
        raise InputError(f"{name}={wanted} selects nothing of {array.sizes[axis]} places, {ends}")
    together = places[-1] - places[0] + 1 == len(places)
    return array.isel({axis: slice(places[0], places[-1] + 1) if together else places})  # a slice keeps chunks apart


def _axis(array: xr.DataArray | xr.Dataset, name: str) -> str:
    if name in array.dims:
        return name
    if name in array.coords and array.coords[name].ndim == 1:
        return str(array.coords[name].dims[0])
    raise InputError(f"there is no axis {name!r} to select from; there are {', '.join(map(str, array.dims))}")


def _dates(coordinate: xr.DataArray, axis: str, wanted: str, first: str, last: str) -> np.ndarray:
    index = xr.CFTimeIndex(coordinate.values)
    numbers = xr.DataArray(np.arange(len(index)), {axis: index}, axis)
    try:
        return np.atleast_1d(numbers.sel({axis: slice(first or None, last or None)}).values)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{axis}={wanted} is no span of years or dates such as 1990:1999-06: {error}") from error


def _numbers(values: np.ndarray, name: str, wanted: str, first: str, last: str, span: bool) -> np.ndarray:
    try:
        low, high = (float(text) if text.strip() else end for text, end in ((first, -np.inf), (last, np.inf)))
    except ValueError as error:
        raise InputError(f"{name}={wanted} is no number, and no FIRST:LAST") from error
    if span:
        low, high = min(low, high), max(low, high)
        return np.flatnonzero((values >= low) & (values <= high))
    places = np.flatnonzero(np.isclose(values, low, rtol=1e-6, atol=1e-9))
    if len(places) == 0:
        near = values[np.argsort(np.abs(values - low), kind="stable")[:3]]
        raise InputError(f"{name} has no {wanted}; the nearest are {', '.join(f'{value:g}' for value in near)}")
    return places
