"""A volume as variables on named axes, as the CF conventions want them and as its source had them.

What the source called its variables and axes lies in the attribute `source_grid` (see `pipeline.archive.grids`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Mapping
from typing import Any

import dask.array
import numpy as np
import xarray as xr

from pipeline.archive.assemble import lazily
from pipeline.export.source import Source
from pipeline.volume import AXES, DATA

CONVENTIONS = "CF-1.11"

ROLES = {"depth": ("level", "z"), "height": ("latitude", "y"), "width": ("longitude", "x")}
"""The coordinates that the axes of space may have, and that they are called by."""

UNTRUE = {
    "bounds", "climatology", "cell_measures", "ancillary_variables", "formula_terms", "grid_mapping", "coordinates",
    "valid_min", "valid_max", "valid_range", "actual_range", "_FillValue", "missing_value", "scale_factor",
    "add_offset",
}  # fmt: skip
"""Attributes of a source that name variables which are not there, or tell of numbers as they were packed."""


def as_variables(source: Source) -> xr.Dataset:
    """The volume as a dataset whose data are read when they are needed.

    Channels that were variables are variables again, with their attributes; channels that were places of an axis lie
    along that axis again; others along an axis `channel` of labels. Axes have the names that they had, else time,
    level or z, latitude or y, longitude or x. A depth of one place without a coordinate is left out.
    """
    volume = source.volume
    grid = volume.attrs.get("source_grid", {})
    dims = _dims(volume, grid.get("axes", {}))
    coordinates = _coordinates(volume, dims)
    data = lazily(source.read, source.shape, source.dtype, source.together())
    if "depth" not in dims:
        data = data[:, :, 0]
    order = [dims[axis] for axis in AXES if axis in dims]
    variables: dict[str, xr.Variable] = {}
    for name, (numbers, stacked) in _variables(source.channels, volume, grid).items():
        attributes = _attributes(name, volume, grid)
        if stacked is None:
            variables[_free(name, coordinates)] = xr.Variable(order, data[:, numbers[0]], attributes)
            continue
        axis, places = stacked
        variables[_free(name, coordinates)] = xr.Variable(
            [order[0], axis, *order[1:]], dask.array.take(data, numbers, axis=1), attributes
        )
        coordinates[axis] = xr.Variable([axis], places, _clean(grid.get("attributes", {}).get(axis, {})))
    mappings = {str(variable.attrs.get("grid_mapping", "")) for variable in variables.values()} - {""}
    for name in sorted(mappings):
        variables[name] = xr.Variable((), np.int32(0), _clean(grid["attributes"][name]), {"coordinates": None})
    told = {name: value for name, value in _clean(volume.attrs).items() if isinstance(value, str | int | float)}
    return xr.Dataset(variables, coordinates, {"Conventions": CONVENTIONS, **told})


def _dims(volume: xr.Dataset, axes: Mapping[str, str]) -> dict[str, str]:
    """What each axis is called; none for a depth that is left out."""
    dims = {"time": axes.get("time", "time")}
    for axis, roles in ROLES.items():
        role = _role(volume, axis)
        if role is None and axis == "depth" and volume.sizes[axis] == 1:
            continue
        known = next((axes[one] for one in roles if one in axes), roles[-1])
        dims[axis] = known if role is None else axes.get(role, role)
    return dims


def _role(volume: xr.Dataset, axis: str) -> str | None:
    """The coordinate that tells the places of an axis."""
    return next((r for r in ROLES[axis] if r in volume.coords and volume[r].dims == (axis,)), None)


def _coordinates(volume: xr.Dataset, dims: Mapping[str, str]) -> dict[str, xr.Variable]:
    """All coordinates but those of channels, by the names that they had."""
    index = {"time": "time"} | {role: axis for axis in ROLES if (role := _role(volume, axis))}
    found: dict[str, xr.Variable] = {}
    for name in (*index, *sorted(set(map(str, volume.coords)) - set(index))):
        array = volume[name]
        if "channel" in array.dims:
            continue
        final = dims[index[name]] if name in index else _free(_restored(name), {*found, *dims.values()})
        array = array.squeeze("depth") if "depth" in array.dims and "depth" not in dims else array
        values = array.values.astype(object) if array.dtype.kind == "T" else array.values
        attributes = _clean(array.attrs)
        if array.dtype.kind == "O" and "calendar" in array.encoding:
            attributes.setdefault("standard_name", "time")
        encoding = {key: value for key, value in array.encoding.items() if key in ("units", "calendar")}
        found[final] = xr.Variable([dims[axis] for axis in map(str, array.dims)], values, attributes, encoding)
    return found


def _restored(name: str) -> str:
    """The name of a coordinate that was called as an axis of volumes is, which made it `NAME_value` there."""
    bare = name.removesuffix("_value")
    return bare if bare in AXES else name


def _free(name: str, taken: Collection[str]) -> str:
    return f"{name}_value" if name in taken else name


def _variables(
    channels: list[str], volume: xr.Dataset, grid: Mapping[str, Any]
) -> dict[str, tuple[list[int], tuple[str, np.ndarray] | None]]:
    """The variables: which channels they are of, and the axis and the places that these have along it, if any."""
    origins = [grid.get("channels", {}).get(label) for label in channels]
    if all(origins):
        groups: dict[str, list[int]] = {}
        for number, origin in enumerate(origins):
            groups.setdefault(origin["variable"], []).append(number)
        along = [(origins[own[0]].get("axis"), [origins[n].get("place") for n in own]) for own in groups.values()]
        axis, places = along[0]
        if all(other == along[0] for other in along):
            stacked = None if axis is None else (axis, _labels(places))
            return {name: (own, stacked) for name, own in groups.items()}
    variable = str(volume.attrs.get("source_variable", ""))
    if len(channels) == 1:
        return {_identifier(variable or channels[0]): ([0], None)}
    name = variable if variable and ", " not in variable else DATA
    return {_identifier(name): (list(range(len(channels))), ("channel", _labels(channels)))}


def _labels(places: list) -> np.ndarray:
    return np.array(places, object if isinstance(places[0], str) else None)


def _identifier(name: str) -> str:
    """A name as CF allows it: letters, digits and underscores, a letter first."""
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    return name if name[:1].isalpha() else f"channel_{name}"


def _attributes(name: str, volume: xr.Dataset, grid: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a variable: its source's, with the units that its numbers have now."""
    now, sources = volume[DATA].attrs, grid.get("attributes", {})
    if name not in sources:
        return _clean(now)
    found = _clean(sources[name])
    variables = dict.fromkeys(place["variable"] for place in grid["channels"].values())
    units = [str(sources[variable].get("units", "")) for variable in variables if variable in sources]
    joined = units[0] if len(set(units)) == 1 else ", ".join(units)
    if str(now.get("units", "")) != joined:  # numbers in other units than the source's are another quantity
        found.pop("standard_name", None)
        found["units"] = now.get("units", "")
        found |= {key: now[key] for key in ("normalised_from",) if key in now}
    if sources[name].get("grid_mapping") in sources:
        found["grid_mapping"] = sources[name]["grid_mapping"]
    return found


def _clean(attributes: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Attributes that are true of what is written, and that NetCDF can hold."""
    kept = {str(name): value for name, value in attributes.items() if name not in UNTRUE and value not in (None, [])}
    return {name: int(value) if isinstance(value, bool) else value for name, value in kept.items()}
