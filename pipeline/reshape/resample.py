"""Fewer frames: means, sums or others over groups of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import dask.array
import numpy as np
import xarray as xr

from pipeline.reshape.fold import FOLDS, folded, mean, wide
from pipeline.reshape.frames import lazy, real
from pipeline.reshape.periods import Group, by_number, by_period, duration, intervals, segments
from pipeline.volume import AXES, DATA, InputError, Settings

GAP = 1.5
"""How many usual steps there may be between frames of a sum."""

CELL_METHODS = {"mean": "mean", "sum": "sum", "min": "minimum", "max": "maximum"}
"""What the CF conventions call them."""

MISSING = {"sum": np.any, "first": lambda frames: frames[0], "last": lambda frames: frames[-1]}
"""Whether what was made of frames is missing, by whether each is; where it is not named, if all are."""


@dataclass(frozen=True)
class Resample(Settings):
    """Which frames become one, and how.

    Attributes:
        every: A number of frames; or `month`, `year`, `day`, or a time such as `6h`.
        how: `mean`, `min` and `max` are of what is not missing; a `sum` of which anything is missing is missing;
            `first` and `last` are frames as they are.
    """

    every: int | str
    how: Literal["mean", "sum", "min", "max", "first", "last"] = "mean"

    def __post_init__(self):
        if isinstance(self.every, str):
            duration(self.every)
        elif self.every < 1:
            raise ValueError(f"every is {self.every} frames; give at least 1")


def resample(volume: xr.Dataset, settings: Resample) -> xr.Dataset:
    """One frame for each group of frames, see `pipeline.reshape.periods`; its time is the beginning of the period, for
    numbers of frames that of its first frame.

    A mean is float32 (float64 of wide numbers), computed in float64; so is a sum. A period without frames between
    others is a frame of NaN, so that even times stay even. No group has frames of two runs. What is in no group, since
    it does not fill one, is told in the attribute `left_out`. `missing` says that no frame of a group could be read (of
    a sum: not all). Other coordinates along time stay where they are one within every group.

    Raises:
        InputError: No group is complete; the times have a gap, and sums are asked for; see `by_period`.
    """
    times, frames = volume["time"].values, volume.sizes["time"]
    parts = segments(volume["run"].values if "run" in volume.coords else None, frames)
    if isinstance(settings.every, int):
        groups = by_number(times, parts, settings.every)
    else:
        groups = by_period(times, volume["time"].attrs.get("units", ""), parts, settings.every)
    if settings.how == "sum":
        _refuse_gaps(times, parts)
    if not groups:
        raise InputError(
            f"none of its {len(parts)} runs of {frames} frames in all, from {times[0]} to {times[-1]}, fills every "
            f"{settings.every}; give less"
        )
    used = np.concatenate([np.arange(group.start, group.stop) for group in groups])
    data = lazy(volume)
    data = data if len(used) == frames else data[used]
    found = _spread(_reduced(data, [g.stop - g.start for g in groups if g.stop > g.start], settings.how), groups)
    coordinates = {
        name: volume[name].variable for name in volume.coords if "time" not in volume[name].dims and name != "time"
    }
    coordinates |= _along_time(volume, groups, settings.how)
    attributes = dict(volume[DATA].attrs)
    if settings.how in CELL_METHODS:
        before = attributes.get("cell_methods", "")
        attributes["cell_methods"] = f"{before} time: {CELL_METHODS[settings.how]}".strip()
    resampled = xr.Dataset({DATA: (AXES, found, attributes)}, coords=coordinates, attrs=volume.attrs)
    resampled["time"].encoding = dict(volume["time"].encoding)
    left = _left_out(times, parts, groups)
    return resampled.assign_attrs(left_out=[*volume.attrs.get("left_out", []), *left]) if left else resampled


def _reduced(data: dask.array.Array, lengths: list[int], how: str) -> dask.array.Array:
    if how == "mean":
        return mean(data, lengths, real(data.dtype))
    if how == "sum":
        return folded(data, lengths, FOLDS[how], wide).astype(real(data.dtype))
    return folded(data, lengths, FOLDS[how])


def _spread(data: dask.array.Array, groups: list[Group]) -> dask.array.Array:
    """The frames of groups, NaN for those without."""
    filled = [group.start < group.stop for group in groups]
    if all(filled):
        return data
    data = data.astype(real(data.dtype))
    parts, first = [], 0
    for start, stop in segments(np.array(filled, np.int64), len(filled)):
        if filled[start]:
            parts.append(data[first : first + stop - start])
            first += stop - start
        else:
            shape = (stop - start, *data.shape[1:])
            parts.append(dask.array.full(shape, np.nan, dtype=data.dtype, chunks=(1, *data.chunks[1:])))
    return dask.array.concatenate(parts)


def _along_time(volume: xr.Dataset, groups: list[Group], how: str) -> dict[str, xr.Variable]:
    times = volume["time"]
    values = np.array([group.time for group in groups], times.dtype)
    found = {"time": xr.Variable("time", values, times.attrs)}
    for name, coordinate in volume.coords.items():
        if coordinate.dims != ("time",) or name == "time":
            continue
        known = coordinate.values  # read once
        own = [known[group.start : max(group.stop, group.start + 1)] for group in groups]
        if name == "missing":
            empty = np.array([group.start == group.stop for group in groups])
            values = np.array([MISSING.get(how, np.all)(part) for part in own], bool) | empty
        elif all((part == part[0]).all() for part in own):
            values = np.array([part[0] for part in own], coordinate.dtype)
        else:
            continue
        found[str(name)] = xr.Variable("time", values, coordinate.attrs)
    return found


def _refuse_gaps(times: np.ndarray, parts: list[tuple[int, int]]) -> None:
    for start, stop in parts:
        steps = intervals(times[start:stop])
        if len(steps) and steps.max() > GAP * np.median(steps):
            where = start + int(steps.argmax())
            raise InputError(
                f"nothing lies between {times[where]} and {times[where + 1]}, {steps.max():g} s, where its frames are "
                f"{np.median(steps):g} s apart, so that a sum would be too small; give how: mean"
            )


def _left_out(times: np.ndarray, parts: list[tuple[int, int]], groups: list[Group]) -> list[str]:
    told = []
    for start, stop in parts:
        inside = [g for g in groups if g.start < g.stop and start <= g.start < stop]
        ends = (inside[0].start, inside[-1].stop) if inside else (stop, stop)
        for first, last in ((start, ends[0]), (ends[1], stop)):
            if first < last:
                span = f"at {times[first]}" if last - first == 1 else f"from {times[first]} to {times[last - 1]}"
                told.append(f"{last - first} of {stop - start} frames, {span}, in no whole group and left out")
    return told
