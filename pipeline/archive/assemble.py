"""A volume from what a reader found: an array of five axes, lazy, with the coordinates that others look for.

    data        (time, channel, depth, height, width), in the source's own type; float where numbers are packed, NaN
                where something is missing
    time        (time); cftime dates with `units` and `calendar` in the encoding, or float64 with the attribute `units`
                ("s"), or frame numbers without units where nothing is known
    channel     (channel); names
    latitude, longitude, level    with `units`, along height, width and depth of grids
    z, y, x     with `units` ("mm", "um"), along depth, height and width of volumes and images
    run         (time); the number of the run (a recording without interruption) that a frame belongs to, where there
                are several: a carry must not cross from one to the next
    missing     (time); whether a frame could not be read, where that was allowed

Attributes are plain JSON: `source_format`, and what a reader must know to write the same kind again (`affine`: 4 x 4,
from (width, height, depth) to millimetres).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import dask.array
import numpy as np
import xarray as xr

from pipeline.volume import AXES, DATA, default_chunk

Coordinate = tuple[str, np.ndarray, dict[str, Any]]
"""The axis that a coordinate lies along, its values, and its attributes."""

READ_BYTES = 16 << 20
"""About as much as is read at a time: a few whole chunks of what is written."""


def frames_together(frame_bytes: int) -> int:
    """How many frames are read at a time, such that those that are stored together are."""
    count, stored = READ_BYTES // max(1, frame_bytes), default_chunk(max(1, frame_bytes))
    return max(1, count - count % stored if count > stored else count)


def assemble(
    data: dask.array.Array | np.ndarray,
    *,
    channels: Sequence[str],
    coordinates: Mapping[str, Coordinate],
    attributes: Mapping[Hashable, Any],
) -> xr.Dataset:
    """A volume of `data` (time, channel, depth, height, width)."""
    found = {name: xr.Variable(axis, values, attrs) for name, (axis, values, attrs) in coordinates.items()}
    names = np.array(list(channels), object)  # objects are stored as strings of any length, as Zarr specifies
    return xr.Dataset({DATA: (AXES, data)}, coords={"channel": names, **found}, attrs=dict(attributes))


def lazily(
    read: Callable[[int, int], np.ndarray],
    shape: tuple[int, ...],
    dtype: np.dtype | type,
    together: int | None = None,
) -> dask.array.Array:
    """An array (time, channel, depth, height, width) whose frames [start, stop) are read by `read(start, stop)` when
    they are needed, some megabytes (or `together` frames) at a time, perhaps on several threads."""
    dtype = np.dtype(dtype)
    frame_bytes = int(np.prod(shape[1:])) * dtype.itemsize
    together = together or frames_together(frame_bytes)
    blocks = tuple(min(together, shape[0] - start) for start in range(0, shape[0], together))

    def block(block_info: dict | None = None) -> np.ndarray:
        start, stop = block_info[None]["array-location"][0]
        return np.asarray(read(start, stop), dtype)

    chunks = (blocks, *((size,) for size in shape[1:]))
    return dask.array.map_blocks(block, chunks=chunks, dtype=dtype, meta=np.empty((0,) * 5, dtype))
