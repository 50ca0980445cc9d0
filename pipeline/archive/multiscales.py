"""What OME-Zarr (0.1 to 0.5) says of an image: its axes, where its places lie, and what its channels are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.volume import InputError

ROLES = {"t": "time", "c": "channel", "z": "depth", "y": "height", "x": "width"}
KINDS = {"time": "time", "channel": "channel"}
OLD_AXES = ("t", "c", "z", "y", "x")
"""The axes of all images before 0.3."""

SECONDS = {
    "nanosecond": 1e-9, "microsecond": 1e-6, "millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0,
    "day": 86400.0, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0,
}  # fmt: skip
METRES = {
    "angstrom": 1e-10, "nanometer": 1e-9, "micrometer": 1e-6, "micron": 1e-6, "millimeter": 1e-3, "centimeter": 1e-2,
    "meter": 1.0, "inch": 0.0254, "nm": 1e-9, "um": 1e-6, "\u00b5m": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0,
}  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """An axis of an image; the place of index i is `origin + i * step`, in `unit` ("" where it is not said).

    Attributes:
        role: The axis of a volume that it is; "" where it is none.
    """

    name: str
    role: str
    unit: str
    step: float
    origin: float


@dataclass(frozen=True)
class Image:
    """The finest level of an image: the path of its array in the group, its axes, and its channels' names."""

    path: str
    axes: tuple[Axis, ...]
    labels: tuple[str, ...]
    version: str


def ome_attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a group says as OME-Zarr: its attributes (up to 0.4), or the one named `ome` (0.5)."""
    inner = attributes.get("ome")
    return inner if isinstance(inner, Mapping) else attributes


def image_of(attributes: Mapping[str, Any], source: str, time: str = "") -> Image:
    """The first image that the attributes of a group describe.

    Args:
        time: The name of the axis that is time, where that is not the one that says so.

    Raises:
        InputError: The description is incomplete, or no axis is time.
    """
    ome = ome_attributes(attributes)
    try:
        scales = ome["multiscales"][0]
        finest = scales["datasets"][0]
        path = str(finest["path"])
        named = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in scales.get("axes", OLD_AXES)]
        names = [str(axis["name"]) for axis in named]
        steps, origins = np.ones(len(names)), np.zeros(len(names))
        for one in (*finest.get("coordinateTransformations", ()), *scales.get("coordinateTransformations", ())):
            _transform(one, steps, origins)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"{source}: its attribute `multiscales` is not as OME-Zarr wants it ({type(error).__name__}: {error}); "
            "write it again with a current writer, or name one of its arrays"
        ) from error
    if time and time not in names:
        raise InputError(f"{source} has no axis {time!r}; its axes are {', '.join(names)}")
    axes = tuple(
        Axis(name, _role(axis, name, time), str(axis.get("unit") or ""), float(step), float(origin))
        for axis, name, step, origin in zip(named, names, steps, origins, strict=True)
    )
    if not any(axis.role == "time" for axis in axes):
        raise InputError(f"{source} has the axes {', '.join(names)}, and none is time; name one with --time")
    channels = ome.get("omero", {}).get("channels", ())
    labels = tuple(str(channel.get("label", "")) for channel in channels)
    return Image(path, axes, labels, str(ome.get("version") or scales.get("version") or "?"))


def channel_names(labels: Sequence[str], count: int) -> list[str]:
    """The names of channels as labelled, numbered where they are not, or where a label is used twice."""
    if len(labels) != count or not all(labels):
        return [f"channel {number}" for number in range(count)]
    if len(set(labels)) < count:
        return [f"{label} {number}" for number, label in enumerate(labels)]
    return list(labels)


def along(axis: Axis, size: int, source: str) -> tuple[np.ndarray, dict[str, str]]:
    """Where the places of an axis lie, and the attributes that say it: seconds for time, "um" or "mm" for space.

    Time without a unit is numbered; space without one is as it is.

    Raises:
        InputError: Times do not increase, or their unit is unknown.
    """
    places = axis.origin + axis.step * np.arange(size)
    if axis.role == "time":
        if not axis.unit or axis.unit in METRES:
            return np.arange(size, dtype=float), {}
        if axis.unit not in SECONDS:
            raise InputError(
                f"{source}: time is in {axis.unit!r}, which is none of {', '.join(SECONDS)}; mend its unit"
            )
        if axis.step <= 0:
            raise InputError(f"{source}: a frame is {axis.step:g} {axis.unit} after the one before; mend its scale")
        return places * SECONDS[axis.unit], {"units": "s"}
    if axis.unit not in METRES:
        return places, {"units": axis.unit} if axis.unit else {}
    metres = METRES[axis.unit]
    unit, shown = ("mm", 1e-3) if metres >= 1e-3 else ("um", 1e-6)
    return places * (metres / shown), {"units": unit}


def _role(axis: Mapping[str, Any], name: str, time: str) -> str:
    role = KINDS.get(str(axis.get("type", "")), ROLES.get(name.lower(), ""))
    if time:
        return "time" if name == time else "" if role == "time" else role
    return role


def _transform(one: Mapping[str, Any], steps: np.ndarray, origins: np.ndarray) -> None:
    kind = one["type"]
    if kind == "scale":
        factors = np.array(one["scale"], float)
        steps[:], origins[:] = steps * factors, origins * factors
    elif kind == "translation":
        origins[:] = origins + np.array(one["translation"], float)
    elif kind != "identity":
        raise ValueError(f"transformation of type {kind!r}")
