"""What the frames of a series hold, and the moments of some of its periods, from one look at all of them.

Where the memory does not hold the statistics of all voxels while they are gathered, it is one look for each band of
voxels. The bits are the same: no voxel's statistics depend on another's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import dask.array
import numpy as np

from pipeline.moments import Moments, Period, Totals
from pipeline.storage.means import Means
from pipeline.storage.over_blocks import over_blocks
from pipeline.survey import Survey, look, together
from pipeline.volume import InputError

VOXEL_BYTES = 24
"""Of the moments of a voxel."""

RESULTS = 3
"""Times that all moments are held: as parts, put together, and as what is made of them."""

Band = tuple[slice, ...]
"""A part of a frame, a slice along each axis."""


def measured(
    data: dask.array.Array, periods: Sequence[Period], means: Means
) -> tuple[Survey, list[list[Moments | None]]]:
    """The survey of all frames of `data` (time, channel, depth, height, width), and the moments of each period, of each
    of its groups; `None` where it has no frame.

    Raises:
        InputError: The memory does not hold the moments of all voxels.
    """
    refuse_too_many(data.shape[1:], periods, means)
    surveys: list[Survey] = []
    axis = int(np.argmax(data.shape[2:])) + 1
    found: list[list[list[Moments | None]]] = []
    for band in bands(data.shape[1:], axis, periods, means):

        def both(block: np.ndarray, first: int, band: Band = band, again: bool = bool(found)) -> tuple:
            part = block[(slice(None), *band)]
            return None if again else look(block), [period.nodes(part, first) for period in periods]

        totals = [Totals(period.count) for period in periods]
        for _, (survey, nodes) in over_blocks(data, both, means.hands):
            surveys += [survey] if survey else []
            for total, own in zip(totals, nodes, strict=True):
                total.update(own)
            means.keep_within()
        found.append([total.moments() for total in totals])
    return together(surveys), [
        [side_by_side(parts, axis) for parts in zip(*groups, strict=True)] for groups in zip(*found, strict=True)
    ]


def refuse_too_many(shape: tuple[int, ...], periods: Sequence[Period], means: Means) -> None:
    """Refuses what would take more memory than there is, whatever is done."""
    groups = sum(period.count for period in periods)
    needed = groups * math.prod(shape) * VOXEL_BYTES * RESULTS
    if means.memory is not None and needed > means.room:
        raise InputError(
            f"the statistics of {groups} groups of frames (periods, or their months, seasons or days) take "
            f"{needed / 1e9:.2f} GB while they are gathered, and {means.room / 1e9:.2f} GB are left of "
            f"{means.memory / 1e9:.2f} GB; allow more with --memory, or choose coarser anomalies"
        )


def bands(shape: tuple[int, ...], axis: int, periods: Sequence[Period], means: Means) -> list[Band]:
    """Parts of frames of `shape` (channel, depth, height, width), cut along an axis, such that the memory holds the
    moments that are gathered of one: of n frames the tree has about half as many nodes as n has digits."""
    nodes = sum(
        period.count * (1 + math.log2(max(1, (period.stop - period.start) / period.count)) / 2) for period in periods
    )
    wanted = math.ceil(nodes * math.prod(shape) * VOXEL_BYTES / max(1.0, means.for_statistics))
    width = math.ceil(shape[axis] / max(1, min(wanted, shape[axis])))
    whole = (slice(None),) * len(shape)
    return [(*whole[:axis], slice(start, start + width), *whole[axis + 1 :]) for start in range(0, shape[axis], width)]


def side_by_side(parts: Sequence[Moments | None], axis: int) -> Moments | None:
    """The moments of neighbouring parts of a frame as those of the whole."""
    if len(parts) == 1 or parts[0] is None:
        return parts[0]
    return Moments(
        np.concatenate([part.count for part in parts], axis),
        np.concatenate([part.mean for part in parts], axis),
        np.concatenate([part.squares for part in parts], axis),
    )
