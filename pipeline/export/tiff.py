"""OME-TIFF through tifffile: a page for each plane, and OME-XML with axes, sizes, times and channels' names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from pipeline.export.source import Source
from pipeline.export.spacing import along_space, along_time, seconds, told
from pipeline.export.wish import Wish
from pipeline.volume import InputError

TYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")
"""The types of OME-XML; bool and float16 become the next larger one."""

LARGER = {"bool": "uint8", "float16": "float32"}

PAGE_BYTES, CLASSIC_BYTES = 512, 2**32 - 2**25
"""What a page takes beside its numbers, and what a file may that is no BigTIFF."""

UNITS = {"um": "\u00b5m", "mm": "mm"}


def write_tiff(source: Source, path: Path, wish: Wish) -> list[str]:
    """Writes axes TCZYX in the volume's own type, uncompressed, as BigTIFF where the file is large.

    Sizes of voxels are PhysicalSizeX, Y and Z; times are TimeIncrement where they begin at 0 and are even, else DeltaT
    of each plane. float64 stays (OME's `double`).

    Raises:
        InputError: Numbers are of 64 bits, which OME-TIFF has not.
    """
    del wish
    dtype = np.dtype(LARGER.get(source.dtype.name, source.dtype.name))
    if dtype.name not in TYPES:
        raise InputError(
            f"{source.path} holds {dtype.name}, and OME-TIFF has {', '.join(TYPES)}; write NetCDF, NIfTI or OME-Zarr"
        )
    metadata, lines = _metadata(source)
    pages = int(np.prod(source.shape[:3]))
    large = int(np.prod(source.shape)) * dtype.itemsize + pages * PAGE_BYTES > CLASSIC_BYTES
    with tifffile.TiffWriter(path, bigtiff=large, byteorder="<", ome=True) as file:
        file.write(_pages(source, dtype), shape=source.shape, dtype=dtype, photometric="minisblack", metadata=metadata)
    return lines


def _pages(source: Source, dtype: np.dtype) -> Iterator[np.ndarray]:
    """Planes (height, width) in the order time, channel, depth."""
    for _, frames in source.blocks():
        yield from frames.astype(dtype, copy=False).reshape(-1, *frames.shape[3:])


def _metadata(source: Source) -> tuple[dict[str, Any], list[str]]:
    """What OME-XML says of the volume, and what it cannot, in words."""
    volume, lines = source.volume, []
    found: dict[str, Any] = {"axes": "TCZYX", "Channel": {"Name": source.channels}, "Name": source.path.stem}
    for letter, axis in zip("ZYX", ("depth", "height", "width"), strict=True):
        spacing = along_space(volume, axis)
        lines += told(spacing, axis)
        if spacing.name and spacing.unit in UNITS and (volume.sizes[axis] > 1):
            found |= {f"PhysicalSize{letter}": abs(spacing.step), f"PhysicalSize{letter}Unit": UNITS[spacing.unit]}
            if spacing.start or spacing.step < 0:
                lines.append(f"of {spacing.name} the size of a voxel is kept, not where it begins and runs to")
    time, times = along_time(volume), seconds(volume)
    if times is not None and len(times) > 1:
        lines += [line for line in told(time, "time") if "even" not in line]
        if time.even and not time.start:
            found |= {"TimeIncrement": time.step, "TimeIncrementUnit": "s"}
        else:
            planes = int(np.prod(source.shape[1:3]))
            found["Plane"] = {"DeltaT": np.repeat(times, planes).tolist(), "DeltaTUnit": ["s"] * len(times) * planes}
    return found, lines
