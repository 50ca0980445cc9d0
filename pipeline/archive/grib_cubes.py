"""The fields of one GRIB parameter as a cube: its axes with their coordinates, and the field at each place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from cfgrib import dataset as cubes_of

from pipeline.archive.grib_fields import BAD, FieldId, Fields
from pipeline.volume import InputError

KEYS = ("typeOfLevel", "stepType", "step", "dataType", "gridType", "edition", "stream", "expver", "shortName")
"""What may choose between fields that are not of one kind, most telling first; other keys of GRIB will do as well."""

SINCE = {"units": "seconds since 1970-01-01T00:00:00", "calendar": "proleptic_gregorian", "standard_name": "time"}

Index = Any
"""What cfgrib knows of fields, a `FieldsetIndex`; its own hints are older than what checks shapes here."""

Place = tuple[int, ...]


@dataclass
class Cube:
    """One variable: its axes with their coordinates, and the field at each place along all but the last two.

    Attributes:
        coordinates: By name, those of the axes and scalar ones alike.
        fields: The field at each place.
        choices: The values that it has of the keys that choose.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    coordinates: dict[str, xr.Variable]
    attributes: dict[str, Any]
    choices: dict[str, set]
    fields: dict[Place, FieldId] = field(repr=False)

    @property
    def short_name(self) -> str:
        return self.attributes.get("GRIB_shortName", self.name)

    def described(self) -> str:
        level = self.attributes.get("GRIB_typeOfLevel", "no level")
        at = self.coordinates.get(level)
        levels = "" if at is None else f" {float(at):g}" if at.ndim == 0 else f" ({at.size} of them)"
        times = self.shape[self.dims.index("time")]
        rows, columns = self.shape[-2:]
        return f"{self.name} on {level}{levels}, {times} times, {rows} x {columns}"


def cubes(index: Index, fields: Fields) -> list[Cube]:
    """The fields of one parameter, apart where they differ in what a variable has one of."""
    try:
        _, variable, coordinates = cubes_of.build_variable_components(
            index,
            encode_cf=("parameter", "time", "geography", "vertical"),
            filter_by_keys=index.filter_by_keys,
            errors="ignore",
            squeeze=False,
        )
    except cubes_of.DatasetBuildError as error:
        parts = error.args[2]
    except (*BAD, TypeError) as error:  # of a type error: some have a value and some have none
        raise InputError(
            f"{fields.name}: messages of parameter {index['paramId'][0]} have a grid, times, steps or levels that "
            f"ecCodes cannot name: {error}; choose others with --select or --variable"
        ) from error
    else:
        return [_cube(index, fields, variable, coordinates)]
    return [cube for part in parts for cube in cubes(index.subindex(part), fields)]


def _cube(index: Index, fields: Fields, variable: Any, found: Mapping[str, Any]) -> Cube:
    attributes = {key: value for key, value in variable.attributes.items() if key != "coordinates"}
    name = next(
        str(attributes[key])
        for key in ("GRIB_cfVarName", "GRIB_shortName", "GRIB_paramId")
        if attributes.get(key, "unknown") not in ("unknown", "undef")
    )
    rank = variable.data.geo_ndim
    headers = variable.dimensions[:-rank]
    if rank != 2:
        raise InputError(
            f"{fields.name}: {name} has {variable.data.shape[-1]} points without rows and columns (grid "
            f"{attributes.get('GRIB_gridType')}); interpolate it to latitudes and longitudes first, for instance with "
            "`cdo -setgridtype,regular`"
        )
    lacking = {"time", "step"} - set(headers)
    if lacking:
        raise InputError(f"{fields.name}: ecCodes cannot name the {' and '.join(sorted(lacking))} of {name}")
    times, steps = found["time"].data, found["step"].data
    if len(times) > 1 and len(steps) > 1:
        hours = ", ".join(f"{step:g}" for step in steps[:20])
        raise InputError(
            f"{fields.name}: {name} has {len(times)} reference times and {len(steps)} steps of a forecast, which are "
            f"two axes of time; take one of the steps with --select step=HOURS ({hours})"
        )
    valid = np.rint(np.add.outer(times, steps * 3600).ravel()).astype(np.int64)
    coordinates = {"time": xr.Variable("time", valid, {**SINCE, "long_name": "time", "axis": "T"})}
    coordinates |= {
        key: xr.Variable(value.dimensions, value.data, value.attributes)
        for key, value in found.items()
        if not set(value.dimensions) & {"time", "step"}
    }
    if len(steps) == 1:
        attrs = {key: value for key, value in found["step"].attributes.items() if key != "dtype"}
        coordinates["step"] = xr.Variable((), steps[0], attrs)
    kept = [axis for axis in headers if axis == "time" or (axis != "step" and len(found[axis].data) > 1)]
    coordinates |= {axis: coordinates[axis].squeeze() for axis in headers if axis not in (*kept, "time", "step")}
    shape = (*(coordinates[axis].size for axis in kept), *variable.data.shape[-rank:])
    return Cube(
        name=name,
        dims=(*kept, *variable.dimensions[-rank:]),
        shape=shape,
        coordinates=coordinates,
        attributes=attributes,
        choices={key: set(index[key]) for key in KEYS},
        fields=_placed(index, fields, name, headers, found, kept),
    )


def _placed(
    index: Index,
    fields: Fields,
    name: str,
    headers: Sequence[str],
    found: Mapping[str, Any],
    kept: Sequence[str],
) -> dict[Place, FieldId]:
    """The field at each place along the axes that are kept.

    Raises:
        InputError: Two different fields are at one place.
    """
    column = {axis: axis if axis in index.index_keys else "level:float" for axis in headers}
    where = {axis: {value: i for i, value in enumerate(found[axis].data.tolist())} for axis in headers}
    placed: dict[Place, FieldId] = {}
    for header, ids in index.iter_index():
        at = {axis: where[axis][header[index.index_keys.index(column[axis])]] for axis in headers}
        at["time"] += at.pop("step")  # one of both is 0
        place = tuple(at[axis] for axis in kept)
        for one in ids:
            other = placed.setdefault(place, one)
            if other != one and fields.digest(other) != fields.digest(one):
                raise InputError(
                    f"{fields.name}: two different fields of {name} are at the same time, level and member: at byte "
                    f"{other[1]} of {fields.paths[other[0]].name} and at byte {one[1]} of "
                    f"{fields.paths[one[0]].name}; choose by another GRIB key with --select KEY=VALUE, or leave one out"
                )
    return placed
