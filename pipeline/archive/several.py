"""Recordings of several files as one volume: runs one after another without a pause, or channels side by side.

Grids, which know their dates, are joined by `pipeline.archive.join`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import dask.array
import numpy as np
import xarray as xr

from pipeline.archive.ask import Ask
from pipeline.archive.assemble import assemble
from pipeline.volume import AXES, DATA, InputError


def no_variables(ask: Ask, path: Path, kind: str) -> None:
    """Refuses names of variables for a format that has none.

    Raises:
        InputError: Variables are named.
    """
    if ask.variables:
        raise InputError(
            f"{path} is {kind}, which has no variables, and {', '.join(map(repr, ask.variables))} is asked of it; "
            f"name no variables"
        )


def as_runs(files: Sequence[tuple[Path, xr.Dataset]]) -> xr.Dataset:
    """Volumes one after another along time, with the coordinate `run` (0, 1, ...) where there are several.

    Times go on: each file's first frame comes one mean interval after the last frame of the file before, so that they
    increase. Frames that one file misses make the whole float32.

    Raises:
        InputError: Two files disagree in frame size, channels or type.
    """
    if len(files) == 1:
        return files[0][1]
    (first, model), *others = files
    for path, volume in others:
        _same("frames (channel, depth, height, width)", (first, model[DATA].shape[1:]), (path, volume[DATA].shape[1:]))
        _same("channels", (first, list(model["channel"].values)), (path, list(volume["channel"].values)))
        if "missing" not in model.coords:
            _same("the type", (first, model[DATA].dtype), (path, volume[DATA].dtype))
    volumes = [volume for _, volume in files]
    dtype = np.result_type(*(volume[DATA].dtype for volume in volumes))
    data = dask.array.concatenate([volume[DATA].data.astype(dtype) for volume in volumes], axis=0)
    runs = np.repeat(np.arange(len(volumes)), [volume.sizes["time"] for volume in volumes])
    kept = {
        str(name): (str(array.dims[0]), array.values, array.attrs)
        for name, array in model.coords.items()
        if name not in ("channel", "time", "missing")
    }
    kept["time"] = ("time", _going_on([volume["time"].values for volume in volumes]), model["time"].attrs)
    kept["run"] = ("time", runs, {})
    if "missing" in model.coords:
        kept["missing"] = ("time", np.concatenate([volume["missing"].values for volume in volumes]), {})
    return assemble(data, channels=list(model["channel"].values), coordinates=kept, attributes=model.attrs)


def as_channels(files: Sequence[tuple[Path, xr.Dataset]]) -> xr.Dataset:
    """Volumes side by side along channel, named by their files; by file and channel where a file has several.

    Raises:
        InputError: Two files disagree in frames, frame size, times or type, or two have the same name.
    """
    (first, model), *others = files
    names = []
    for path, volume in files:
        own = list(volume["channel"].values)
        names += [path.stem] if len(own) == 1 else [f"{path.stem} {name}" for name in own]
    if len(set(names)) < len(names):
        raise InputError(f"two files beside {first} have the same name, and channels are named by their files; rename")
    axes = [axis for axis in AXES if axis != "channel"]
    for path, volume in others:
        sizes = [tuple(each.sizes[axis] for axis in axes) for each in (model, volume)]
        _same("frames (time, depth, height, width)", (first, sizes[0]), (path, sizes[1]))
        if "missing" not in model.coords:
            _same("the type", (first, model[DATA].dtype), (path, volume[DATA].dtype))
        ours, theirs = model["time"].values, volume["time"].values
        apart = np.abs(theirs - ours)
        if np.any(apart > np.median(np.diff(ours)) / 2 if len(ours) > 1 else apart > 0):
            where = int(apart.argmax())
            raise InputError(
                f"frame {where} lies at time {ours[where]} in {first} and at {theirs[where]} in {path}; "
                f"files that are channels must have the same times"
            )
    data = dask.array.concatenate([dask.array.asarray(volume[DATA].data) for _, volume in files], axis=1)
    kept = {
        str(name): (str(array.dims[0]), array.values, array.attrs)
        for name, array in model.coords.items()
        if name != "channel"
    }
    if "missing" in kept:
        kept["missing"] = ("time", np.any([volume["missing"].values for _, volume in files], axis=0), {})
    return assemble(data, channels=names, coordinates=kept, attributes=model.attrs)


def _same(what: str, ours: tuple[Path, object], theirs: tuple[Path, object]) -> None:
    if ours[1] != theirs[1]:
        raise InputError(
            f"{what}: {ours[1]} in {ours[0]} and {theirs[1]} in {theirs[0]}; files read together must agree, "
            f"leave one out or convert it"
        )


def _going_on(times: list[np.ndarray]) -> np.ndarray:
    """Times that increase from one run to the next."""
    joined = [times[0]]
    for own in times[1:]:
        before = joined[-1]
        intervals = before if len(before) > 1 else own
        step = (intervals[-1] - intervals[0]) / (len(intervals) - 1) if len(intervals) > 1 else 1
        joined.append((own - own[0] + before[-1] + step).astype(own.dtype))
    return np.concatenate(joined)
