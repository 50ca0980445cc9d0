"""What was seen of somebody's files, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pipeline.archive import Ask
from workflows.init.sample import Sample

Kind = Literal["climate", "medical", "video"]


@dataclass(frozen=True)
class Series:
    """One series: what one `ingest` stage reads.

    Attributes:
        name: What the recipe calls it.
        sources: As they were given, or where they lie.
        times: Of each frame: dates, seconds, or numbers.
        runs: Frames of each recording without interruption; one number where there is one.
    """

    name: str
    sources: tuple[str, ...]
    times: tuple[Any, ...]
    runs: tuple[int, ...]

    @property
    def frames(self) -> int:
        return len(self.times)


@dataclass(frozen=True)
class Facts:
    """What was seen.

    Attributes:
        format: As `pipeline.archive.kinds` calls it.
        series: One, or several whose times overlap: members, scenarios.
        ask: What the readers are to be told.
        others: Variables that are there and not taken.
        channels: Their names.
        grid: Voxels of (depth, height, width).
        dtype: The type of the numbers as they are read.
        units: Of the values; empty where they are not known.
        clock: `dates`, `seconds`, or `numbers` of frames.
        calendar: Of dates.
        levels: The places along depth and their unit, of grids that have levels.
        latitudes: The least and the greatest; `None` of what is no grid on the earth, or a bent one.
        closes: Whether longitudes go once around.
        voxel: Sizes along depth, height, width, and their unit; `None` where they are not known.
        sample: A look at the numbers.
    """

    format: str
    series: tuple[Series, ...]
    ask: Ask
    channels: tuple[str, ...]
    grid: tuple[int, int, int]
    dtype: str
    clock: Literal["dates", "seconds", "numbers"]
    sample: Sample
    others: tuple[str, ...] = ()
    units: str = ""
    calendar: str = ""
    levels: tuple[tuple[float, ...], str] | None = None
    latitudes: tuple[float, float] | None = None
    closes: bool = False
    voxel: tuple[tuple[float, ...], str] | None = None

    @property
    def first(self) -> Series:
        return self.series[0]

    @property
    def voxels(self) -> int:
        return int(np.prod(self.grid))

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame as float32, all channels."""
        return 4 * self.voxels * len(self.channels)
