"""Parts of a volume: by the coordinates of its axes (`select`), or by the numbers of its voxels (`crop`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import xarray as xr

from pipeline.archive.select import selected
from pipeline.reshape.places import moved
from pipeline.volume import SPACE, InputError, Settings

Span = tuple[int, int]


@dataclass(frozen=True)
class Crop(Settings):
    """Voxels along each axis.

    Attributes:
        depth, height, width: Along that axis, from 0: the first that is taken, and the first that is not taken any
            more.
    """

    depth: Span | None = None
    height: Span | None = None
    width: Span | None = None

    def __post_init__(self):
        for axis, (first, stop) in self.spans.items():
            if not 0 <= first < stop:
                raise ValueError(f"{axis} is cropped to [{first}, {stop}]; give 0 <= first < last")

    @property
    def spans(self) -> dict[str, Span]:
        return {axis: span for axis, span in asdict(self).items() if span is not None}


def crop(volume: xr.Dataset, settings: Crop) -> xr.Dataset:
    """The voxels of the spans; coordinates and affine go with them.

    Raises:
        InputError: A span ends beyond the volume.
    """
    for axis, (first, stop) in settings.spans.items():
        if stop > volume.sizes[axis]:
            raise InputError(
                f"{axis} is to be cropped to [{first}, {stop}] and has {volume.sizes[axis]} voxels; "
                f"end at {volume.sizes[axis]} at most"
            )
    volume = moved(volume, {axis: first for axis, (first, _) in settings.spans.items()}, {})
    return volume.isel({axis: slice(*span) for axis, span in settings.spans.items()})


def select(volume: xr.Dataset, wanted: Mapping[str, str | int | float]) -> xr.Dataset:
    """What is wanted of each axis, as `pipeline.archive.select` has it; an affine goes with it.

    Raises:
        InputError: There is no such axis; nothing is selected; a value is not there.
    """
    numbers = {f"number along {axis}": (axis, np.arange(volume.sizes[axis])) for axis in SPACE}
    found = volume.assign_coords(numbers)
    for name, what in wanted.items():
        found = selected(found, name, str(what))
    first = {axis: int(found[f"number along {axis}"].values[0]) for axis in SPACE}
    return moved(found.drop_vars(list(numbers)), first, {})
