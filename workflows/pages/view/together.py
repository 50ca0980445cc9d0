"""Volumes beside each other: at one time, in one channel, in a plane; and the difference of two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workflows.pages.view.places import Places
from workflows.pages.view.times import Timeline
from workflows.pages.view.volume import Box, Volume, refuse_unlike


@dataclass(frozen=True)
class Plane:
    """A plane through a volume; axes are 0 depth, 1 height, 2 width.

    Attributes:
        name: What it is called.
        x, y: The axes that run right and up in it.
        across: The axis that it is a place of.
    """

    name: str
    x: int
    y: int
    across: int


PLANES = (Plane("height by width", 2, 1, 0), Plane("depth by width", 2, 0, 1), Plane("depth by height", 1, 0, 2))


@dataclass(frozen=True)
class Item:
    """What a picture is of: a volume, or a volume less another, by their numbers."""

    volume: int
    less: int | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """Numbers as a picture has them.

    Attributes:
        values: (rows, columns), float32; the first row is the lowest of the axis, the first column too.
        x, y: The lower edges, on the axes of the places.
        width, height: In the same units.
        stride: Of how many rows, and of how many columns, one is in it.
        empty: Why there are no numbers; else empty.
    """

    values: np.ndarray
    x: float
    y: float
    width: float
    height: float
    stride: tuple[int, int]
    empty: str


class Together:
    """Volumes on one grid, in the order in which they are shown.

    Args:
        volumes: One, or several.

    Attributes:
        timeline: The times that any has.
        channels: The names that any has.
        planes: Three, or of images one.

    Raises:
        InputError: They do not go together: their grids, or their times.
    """

    def __init__(self, volumes: Sequence[Volume]):
        self.volumes = list(volumes)
        refuse_unlike(self.volumes)
        self.timeline = Timeline([volume.clock for volume in volumes], [volume.label for volume in volumes])
        self._alone = all(len(volume.channels) == 1 for volume in volumes)
        named = [name for volume in volumes for name in volume.channels]
        self.channels = list(dict.fromkeys(named[:1] if self._alone else named))
        self.sizes = volumes[0].sizes
        self.places = [_known(own) for own in zip(*(volume.places for volume in volumes), strict=True)]
        self.planes = PLANES if self.sizes[0] > 1 else PLANES[:1]

    def frame(self, volume: int, time: int) -> int:
        """The frame of a volume at a time; -1 where it has none."""
        return int(self.timeline.frames[volume][time])

    def channel(self, volume: int, name: str) -> int | None:
        """The number of a channel; the only ones of all volumes are one, whatever they are called."""
        if self._alone:
            return 0
        own = self.volumes[volume].channels
        return own.index(name) if name in own else None

    def where(self, voxel: Sequence[int]) -> str:
        """A voxel as people read it: `latitude 45 °N, longitude 7 °E`."""
        return ", ".join(own.words(place) for own, place in zip(self.places, voxel, strict=True) if own.size > 1)

    def unit(self, item: Item) -> str:
        return self.volumes[item.volume].unit

    def empty(self, item: Item, time: int, channel: str) -> str:
        """Why there is nothing to be shown; empty where there is something."""
        of = [number for number in (item.volume, item.less) if number is not None]
        for number in of:
            if self.channel(number, channel) is None:
                return f"{self._which(item, number)}no channel {channel}"
            if self.frame(number, time) < 0:
                return f"{self._which(item, number)}no frame at this time"
        units = [self.volumes[number].unit for number in of]
        return f"units differ: {' and '.join(u or 'none' for u in units)}" if len(set(units)) > 1 else ""

    def _which(self, item: Item, number: int) -> str:
        return "" if item.less is None else f"{self.volumes[number].label}: "

    def read(self, item: Item, time: int, channel: str, box: Box) -> np.ndarray:
        """Numbers at a time that has them: (depth, height, width); a difference in float64."""
        found = []
        for number in (item.volume, item.less):
            if number is not None:
                frame = self.frame(number, time)
                part = self.volumes[number].read(slice(frame, frame + 1), self.channel(number, channel), box)
                found.append(part[0])
        return found[0] if item.less is None else found[0].astype(np.float64) - found[1].astype(np.float64)

    def value(self, item: Item, time: int, channel: str, voxel: tuple[int, int, int]) -> np.generic | None:
        """A number, as the store has it; `None` where there is nothing."""
        if self.empty(item, time, channel):
            return None
        return self.read(item, time, channel, tuple(slice(place, place + 1) for place in voxel))[0, 0, 0]

    def picture(
        self,
        item: Item,
        time: int,
        channel: str,
        plane: Plane,
        voxel: Sequence[int],
        window: tuple[tuple[float, float], tuple[float, float]],
        pixels: tuple[int, int],
    ) -> Picture:
        """What lies in a plane through a voxel.

        Args:
            window: What of the axes x and y is to be seen: from, to.
            pixels: Of the screen, for that, along x and y. Of more numbers than these, every n-th is taken.
        """
        columns, rows = (
            _thinned(self.places[axis], *seen, wide)
            for axis, seen, wide in zip((plane.x, plane.y), window, pixels, strict=True)
        )
        box: list[slice] = [slice(place, place + 1) for place in voxel]
        sides = []
        for axis, (start, stop, stride) in ((plane.x, columns), (plane.y, rows)):
            box[axis] = slice(min(start + stride // 2, stop - 1), stop, stride)
            count = len(range(*box[axis].indices(stop)))
            sides.append(self.places[axis].edges(start, min(start + count * stride, stop) - 1))
        (x, right), (y, top) = sides
        empty = self.empty(item, time, channel)
        if empty:
            values = np.full((1, 1), np.nan, np.float32)
        else:
            values = np.moveaxis(self.read(item, time, channel, tuple(box)), (plane.y, plane.x), (-2, -1))[0]
            values = values[:: _direction(self.places[plane.y]), :: _direction(self.places[plane.x])]
        shown = np.ascontiguousarray(values, np.float32)
        return Picture(shown, x, y, right - x, top - y, (rows[2], columns[2]), empty)


def _direction(places: Places) -> int:
    return 1 if places.step > 0 else -1


def _known(several: Sequence[Places]) -> Places:
    """The places of the first volume that has a coordinate."""
    return next((places for places in several if places.values is not None), several[0])


def _thinned(places: Places, low: float, high: float, pixels: int) -> tuple[int, int, int]:
    """Which places to read of those that are seen: from, to, and of how many one; a little more than is seen."""
    first, last = sorted((places.number(low), places.number(high)))
    stride = max(1, (last - first + 1) // max(1, pixels))
    spare = (last - first + 1) // 8 + 1
    start = max(0, first - spare) // stride * stride
    return start, min(places.size, last + 1 + spare), stride


def described(together: Together) -> list[str]:
    """What each volume is, in words."""
    lines = []
    for volume in together.volumes:
        grid = " x ".join(str(size) for size in volume.sizes[together.sizes[0] == 1 :])
        channels = f", {len(volume.channels)} channels" if len(volume.channels) > 1 else ""
        size, unit = next((n, u) for n, u in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")) if volume.nbytes >= n)
        restored = f"; stored normalised, shown in {volume.unit or 'the numbers of its source'}"
        lines.append(
            f"{volume.frames} frames{channels} of {grid}, {volume.nbytes / size:.3g} {unit}"
            f"{restored if volume.restored else ''}"
        )
    return lines
