"""Axes as most formats know them: a first place, a step and a unit; and whether that is all of the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

ALONG = {"depth": ("z", "level"), "height": ("y", "latitude"), "width": ("x", "longitude")}
"""The coordinates that tell places along the axes of space."""

LENGTHS = {"mm": 1.0, "um": 1e-3}
"""Units of space that formats of images know, in millimetres."""

TOLERANCE = 1e-3
"""By what part of a step places may lie beside even ones."""


@dataclass(frozen=True)
class Spacing:
    """Places `start + step * i` along an axis.

    Attributes:
        name: The coordinate that tells them; empty where there is none: then places are numbers.
        unit: "s", or that of the coordinate; empty where it has none.
        even: Whether they lie so; else `step` is the mean one.
        dated: Whether they are dates; then they are in seconds since the first.
    """

    name: str
    start: float
    step: float
    unit: str
    even: bool
    dated: bool = False

    @property
    def millimetres(self) -> float:
        """How many millimetres the unit is; 1 where it is none of length."""
        return LENGTHS.get(self.unit, 1.0)


def along_space(volume: xr.Dataset, axis: str) -> Spacing:
    """Of depth, height or width."""
    for name in ALONG[axis]:
        if name in volume.coords and volume[name].dims == (axis,):
            return _of(name, volume[name].values.astype(np.float64), str(volume[name].attrs.get("units", "")))
    return Spacing("", 0.0, 1.0, "", True)


def along_time(volume: xr.Dataset) -> Spacing:
    """Of time: in seconds where dates or seconds are known, else numbers of frames."""
    times, unit = volume["time"].values, str(volume["time"].attrs.get("units", ""))
    if times.dtype.kind == "O":
        seconds = np.array([(time - times[0]).total_seconds() for time in times])
        return _of("time", seconds, "s", dated=True)
    if unit == "s":
        return _of("time", times.astype(np.float64), "s")
    return Spacing("", 0.0, 1.0, "", True)


def seconds(volume: xr.Dataset) -> np.ndarray | None:
    """The times of all frames in seconds, since the first where they are dates; none where they are not known."""
    times = volume["time"].values
    if times.dtype.kind == "O":
        return np.array([(time - times[0]).total_seconds() for time in times])
    return times.astype(np.float64) if volume["time"].attrs.get("units") == "s" else None


def told(spacing: Spacing, axis: str) -> list[str]:
    """What a format loses that knows a start, a step, and units of length and time alone; in words."""
    lines = []
    if spacing.dated:
        lines.append("dates are not kept: times are seconds since the first frame")
    elif spacing.unit and spacing.unit not in (*LENGTHS, "s"):
        lines.append(f"the unit of {spacing.name} ({spacing.unit}) is not kept")
    if not spacing.even:
        unit = f" {spacing.unit}" if spacing.unit else ""
        lines.append(f"{spacing.name or axis} is not even: the mean step of {spacing.step:g}{unit} is written")
    return lines


def _of(name: str, places: np.ndarray, unit: str, *, dated: bool = False) -> Spacing:
    start, count = float(places[0]), len(places)
    if count == 1:
        return Spacing(name, start, 1.0, unit, True, dated)
    step = float(places[-1] - places[0]) / (count - 1)
    even = bool(np.abs(places - (start + step * np.arange(count))).max() <= TOLERANCE * abs(step))
    return Spacing(name, start, step, unit, even, dated)
