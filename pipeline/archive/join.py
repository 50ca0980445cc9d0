"""Grids of several files as one: in the order of their dates, or side by side as channels.

Recordings, whose clocks know nothing of each other, are joined by `pipeline.archive.several`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from pipeline.archive.ask import FILES, Ask, Source
from pipeline.volume import DATA, InputError


def join(volumes: Sequence[xr.Dataset], paths: Sequence[Source], ask: Ask) -> xr.Dataset:
    """Files in the order of their times, or as channels, named by their files.

    Raises:
        InputError: Two files have other grids or channels, the same times (or, as channels, other times).
    """
    if len(volumes) == 1:
        return volumes[0]
    for path, volume in zip(paths[1:], volumes[1:], strict=True):
        _refuse_other_grid(volumes[0], volume, paths[0], path)
    if ask.channels == FILES:
        return _as_channels(volumes, paths)
    order = sorted(range(len(volumes)), key=lambda n: volumes[n]["time"].values[0])
    for one, other in itertools.pairwise(order):
        last, first = volumes[one]["time"].values[-1], volumes[other]["time"].values[0]
        if first <= last:
            raise InputError(
                f"{paths[one]} ends at {last} and {paths[other]} begins at {first}: their times overlap; leave one "
                "out, or stack them with --channels files"
            )
        if list(volumes[one]["channel"].values) != list(volumes[other]["channel"].values):
            raise InputError(
                f"{paths[one]} has the channels {', '.join(map(str, volumes[one]['channel'].values))}, {paths[other]} "
                f"{', '.join(map(str, volumes[other]['channel'].values))}; name one variable that both have"
            )
    return _concatenated([volumes[n] for n in order], "time")


def _as_channels(volumes: Sequence[xr.Dataset], paths: Sequence[Source]) -> xr.Dataset:
    named = []
    for path, volume in zip(paths, volumes, strict=True):
        if not np.array_equal(volume["time"].values, volumes[0]["time"].values):
            raise InputError(
                f"{paths[0]} and {path} cannot be channels: they have {volumes[0].sizes['time']} and "
                f"{volume.sizes['time']} frames, or other times; select the times that both have with --select time=..."
            )
        own = [str(name) for name in volume["channel"].values]
        named.append(volume.assign_coords(channel=[Path(path).name.split(".")[0], *own][:1] if len(own) == 1 else own))
    names = [str(name) for volume in named for name in volume["channel"].values]
    if len(set(names)) < len(names):
        raise InputError(f"channels would have the same names, {', '.join(names)}; rename the files")
    return _concatenated(named, "channel")


def _concatenated(volumes: Sequence[xr.Dataset], axis: str) -> xr.Dataset:
    if "missing" in volumes[0].coords and axis == "channel":
        lost = np.any([volume["missing"].values for volume in volumes], axis=0)
        volumes = [volume.assign_coords(missing=volumes[0]["missing"].copy(data=lost)) for volume in volumes]
    found = xr.concat(volumes, axis, data_vars="minimal", coords="minimal", compat="override", join="override",
                      combine_attrs="drop_conflicts")  # fmt: skip
    found["time"].encoding = volumes[0]["time"].encoding
    if all("source_grid" in volume.attrs for volume in volumes):
        found.attrs["source_grid"] = _common([volume.attrs["source_grid"] for volume in volumes])
    return found


def _common(grids: Sequence[dict[str, dict]]) -> dict[str, dict]:
    """The first file's names of axes and channels, and of the attributes those that all files agree in."""
    first, *others = grids
    attributes = {
        name: {
            key: value
            for key, value in own.items()
            if all(o["attributes"].get(name, {}).get(key) == value for o in others)
        }
        for name, own in first["attributes"].items()
    }
    return first | {"attributes": attributes}


def _refuse_other_grid(one: xr.Dataset, other: xr.Dataset, first: Source, second: Source) -> None:
    for axis in ("depth", "height", "width"):
        if one.sizes[axis] != other.sizes[axis]:
            raise InputError(
                f"{first} and {second} have {one.sizes[axis]} and {other.sizes[axis]} places along {axis}; ingest them "
                "apart, or select what both have"
            )
    for name in set(one.coords) & set(other.coords) - {"time", "channel"}:
        a, b = one[name].values, other[name].values
        if "time" not in one[name].dims and a.dtype.kind == "f" and not np.allclose(a, b, rtol=1e-5, equal_nan=True):
            where = int(np.flatnonzero(~np.isclose(a, b, rtol=1e-5, equal_nan=True).ravel())[0])
            raise InputError(
                f"{first} and {second} lie on other grids: {name} is {a.ravel()[where]} and {b.ravel()[where]}; regrid "
                "one of them first"
            )
    if one[DATA].attrs.get("units") != other[DATA].attrs.get("units"):
        units = [volume[DATA].attrs.get("units") for volume in (one, other)]
        raise InputError(f"{first} and {second} have other units, {units[0]} and {units[1]}; convert one of them")
