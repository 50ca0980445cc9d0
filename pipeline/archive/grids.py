"""Variables on grids, as NetCDF, GRIB and Zarr archives have them, to a volume.

Axes are known by the CF conventions (1.11, section 4): units, `axis`, `positive`, `standard_name`; by their names where
these say nothing. Latitudes may go either way and longitudes beyond 360: they stay as they are.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Hashable, Mapping
from typing import Any

import cftime
import numpy as np
import xarray as xr

from pipeline.archive.ask import FILES, VARIABLES, Ask
from pipeline.archive.calendars import decoded
from pipeline.archive.select import selected
from pipeline.volume import AXES, DATA, InputError

ROLES = {
    "time": ({"time", "valid_time", "t"}, {"time"}, "T", set()),
    "latitude": (
        {"latitude", "lat", "nav_lat"},
        {"latitude", "grid_latitude"},
        "",
        {"degrees_north", "degree_north", "degree_n", "degrees_n", "degreen", "degreesn"},
    ),
    "longitude": (
        {"longitude", "lon", "nav_lon"},
        {"longitude", "grid_longitude"},
        "",
        {"degrees_east", "degree_east", "degree_e", "degrees_e", "degreee", "degreese"},
    ),
    "y": ({"y", "yc", "y_coordinate"}, {"projection_y_coordinate"}, "Y", set()),
    "x": ({"x", "xc", "x_coordinate"}, {"projection_x_coordinate"}, "X", set()),
    "level": (
        {"level", "lev", "plev", "depth", "height", "altitude", "z", "pressure", "isobaricinhpa"},
        {"air_pressure", "depth", "height", "altitude", "model_level_number"},
        "Z",
        set(),
    ),
}
"""How an axis of each role is known: by its lower-case names, standard names, the attribute `axis`, and units."""

ALONG = {"latitude": "height", "y": "height", "longitude": "width", "x": "width", "level": "depth"}

DEFAULT_FILLS = {"f4": 9.969209968386869e36, "f8": 9.969209968386869e36, "i2": -32767, "i4": -2147483647}
"""What libraries leave where nothing was written (netcdf.h, NC_FILL_*), whether a file declares it or not."""


def as_volume(dataset: xr.Dataset, ask: Ask, source: str) -> xr.Dataset:
    """A volume (time, channel, depth, height, width) of one or several variables on one grid, lazy.

    The vertical axis, if there is one, is depth. Numbers are float32, or float64 where they are stored with more than
    3 bytes of digits; what is missing, by declaration or because it is a library's default fill, is NaN. The attribute
    `source_grid` tells what writing the same kind again needs, as plain JSON: `axes` (the name of the axis of each
    role), `channels` (for each the variable, and the place along a stacked axis), `attributes` (of each variable, of a
    stacked axis and of a grid mapping).

    Args:
        dataset: Masked and unpacked; times not decoded, or decoded to numpy's.
        source: What it was read from, for messages.

    Raises:
        InputError: No such variable, or none is named where there is a choice; axes that are neither time, level,
            latitude nor longitude and neither selected nor stacked; times that are no dates or do not increase.
    """
    try:
        return _volume(dataset, ask, source)
    except InputError as error:
        if source in str(error):
            raise
        raise InputError(f"{source}: {error}") from error


def _volume(dataset: xr.Dataset, ask: Ask, source: str) -> xr.Dataset:
    names = _variables(dataset, ask, source)
    arrays, origins = zip(*(_as_channels(dataset[name], ask, only=len(names) == 1) for name in names), strict=True)
    for name, array in zip(names[1:], arrays[1:], strict=True):
        if [array.sizes[axis] for axis in AXES if axis != "channel"] != [
            arrays[0].sizes[axis] for axis in AXES if axis != "channel"
        ]:
            raise InputError(
                f"{source}: {names[0]!r} and {name!r} cannot be channels of one volume, their shapes are "
                f"{dataset[names[0]].shape} and {dataset[name].shape}; ingest them apart"
            )
    stacked = xr.concat(arrays, "channel", join="override", coords="minimal", compat="override")
    if len(arrays) > 1 and len({array.attrs.get("units") for array in arrays}) > 1:
        stacked.attrs["units"] = ", ".join(str(array.attrs.get("units", "")) for array in arrays)
    volume = stacked.transpose(*AXES).rename(DATA).to_dataset()
    volume.attrs["source_variable"] = ", ".join(names)
    volume.attrs["source_grid"] = {
        "axes": origins[0]["axes"],
        "channels": {label: place for origin in origins for label, place in origin["channels"].items()},
        "attributes": {name: found for origin in origins for name, found in origin["attributes"].items()}
        | _grid_mappings(dataset, names),
    }
    return volume


def _grid_mappings(dataset: xr.Dataset, names: tuple[str, ...]) -> dict[str, dict]:
    """The attributes of the variables that say how the grid lies on the earth."""
    named = {str(dataset[name].attrs.get("grid_mapping", "")) for name in names}
    return {name: _plain(dataset[name].attrs) for name in sorted(named) if name in dataset.variables}


def _variables(dataset: xr.Dataset, ask: Ask, source: str) -> tuple[str, ...]:
    known = [str(name) for name, array in dataset.data_vars.items() if array.ndim >= 3]
    if not ask.variables:
        if len(known) == 1 or (known and ask.channels == VARIABLES):
            return tuple(known)
        told = ", ".join(known or map(str, dataset.data_vars))
        raise InputError(
            f"{source} has {len(known)} variables of three axes or more, and none is named; name one of {told} as the "
            "variable, or several, which become channels"
        )
    for name in ask.variables:
        if name not in dataset.data_vars:
            near = difflib.get_close_matches(name, map(str, dataset.data_vars), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(str, dataset.data_vars))}"
            raise InputError(f"{source} has no variable {name!r}; {hint}")
    return ask.variables


def _as_channels(array: xr.DataArray, ask: Ask, *, only: bool) -> tuple[xr.DataArray, dict[str, dict]]:
    """One variable with the five axes, and where it came from (`source_grid`); `only` one is named by the variable or
    what is stacked, others by both."""
    name, roles = str(array.name), _roles(array, ask)
    array = _with_dates(array, roles["time"])
    array = _missing_as_nan(array)
    for axis, wanted in ask.select:
        named = axis in array.dims or axis in array.coords
        array = selected(array, axis if named else roles.get(axis, axis), wanted)
    stacked = ask.channels if ask.channels in array.dims and ask.channels not in roles.values() else None
    if ask.channels and ask.channels in (roles.get("level"), "level") and "level" in roles:
        stacked = roles.pop("level")
    if ask.channels not in ("", VARIABLES, FILES) and stacked is None:
        raise InputError(
            f"variable {name!r} has no axis {ask.channels!r} to stack as channels; it has "
            f"{', '.join(map(str, array.dims))}: give one that is neither time, latitude nor longitude"
        )
    known = {axis for axis in array.dims if axis in roles.values() or axis == stacked}
    for axis in [axis for axis in array.dims if axis not in known]:
        if array.sizes[axis] > 1:
            raise InputError(
                f"variable {name!r} has a further axis {axis!r} of {array.sizes[axis]}; take one of it with --select "
                f"{axis}=..., or stack them with --channels {axis}"
            )
        array = array.squeeze(axis)
    labels, places, attributes = [name], [{"variable": name}], {name: _plain(array.attrs)}
    if stacked:
        values = array[stacked].values if stacked in array.coords else np.arange(array.sizes[stacked])
        labels = [f"{'' if only else name + ' '}{ask.channels}={_label(value)}" for value in values]
        places = [{"variable": name, "axis": stacked, "place": _plain_value(value)} for value in values]
        attributes[stacked] = _plain(array[stacked].attrs)
        array = array.drop_vars([c for c in array.coords if stacked in array[c].dims])
    origin = {"axes": roles, "channels": dict(zip(labels, places, strict=True)), "attributes": attributes}
    return _renamed(array, roles, stacked, labels), origin


def _roles(array: xr.DataArray, ask: Ask) -> dict[str, str]:
    """The axis of each role that a variable has."""
    if ask.time and ask.time not in array.dims:
        raise InputError(
            f"variable {array.name!r} has no axis {ask.time!r} to be time; it has {', '.join(map(str, array.dims))}"
        )
    found: dict[str, str] = {"time": ask.time} if ask.time else {}
    flat = {str(axis): array.coords.get(axis) for axis in array.dims}
    for role in ROLES:
        for axis, coordinate in flat.items():
            if role not in found and axis not in found.values() and _plays(role, axis, coordinate):
                found[role] = axis
    for role, axis in (("latitude", -2), ("longitude", -1)):  # on a bent grid both lie along two axes
        bent = [c for c in array.coords.values() if c.ndim == 2 and _plays(role, str(c.name), c)]
        if role not in found and bent:
            found[role] = str(bent[0].dims[axis])
    rows, columns = (next((r for r in pair if r in found), None) for pair in (("latitude", "y"), ("longitude", "x")))
    if "time" not in found or rows is None or columns is None:
        lacking = [
            what for what, has in (("time", "time" in found), ("latitude", rows), ("longitude", columns)) if not has
        ]
        raise InputError(
            f"variable {array.name!r} has the axes {array.dims}; expected time, latitude and longitude, and none of "
            f"them is known as {' or '.join(lacking)}; give it the units that CF wants (days since ..., degrees_north, "
            "degrees_east), or name the axis of time with --time"
        )
    return {role: axis for role, axis in found.items() if role in ("time", "level", rows, columns)}


def _plays(role: str, axis: str, coordinate: xr.DataArray | None) -> bool:
    names, standard, letter, units = ROLES[role]
    if coordinate is None:
        return axis.lower() in names
    attributes = {key: str(value) for key, value in coordinate.attrs.items()}
    said = attributes.get("units", "").lower()
    if role == "time" and (" since " in said or coordinate.dtype.kind in "MO"):
        return True
    if role == "level" and "positive" in attributes:
        return True
    of_another = any(said in ROLES[other][3] for other in ROLES if other != role) and said
    return not of_another and bool(
        (said and said in units)
        or attributes.get("standard_name") in standard
        or (letter and attributes.get("axis") == letter)
        or axis.lower() in names
    )


def _with_dates(array: xr.DataArray, time: str) -> xr.DataArray:
    """The array with cftime dates that increase."""
    if time not in array.coords:
        raise InputError(
            f"variable {array.name!r} has no time coordinate with units such as 'days since 2000-01-01' along {time!r}"
        )
    if array[time].dtype.kind == "M":
        array = array.convert_calendar("standard", dim=time, use_cftime=True)
    elif not isinstance(array[time].values.flat[0], cftime.datetime):
        array = decoded(array, time)
    times = array[time].values
    later = np.array([one < other for one, other in itertools.pairwise(times)], bool)
    if not later.all():
        where = int(np.flatnonzero(~later)[0])
        raise InputError(
            f"the times of variable {array.name!r} do not increase: frame {where} is at {times[where]}, the next at "
            f"{times[where + 1]}; sort them and drop repeated ones"
        )
    return array


def _missing_as_nan(array: xr.DataArray) -> xr.DataArray:
    """Floating numbers, NaN where nothing was ever written."""
    encoding = array.encoding
    stored = np.dtype(encoding.get("dtype", array.dtype))
    wide = stored.kind == "f" and stored.itemsize == 8
    wide |= stored.kind in "iu" and stored.itemsize >= 4
    kind = np.dtype(np.float64 if wide else np.float32)
    fill = DEFAULT_FILLS.get(stored.str[1:])
    if fill is None or "_FillValue" in encoding or "missing_value" in encoding:
        return array.astype(kind)
    low = high = float(fill)
    if "scale_factor" in encoding or "add_offset" in encoding:
        half = abs(encoding.get("scale_factor", 1)) / 2
        unpacked = fill * encoding.get("scale_factor", 1) + encoding.get("add_offset", 0)
        low, high = unpacked - half, unpacked + half
    return xr.apply_ufunc(
        _blank,
        array,
        kwargs={"low": low, "high": high, "kind": kind},
        dask="parallelized",
        output_dtypes=[kind],
        keep_attrs=True,
    )


def _blank(values: np.ndarray, *, low: float, high: float, kind: np.dtype) -> np.ndarray:
    """Numbers of a kind, NaN where they lie between two others, both included."""
    hits = values == low if low == high else (values >= low) & (values <= high)
    values = values.astype(kind, copy=False)
    return np.where(hits, kind.type(np.nan), values) if hits.any() else values


def _renamed(array: xr.DataArray, roles: dict[str, str], stacked: str | None, labels: list[str]) -> xr.DataArray:
    """The axes and coordinates of a volume."""
    array = array.rename({c: f"{c}_value" for c in array.coords if c in AXES and c not in array.dims})
    if roles["time"] != "time":
        taken = {"time": "time_value"} if "time" in array.coords else {}
        array = array.rename(taken).rename({roles["time"]: "time"})
    for role, axis in sorted(roles.items(), key=lambda pair: pair[0] != "level"):  # it may be called height
        if role == "time":
            continue
        along = ALONG[role]
        if axis in array.coords:  # the coordinate keeps the role's name, the axis gets the volume's
            array = array.rename({axis: role}).reset_index(role) if axis != role else array.reset_index(role)
            array = array.swap_dims({role: along}) if along != role else array
        else:
            array = array.rename({axis: along})
    for axis in set(AXES) - {"channel"} - set(map(str, array.dims)):
        array = array.expand_dims(axis)
    array = array.rename({stacked: "channel"}) if stacked else array.expand_dims("channel")
    bent = {
        str(c.name): role
        for c in array.coords.values()
        for role in ALONG
        if c.ndim == 2 and _plays(role, str(c.name), c)
    }
    array = array.rename({name: role for name, role in bent.items() if name != role and role not in array.coords})
    array["time"].attrs.pop("bounds", None)
    return array.assign_coords(channel=labels)


def _label(value: object) -> str:
    return f"{value:g}" if isinstance(value, (int, float, np.number)) else str(value)


def _plain(attributes: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Attributes as plain JSON."""
    return {str(name): _plain_value(value) for name, value in attributes.items()}


def _plain_value(value: Any) -> Any:
    value = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    return value if isinstance(value, (bool, int, float, str, list)) else str(value)
