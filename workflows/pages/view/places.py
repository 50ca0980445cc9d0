"""Places along an axis of space, as a picture shows them: at their values where steps are even, else numbered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ALONG = {"depth": ("level", "z"), "height": ("latitude", "y"), "width": ("longitude", "x")}
"""The coordinates that tell places along the axes of space."""

NUMBERED = {"depth": "slice", "height": "row", "width": "column"}

UNITS = {"degrees_north": "°N", "degrees_east": "°E", "degree_north": "°N", "degree_east": "°E", "um": "µm"}

LEVELS_UP = ("height", "altitude", "geopotential_height")

TOLERANCE = 1e-3
"""By what part of a step places may lie beside even ones."""


@dataclass(frozen=True, eq=False)
class Places:
    """Places along an axis.

    Attributes:
        size: How many.
        name: Of the coordinate; of the axis where there is none.
        unit: Of the coordinate, as the store has it.
        values: (size), float64; `None` without a coordinate.
        upward: Whether they increase upwards in a picture.
    """

    size: int
    name: str
    unit: str
    values: np.ndarray | None
    upward: bool

    @property
    def even(self) -> bool:
        """Whether pictures have the places at their values; else at their numbers."""
        if self.values is None or self.size < 2 or not np.isfinite(self.values).all():
            return False
        step = (self.values[-1] - self.values[0]) / (self.size - 1)
        line = self.values[0] + step * np.arange(self.size)
        return bool(step != 0 and np.abs(self.values - line).max() <= TOLERANCE * abs(step))

    @property
    def start(self) -> float:
        """Where the first is in a picture."""
        return float(self.values[0]) if self.even else 0.0

    @property
    def step(self) -> float:
        """From one to the next; negative where values decrease."""
        return float(self.values[-1] - self.values[0]) / (self.size - 1) if self.even else 1.0

    @property
    def metric(self) -> str:
        """Axes of the same metric are drawn to the same scale: "°", a unit of length, or "voxel"."""
        if not self.even:
            return "voxel"
        return "°" if self.unit.startswith("degree") else self.unit

    @property
    def title(self) -> str:
        """Of the axis."""
        unit = UNITS.get(self.unit, self.unit)
        return f"{self.name} ({unit})" if unit else self.name

    def at(self, number: float) -> float:
        """Where a place is in a picture."""
        return self.start + self.step * number

    def number(self, position: float) -> int:
        """The place that is nearest to a position."""
        return int(np.clip(np.rint((position - self.start) / self.step), 0, self.size - 1))

    def edges(self, first: int, last: int) -> tuple[float, float]:
        """The lower and the higher edge of the places from the first to the last."""
        low, high = sorted((self.at(first - 0.5), self.at(last + 0.5)))
        return low, high

    def words(self, number: int) -> str:
        """A place as people read it: `latitude 45 °N`, `row 7`."""
        if self.values is None:
            return f"{self.name} {number}"
        unit = UNITS.get(self.unit, self.unit)
        return f"{self.name} {self.values[number] + 0.0:.5g}{' ' + unit if unit else ''}"


def places(axis: str, size: int, coordinate: tuple[str, np.ndarray, dict] | None, *, in_patient: bool) -> Places:
    """The places along an axis.

    North is up, and so are head and front of a patient; rows of images go down, and so do levels, unless they say that
    they are heights.

    Args:
        axis: depth, height or width.
        coordinate: Its name, values and attributes; `None` where there is none.
        in_patient: Whether the volume's affine tells how voxels lie in a patient.
    """
    name, values, attributes = coordinate or (NUMBERED[axis], None, {})
    unit = str(attributes.get("units", ""))
    upward = name == "latitude" or (in_patient and name in ("z", "y"))
    if name == "level":
        upward = attributes.get("positive") == "up" or attributes.get("standard_name") in LEVELS_UP
    known = None if values is None or values.dtype.kind not in "fiu" else values.astype(np.float64)
    return Places(size, name, unit, known, bool(upward or axis == "width"))
