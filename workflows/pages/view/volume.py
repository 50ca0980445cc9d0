"""A volume as it is shown: any part of it, lazily, in the units of its source, missing where there is no value.

The series of a prepared store are normalised. Where the statistics lie beside it (`statistics.zarr`) numbers are taken
back to their source's units, as `pipeline.dataset.Truth` does it, to the bit; masks make what they mask missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from pipeline.storage.arrays import is_store
from pipeline.storage.glimpse import Glimpse, Recent
from pipeline.volume import DATA, SPACE, InputError
from workflows.pages.view.choose import Chosen
from workflows.pages.view.places import ALONG, Places, places
from workflows.pages.view.times import Clock

PHASE = "phase_of_year"
"""The coordinate that `pipeline.phases` calls so."""

PICTURES = ("video", "NIfTI", "DICOM", "TIFF", "OME-Zarr")
"""Formats of grey or coloured images."""

Box = tuple[slice, slice, slice]
"""A part of (depth, height, width)."""


class Volume:
    """A volume.

    Args:
        chosen: Which.
        recent: Where chunks are kept.

    Attributes:
        label: What it is called.
        frames: How many.
        channels: Their names, without masks.
        sizes: Of depth, height and width.
        clock: The times of its frames.
        places: Along depth, height and width.
        unit: Of its numbers.
        restored: Whether stored numbers are normalised ones, and what is shown is not.

    Raises:
        InputError: It cannot be opened.
    """

    def __init__(self, chosen: Chosen, recent: Recent):
        self._glimpse, self.chosen = Glimpse(chosen.path, recent), chosen
        self._data = self._glimpse.parts(DATA)
        self.label = chosen.label
        self.frames, channels, *sizes = self._data.shape
        self.sizes = (sizes[0], sizes[1], sizes[2])
        self._masks = int(self._glimpse.attributes.get("masks", 0))
        names = self._coordinate("channel")
        named = [str(name) for name in names[0]] if names else [f"channel {number}" for number in range(channels)]
        self.channels = named[: channels - self._masks]
        times = self._coordinate("time")
        self.clock = Clock.of(*(times or (None, {})), self.frames)
        self.places: tuple[Places, Places, Places] = tuple(map(self._places, SPACE))
        attributes = self._data.attributes
        statistics = chosen.store.parent / "statistics.zarr"
        self.restored = "normalised_from" in attributes and is_store(statistics)
        self.unit = str(attributes.get("normalised_from" if self.restored else "units", ""))
        self._statistics = Glimpse(statistics, recent) if self.restored else None
        if "normalised_from" in attributes and not self.restored:
            self.unit = "normalised"

    def _coordinate(self, name: str) -> tuple[np.ndarray, dict] | None:
        if name not in self._glimpse.names:
            return None
        values, array = self._glimpse.whole(name)
        return values, array.attributes

    def _places(self, axis: str) -> Places:
        size = self._data.shape[self._data.axes.index(axis)]
        for name in ALONG[axis]:
            if name in self._glimpse.names and self._glimpse.parts(name).axes == (axis,):
                values, attributes = self._coordinate(name)
                return places(axis, size, (name, values, attributes), in_patient="affine" in self._glimpse.attributes)
        return places(axis, size, None, in_patient=False)

    @property
    def dtype(self) -> np.dtype:
        """Of the numbers that are shown."""
        return np.dtype(np.float64) if self.restored else self._data.dtype

    @property
    def nbytes(self) -> int:
        """Of the stored numbers, before compression."""
        return int(np.prod(self._data.shape)) * self._data.dtype.itemsize

    @property
    def photographic(self) -> bool:
        """Whether its source are images."""
        return str(self._glimpse.attributes.get("source_format", "")).startswith(PICTURES)

    @cached_property
    def _runs(self) -> np.ndarray | None:
        found = self._coordinate("run")
        return None if found is None else found[0]

    def run(self, frame: int) -> str:
        """The recording that a frame is of, where there are several: `run 3`; else empty."""
        return "" if self._runs is None else f"run {self._runs[frame]}"

    @cached_property
    def _phases(self) -> np.ndarray | None:
        found = self._coordinate(PHASE)
        return None if found is None else found[0]

    def read(self, frames: slice, channel: int, box: Box, *, keep: bool = True) -> np.ndarray:
        """A part of a channel: (time, depth, height, width); float64 where `restored`, else as it is stored.

        Args:
            frames, box: Parts of the axes; steps are positive.
            keep: Whether the chunks are kept in memory.

        Raises:
            InputError: The store cannot give it.
        """
        stored = self._data.read((frames, slice(channel, channel + 1), *box), keep=keep)[:, 0]
        if self._statistics is not None:
            stored = self._in_units(stored, range(self.frames)[frames], channel, box)
        if self._masks:
            mask = len(self.channels) + (channel if self._masks > 1 else 0)
            known = self._data.read((frames, slice(mask, mask + 1), *box), keep=keep)[:, 0] != 0
            stored = np.where(known, stored, np.nan)
        return stored

    def _in_units(self, normal: np.ndarray, frames: range, channel: int, box: Box) -> np.ndarray:
        def statistic(name: str, *before: int) -> np.ndarray:
            array = self._statistics.parts(name)
            along = [slice(0, 1) if size == 1 else own for size, own in zip(array.shape[-3:], box, strict=True)]
            found = array.read((*(slice(place, place + 1) for place in (*before, channel)), *along))
            return found.reshape(found.shape[-3:])

        restored = normal.astype(np.float64) * statistic("scale") + statistic("mean")
        if "cycle" in self._statistics.names:
            phases = self._phases[frames.start : frames.stop : frames.step]
            for phase in np.unique(phases):
                restored[phases == phase] += statistic("cycle", int(phase))
        restored[:, statistic("count") == 0] = np.nan
        return restored

    def value(self, frame: int, channel: int, voxel: tuple[int, int, int]) -> np.generic:
        """A number."""
        box = tuple(slice(place, place + 1) for place in voxel)
        return self.read(slice(frame, frame + 1), channel, box)[0, 0, 0, 0]

    @property
    def frames_together(self) -> int:
        """Frames of a chunk: what is read for one of them."""
        return self._data.chunks[0]

    def series_bytes(self, frames: int) -> int:
        """What is read, about, for the numbers of one voxel in so many frames in a row; before compression."""
        return -(-frames // self.frames_together) * self._data.chunk_bytes * (2 if self._masks else 1)

    def series(
        self, channel: int, voxel: tuple[int, int, int], start: int, stop: int, *, keep: bool
    ) -> Iterator[tuple[int, np.ndarray]]:
        """The numbers of a voxel in the frames [start, stop), chunk after chunk: the first frame, and (time)."""
        box, chunk = tuple(slice(place, place + 1) for place in voxel), self.frames_together
        for number in range(start // chunk, -(-stop // chunk)):
            first, last = max(start, number * chunk), min(number * chunk + chunk, stop)
            yield first, self.read(slice(first, last), channel, box, keep=keep)[:, 0, 0, 0]


def refuse_unlike(volumes: list[Volume]) -> None:
    """Refuses volumes whose frames do not lie on one grid.

    Raises:
        InputError: Two have other sizes, or places.
    """
    first = volumes[0]
    for volume in volumes[1:]:
        if volume.sizes != first.sizes:
            raise InputError(
                f"frames of {first.chosen.path} are {first.sizes} ({', '.join(SPACE)}), those of {volume.chosen.path} "
                f"are {volume.sizes}; bring one onto the grid of the other (preprocess: regrid, coarsen), or look at "
                "each alone"
            )
        for one, other in zip(first.places, volume.places, strict=True):
            if one.values is None or other.values is None or np.allclose(one.values, other.values, rtol=1e-5):
                continue
            where = int(np.flatnonzero(~np.isclose(one.values, other.values, rtol=1e-5))[0])
            raise InputError(
                f"{first.chosen.path} and {volume.chosen.path} lie on other grids: place {where} is "
                f"{one.words(where)} and {other.words(where)}; bring one onto the grid of the other (preprocess: "
                "regrid), or look at each alone"
            )
