"""GRIB, editions 1 and 2, by cfgrib and ecCodes: all variables on one grid as a lazy dataset, as CF describes them.

Nothing is written beside the files, and no message is passed over silently.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import dask.array
import numpy as np
import xarray as xr
from cfgrib import cfmessage
from cfgrib import dataset as cubes_of
from cfgrib.messages import FieldsetIndex

from pipeline.archive.assemble import READ_BYTES
from pipeline.archive.grib_cubes import KEYS, Cube, Index, cubes
from pipeline.archive.grib_fields import Fields
from pipeline.volume import InputError

TOLD = 3
"""How many of many things a message names."""


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
        skip_bad: Whether broken messages, absent fields and those that cannot be unpacked are NaN and listed in the
            attribute `skipped`, a list of sentences; else they are errors, the last when they are computed. It unpacks
            every field once to know.

    Raises:
        InputError: Messages are broken, or fields absent or contradictory; there are several times and several steps;
            the fields do not fit on one grid with common axes: the message names the groups and how to choose one.
    """
    fields = Fields(tuple(paths), skip_bad)
    more = set(keys or ()) | {"time", "step"} | set(KEYS)
    index = FieldsetIndex.from_fieldset(fields, sorted({*cubes_of.INDEX_KEYS, *more}), cfmessage.COMPUTED_KEYS)
    skipped = _skipped(fields)
    for key, wanted in (keys or {}).items():
        index = _restricted(index, key, wanted, fields.name)
    found = [cube for part in _parts(index) for cube in cubes(part, fields)]
    found = _of(variables, found, fields.name)
    groups = _groups(found)
    if len(groups) > 1:
        raise InputError(_several(groups, fields.name))
    skipped += [one for cube in groups[0] for one in _absent(cube, fields)]
    if skip_bad:
        skipped += [one for cube in groups[0] for one in _without_undecodable(cube, fields)]
    dataset = _dataset(groups[0], fields)
    dataset.attrs = {f"GRIB_{key}": index[key][0] for key in cubes_of.GLOBAL_ATTRIBUTES_KEYS if len(index[key]) == 1}
    dataset.attrs |= {"Conventions": "CF-1.7"} | ({"skipped": skipped} if skipped else {})
    return dataset


def _skipped(fields: Fields) -> list[str]:
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


def _of(variables: Sequence[str], cubes: list[Cube], name: str) -> list[Cube]:
    for wanted in variables:
        if not any(wanted in (cube.name, cube.short_name) for cube in cubes):
            known = ", ".join(dict.fromkeys(cube.name for cube in cubes))
            raise InputError(f"{name} has no variable {wanted!r}; it has {known}")
    return [cube for wanted in variables for cube in cubes if wanted in (cube.name, cube.short_name)] or cubes


def _groups(cubes: list[Cube]) -> list[list[Cube]]:
    """The variables that fit into one dataset: of different names, equal along the axes that they share."""
    groups: list[list[Cube]] = []
    for cube in cubes:
        for group in groups:
            if all(_fit(cube, other) for other in group):
                group.append(cube)
                break
        else:
            groups.append([cube])
    return groups


def _fit(one: Cube, other: Cube) -> bool:
    if one.name == other.name or one.dims[-2:] != other.dims[-2:]:
        return False
    shared = (set(one.dims) & set(other.dims)) | {"latitude", "longitude"}
    return all(one.coordinates[axis].identical(other.coordinates[axis]) for axis in shared if axis in one.coordinates)


def _several(groups: list[list[Cube]], name: str) -> str:
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


def _absent(cube: Cube, fields: Fields) -> list[str]:
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


def _without_undecodable(cube: Cube, fields: Fields) -> list[str]:
    """What is said about the fields of a variable whose numbers cannot be unpacked; they are taken out of it.

    Raises:
        InputError: It has no others.
    """
    told = []
    for place, field in list(cube.fields.items()):
        why = fields.why_undecodable(field, cube.shape[-2:])
        if why:
            del cube.fields[place]
            where = ", ".join(_place_named(cube, axis, at) for axis, at in zip(cube.dims[:-2], place, strict=True))
            told.append(f"{fields.paths[field[0]].name}: {why} ({cube.name}, {where})")
    if not cube.fields:
        raise InputError(f"{fields.name}: no field of {cube.name} can be unpacked: {told[0]}; fetch the file again")
    return told


def _place_named(cube: Cube, axis: str, at: int) -> str:
    value = cube.coordinates[axis].values[at]
    return f"{axis} {np.datetime64(int(value), 's')}" if axis == "time" else f"{axis} {value:g}"


def _dataset(group: list[Cube], fields: Fields) -> xr.Dataset:
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


def _lazy(cube: Cube, fields: Fields) -> dask.array.Array:
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
