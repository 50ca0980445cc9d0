"""GRIB, editions 1 and 2, by cfgrib and ecCodes: all variables on one grid as a lazy dataset, as CF describes them.

Nothing is written beside the files, and no message is passed over silently.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.array
import eccodes
import numpy as np
import xarray as xr
from cfgrib import cfmessage
from cfgrib import dataset as cubes_of
from cfgrib.messages import MISSING_VAUE_INDICATOR as MISSING
from cfgrib.messages import FieldsetIndex, Message, multi_enabled
from dask.utils import SerializableLock

from pipeline.archive.assemble import READ_BYTES
from pipeline.archive.grib_messages import Broken, Found, scan
from pipeline.volume import InputError

KEYS = ("typeOfLevel", "stepType", "step", "dataType", "gridType", "edition", "stream", "expver", "shortName")
"""What may choose between fields that are not of one kind, most telling first; other keys of GRIB will do as well."""

SINCE = {"units": "seconds since 1970-01-01T00:00:00", "calendar": "proleptic_gregorian", "standard_name": "time"}

TOLD = 3
"""How many of many things a message names."""

_DECODING = SerializableLock()
"""Held while ecCodes works: what it keeps of files with several fields in a message, all threads share."""

BAD = (eccodes.CodesInternalError, EOFError, KeyError)
"""What ecCodes and cfgrib raise for what they do not understand."""

Index = Any
"""What cfgrib knows of fields, a `FieldsetIndex`; its own hints are older than what checks shapes here."""

Place = tuple[int, ...]
FieldId = tuple[int, int, int]
"""The number of the file, the first byte of the message, and the number of the field in the message."""


def open_grib(
    paths: Sequence[Path],
    *,
    keys: Mapping[str, str] | None = None,
    variables: Sequence[str] = (),
    skip_bad: bool = False,
) -> xr.Dataset:
    """The fields of GRIB files as variables with the axes (number, time, LEVEL, latitude, longitude), lazy float32.

    LEVEL is named by the type of level (`isobaricInhPa`, in hPa). `time` is when a field holds (reference time and
    step), in seconds since 1970, not decoded; it is always an axis, `number` and LEVEL where there are several. What
    there is one of is a scalar coordinate, or where variables differ in it, their attribute `GRIB_...`. Latitudes and
    longitudes are in degrees; projected grids have the axes (y, x) and both along them. Missing values are NaN.

    Args:
        paths: The files; a field may be in any of them.
        keys: Restricts what is read to messages with these values of GRIB keys, such as `typeOfLevel` or `step`.
        variables: Restricts what is read to these names (of the variable, or GRIB's short names), in this order.
        skip_bad: Whether broken messages and absent fields are NaN and listed in the attribute `skipped`, a list of
            sentences; else they are errors.

    Raises:
        InputError: Messages are broken, or fields absent or contradictory; there are several times and several steps;
            the fields do not fit on one grid with common axes: the message names the groups and how to choose one.
    """
    fields = _Fields(tuple(paths), skip_bad)
    more = set(keys or ()) | {"time", "step"} | set(KEYS)
    index = FieldsetIndex.from_fieldset(fields, sorted({*cubes_of.INDEX_KEYS, *more}), cfmessage.COMPUTED_KEYS)
    skipped = _skipped(fields)
    for key, wanted in (keys or {}).items():
        index = _restricted(index, key, wanted, fields.name)
    found = [cube for part in _parts(index) for cube in _cubes(part, fields)]
    found = _of(variables, found, fields.name)
    groups = _groups(found)
    if len(groups) > 1:
        raise InputError(_several(groups, fields.name))
    skipped += [one for cube in groups[0] for one in _absent(cube, fields)]
    dataset = _dataset(groups[0], fields)
    dataset.attrs = {f"GRIB_{key}": index[key][0] for key in cubes_of.GLOBAL_ATTRIBUTES_KEYS if len(index[key]) == 1}
    dataset.attrs |= {"Conventions": "CF-1.7"} | ({"skipped": skipped} if skipped else {})
    return dataset


class _Fields(Mapping):
    """The fields of sound messages by their place, decoded when asked for."""

    def __init__(self, paths: tuple[Path, ...], skip_bad: bool):
        scans = [scan(path) for path in paths]
        self.paths, self.skip_bad = paths, skip_bad
        self.found: list[list[Found]] = [found for found, _ in scans]
        self.broken: list[list[Broken]] = [broken for _, broken in scans]
        self.name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"

    def __len__(self) -> int:
        return sum(message.fields for found in self.found for message in found)

    def __iter__(self) -> Iterator[FieldId]:
        for number, found in enumerate(self.found):
            for message in found:
                yield from ((number, message.offset, part) for part in range(message.fields))

    def items(self) -> Iterator[tuple[FieldId, Mapping[str, Any]]]:
        """The fields that ecCodes understands; messages with others are noted as broken."""
        for place in list(self):
            number, offset, _ = place
            try:
                message = self[place]
                _ = message["gridType"], message["numberOfPoints"]
            except BAD as error:
                self.broken[number].append(Broken(offset, f"ecCodes cannot read a message: {error}"))
                self.found[number] = [one for one in self.found[number] if one.offset != offset]
            else:
                yield place, message

    def __getitem__(self, place: FieldId) -> Mapping[str, Any]:
        number, offset, part = place
        with _DECODING, self.paths[number].open("rb") as file:
            file.seek(offset)
            if part == 0:
                return Message(eccodes.codes_grib_new_from_file(file), errors="ignore")
            with multi_enabled(file):
                for _ in range(part):
                    eccodes.codes_release(eccodes.codes_grib_new_from_file(file))
                return Message(eccodes.codes_grib_new_from_file(file), errors="ignore")

    def values(self, place: FieldId, shape: tuple[int, ...]) -> np.ndarray:
        """The numbers of a field, those that are missing NaN.

        Raises:
            InputError: They cannot be unpacked, and that is not allowed.
        """
        try:
            message = self[place]
            with _DECODING:
                values = cubes_of.get_values_in_order(message, shape).reshape(shape)
        except (*BAD, OSError, ValueError) as error:
            if self.skip_bad:
                return np.full(shape, np.nan, np.float32)
            raise InputError(
                f"{self.paths[place[0]]}: the message at byte {place[1]} cannot be unpacked: {error}; fetch the file "
                "again, or read the rest with --skip-bad"
            ) from error
        return np.where(values == MISSING, np.nan, values).astype(np.float32)

    def digest(self, place: FieldId) -> tuple[str, int]:
        """What tells messages apart that differ in any byte."""
        number, offset, part = place
        length = next(message.length for message in self.found[number] if message.offset == offset)
        with self.paths[number].open("rb") as file:
            file.seek(offset)
            return hashlib.sha256(file.read(length)).hexdigest(), part


def _skipped(fields: _Fields) -> list[str]:
    """What is said about broken messages.

    Raises:
        InputError: There are some, and that is not allowed; or there is none that is sound.
    """
    skipped = []
    for path, found, broken in zip(fields.paths, fields.found, fields.broken, strict=True):
        broken.sort(key=lambda message: message.offset)
        told = [f"at byte {message.offset} {message.why}" for message in broken]
        if not found:
            why = f": {told[0]}" if told else ", no 'GRIB' begins one"
            raise InputError(f"{path} has no GRIB message that can be read{why}; fetch it again")
        if broken and not fields.skip_bad:
            more = f" (and {len(told) - TOLD} more)" if len(told) > TOLD else ""
            raise InputError(
                f"{path} has {len(found)} good and {len(broken)} broken messages: {'; '.join(told[:TOLD])}{more}; "
                "fetch it again, or read what is good with --skip-bad"
            )
        skipped += [f"{path.name}: {one}" for one in told]
    return skipped


def _restricted(index: Index, key: str, wanted: str, name: str) -> Index:
    """The part of an index where a key is as wanted; numbers are compared as numbers."""
    matching = [value for value in index[key] if str(value) == wanted or _as_number(value) == _as_number(wanted)]
    if not matching:
        raise InputError(
            f"{name}: no message has {key}={wanted}; they have {', '.join(map(str, index[key][:20]))}: select one of "
            "these"
        )
    return index.subindex({key: matching})


def _as_number(value: object) -> object:
    """The number that a text is; a text that is none, as an object of its own kind equal to nothing else."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return object()


def _parts(index: Index) -> list[Index]:
    """The fields of one parameter on one grid each."""
    parts = [
        index.subindex(paramId=parameter, md5GridSection=grid)
        for parameter, grid in itertools.product(index["paramId"], index["md5GridSection"])
    ]
    return [part for part in parts if part.field_ids_index]


@dataclass
class _Cube:
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


def _cubes(index: Index, fields: _Fields) -> list[_Cube]:
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
    return [cube for part in parts for cube in _cubes(index.subindex(part), fields)]


def _cube(index: Index, fields: _Fields, variable: Any, found: Mapping[str, Any]) -> _Cube:
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
    return _Cube(
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
    fields: _Fields,
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


def _of(variables: Sequence[str], cubes: list[_Cube], name: str) -> list[_Cube]:
    for wanted in variables:
        if not any(wanted in (cube.name, cube.short_name) for cube in cubes):
            known = ", ".join(dict.fromkeys(cube.name for cube in cubes))
            raise InputError(f"{name} has no variable {wanted!r}; it has {known}")
    return [cube for wanted in variables for cube in cubes if wanted in (cube.name, cube.short_name)] or cubes


def _groups(cubes: list[_Cube]) -> list[list[_Cube]]:
    """The variables that fit into one dataset: of different names, equal along the axes that they share."""
    groups: list[list[_Cube]] = []
    for cube in cubes:
        for group in groups:
            if all(_fit(cube, other) for other in group):
                group.append(cube)
                break
        else:
            groups.append([cube])
    return groups


def _fit(one: _Cube, other: _Cube) -> bool:
    if one.name == other.name or one.dims[-2:] != other.dims[-2:]:
        return False
    shared = (set(one.dims) & set(other.dims)) | {"latitude", "longitude"}
    return all(one.coordinates[axis].identical(other.coordinates[axis]) for axis in shared if axis in one.coordinates)


def _several(groups: list[list[_Cube]], name: str) -> str:
    told = [" and ".join(cube.described() for cube in group) for group in groups]
    ways = []
    for key in KEYS[:-1]:
        values = [set.union(*(cube.choices[key] for cube in group)) for group in groups]
        if all(not one & other for one, other in itertools.combinations(values, 2)):
            ways.append(f"--select {key}={' or '.join(str(value) for value in sorted(values[0], key=str))}")
            break
    names = [{cube.name for cube in group} for group in groups]
    if all(not one & other for one, other in itertools.combinations(names, 2)):
        ways.append(" ".join(f"--variable {cube.name}" for cube in groups[0]))
    numbered = "; ".join(f"({number}) {one}" for number, one in enumerate(told, 1))
    return (
        f"{name} has fields of {len(groups)} kinds that share no axes: {numbered}; choose one kind, the first with "
        f"{' or '.join(ways) or '--select KEY=VALUE for a key of GRIB in which they differ'}"
    )


def _absent(cube: _Cube, fields: _Fields) -> list[str]:
    """What is said about places of a variable where no message has a field.

    Raises:
        InputError: There are some, and that is not allowed.
    """
    leading = cube.shape[:-2]
    count = int(np.prod(leading)) - len(cube.fields)
    if not count:
        return []
    places = itertools.islice((place for place in np.ndindex(leading) if place not in cube.fields), TOLD)
    first = "; ".join(
        ", ".join(_place_named(cube, axis, at) for axis, at in zip(cube.dims[:-2], place, strict=True))
        for place in places
    )
    told = f"{cube.name} has {len(cube.fields)} of the {len(cube.fields) + count} fields that its axes promise"
    told = f"{told}; absent are {first}{f' and {count - TOLD} more' if count > TOLD else ''}"
    if not fields.skip_bad:
        raise InputError(
            f"{fields.name}: {told}; fetch them too, choose others with --select, or have them as missing with "
            "--skip-bad"
        )
    return [told]


def _place_named(cube: _Cube, axis: str, at: int) -> str:
    value = cube.coordinates[axis].values[at]
    return f"{axis} {np.datetime64(int(value), 's')}" if axis == "time" else f"{axis} {value:g}"


def _dataset(group: list[_Cube], fields: _Fields) -> xr.Dataset:
    variables, coordinates = {}, {}
    for cube in group:
        attributes = dict(cube.attributes)
        for key, value in cube.coordinates.items():
            alike = all(key in other.coordinates and value.identical(other.coordinates[key]) for other in group)
            if value.ndim or alike:
                coordinates[key] = value
            else:
                attributes[f"GRIB_{key}"] = value.item()
        variables[cube.name] = (cube.dims, _lazy(cube, fields), attributes)
    return xr.Dataset(variables, coordinates)


def _lazy(cube: _Cube, fields: _Fields) -> dask.array.Array:
    """The numbers of a variable, some megabytes of whole fields at a time."""
    leading, grid = cube.shape[:-2], cube.shape[-2:]
    chunks = dask.array.core.normalize_chunks(
        (*("auto" for _ in leading), *grid), cube.shape, limit=READ_BYTES, dtype=np.float32
    )

    def block(block_info: dict | None = None) -> np.ndarray:
        spans = block_info[None]["array-location"][: len(leading)]
        out = np.full((*(stop - start for start, stop in spans), *grid), np.nan, np.float32)
        for place in itertools.product(*(range(*span) for span in spans)):
            if place in cube.fields:
                at = tuple(one - start for one, (start, _) in zip(place, spans, strict=True))
                out[at] = fields.values(cube.fields[place], grid)
        return out

    return dask.array.map_blocks(block, chunks=chunks, dtype=np.float32, meta=np.empty((0,) * len(chunks), np.float32))
