"""OME-Zarr 0.5 (Zarr 3): one level of an image (t, c, z, y, x) with its units, places and channels' names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.export.source import Source, extremes
from pipeline.export.spacing import Spacing, along_space, along_time, told
from pipeline.export.wish import Wish
from pipeline.storage import arrays
from pipeline.volume import CHUNK_BYTES, SPACE

AXES = ("t", "c", "z", "y", "x")
LEVEL = "0"
"""The path of the one level."""

UNITS = {"s": "second", "mm": "millimeter", "um": "micrometer"}
"""Units as OME-Zarr writes them out; axes in others have none."""

COLOURS = {"red": "FF0000", "green": "00FF00", "blue": "0000FF"}
OTHER_COLOURS = ("00FFFF", "FF00FF", "FFFF00", "00FF00", "FF0000", "0000FF")
WHITE = "FFFFFF"

SMALLEST_CHUNK = 256 << 10
LARGEST_SIDE = 1024
"""Chunks have frames together up to so many bytes, and planes in tiles of so many voxels a side."""


def write_ome_zarr(source: Source, path: Path, wish: Wish) -> list[str]:
    """Writes the folder of an image in the volume's own type. Viewers are told the range of each channel's values.

    The specification has a scale and a translation for an axis, no list of places: of uneven axes the mean step is
    written. Axes in degrees or hectopascals keep their numbers and have no unit.
    """
    del wish
    chunks = _chunks(source.shape, source.dtype.itemsize)
    array = arrays.create_array(path, LEVEL, shape=source.shape, chunks=chunks, axes=AXES, dtype=source.dtype)
    low, high = np.full(source.shape[1], np.inf), np.full(source.shape[1], -np.inf)
    for start, frames in source.blocks(chunks[0]):  # whole chunks
        array[start : start + len(frames)] = frames
        for channel in range(frames.shape[1]):
            least, most = extremes(frames[:, channel])
            low[channel], high[channel] = min(low[channel], least), max(high[channel], most)
    spacings = [along_time(source.volume), *(along_space(source.volume, axis) for axis in SPACE)]
    arrays.write_attributes(path, {"ome": metadata(source, spacings, low, high)})
    return [line for s, axis in zip(spacings, ("time", *SPACE), strict=True) for line in told(s, axis)]


def metadata(source: Source, spacings: list[Spacing], low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
    """The attribute `ome` of the group.

    Args:
        spacings: Of time, depth, height and width.
        low, high: The smallest and the largest value of each channel.
    """
    time, *space = spacings
    axes: list[dict[str, str]] = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space"} for name in AXES[2:]]
    for axis, spacing in zip((axes[0], *axes[2:]), spacings, strict=True):
        if spacing.unit in UNITS:
            axis["unit"] = UNITS[spacing.unit]
    scale = [time.step, 1.0, *(s.step for s in space)]
    transformations: list[dict[str, Any]] = [{"type": "scale", "scale": [step or 1.0 for step in scale]}]
    starts = [time.start, 0.0, *(s.start for s in space)]
    if any(starts):
        transformations.append({"type": "translation", "translation": starts})
    channels = [
        {
            "label": name,
            "color": _colour(name, number, source.shape[1]),
            "active": True,
            "window": _window(source.dtype, float(low[number]), float(high[number])),
        }
        for number, name in enumerate(source.channels)
    ]
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": source.path.stem,
                "axes": axes,
                "datasets": [{"path": LEVEL, "coordinateTransformations": transformations}],
            }
        ],
        "omero": {"channels": channels},
    }


def _colour(name: str, number: int, count: int) -> str:
    return COLOURS.get(name) or (WHITE if count == 1 else OTHER_COLOURS[number % len(OTHER_COLOURS)])


def _window(dtype: np.dtype, low: float, high: float) -> dict[str, float]:
    """What is shown black and white, and between what values that may be moved."""
    if low > high:  # nothing is known
        low, high = 0.0, 1.0
    whole = dtype.kind in "iu" and dtype.itemsize <= 2
    least, most = (float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)) if whole else (low, high)
    return {"min": least, "max": most, "start": low, "end": high}


def _chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """One channel; a tile of some planes of one frame, or several frames where they are small."""
    time, _, depth, height, width = shape
    height, width = min(height, LARGEST_SIDE), min(width, LARGEST_SIDE)
    depth = max(1, min(depth, CHUNK_BYTES // (height * width * itemsize)))
    frames = max(1, SMALLEST_CHUNK // (depth * height * width * itemsize)) if depth == shape[2] else 1
    return min(time, frames), 1, depth, height, width
