"""Compiled loops over the voxels of frames, for what is done to all of an archive: looked through, summed, normalised.

Each is one walk through memory that numpy would take several for. No operation is fused with another, so the bits are
those of the numpy expressions beside which the tests put them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
from numba import njit

TILE = 512
"""Voxels whose frames lie in the nearest cache together."""


def exactly(function: Callable) -> Callable:
    """`function` as machine code without Python's lock, each operation rounded by itself; kept between processes."""
    plain = inspect.unwrap(function)
    try:
        return njit(plain, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:  # nowhere to keep it
        return njit(plain, nogil=True, error_model="numpy")


@exactly
def look_through(frames, missing, infinite):
    """Counts in `missing` and `infinite` (time) what is NaN and infinite in `frames` (time, channel, voxel); whether
    all channels lack the same voxels."""
    alike = True
    for t in range(frames.shape[0]):
        nan, inf = 0, 0
        for c in range(frames.shape[1]):
            row, first, other = frames[t, c], frames[t, 0], 0
            for v in range(row.shape[0]):
                nan += row[v] != row[v]
                inf += abs(row[v]) == np.inf
                other += (row[v] != row[v]) != (first[v] != first[v])
            alike &= other == 0
        missing[t], infinite[t] = nan, inf
    return alike


@exactly
def fold(frames, count, mean, squares):
    """The moments (voxel) of 2^k `frames` (time, voxel): each two neighbours merge, and so on; see `pipeline.moments`.

    Missing values (NaN) count for nothing.
    """
    n = frames.shape[0]
    counts, means, deviations = np.empty((n, TILE)), np.empty((n, TILE)), np.empty((n, TILE))
    for start in range(0, frames.shape[1], TILE):
        size = min(TILE, frames.shape[1] - start)
        for t in range(n):
            row = frames[t, start : start + size]
            for v in range(size):
                valued = row[v] == row[v]
                counts[t, v] = 1.0 if valued else 0.0
                means[t, v] = np.float64(row[v]) if valued else 0.0
                deviations[t, v] = 0.0
        half = n // 2
        while half:
            for t in range(half):
                for v in range(size):
                    one, other = counts[2 * t, v], counts[2 * t + 1, v]
                    delta = means[2 * t + 1, v] - means[2 * t, v]
                    share = other / max(one + other, 1.0)
                    deviations[t, v] = deviations[2 * t, v] + deviations[2 * t + 1, v] + delta * delta * one * share
                    means[t, v] = means[2 * t, v] + delta * share
                    counts[t, v] = one + other
            half //= 2
        for v in range(size):
            count[start + v] = np.int64(counts[0, v])
            mean[start + v], squares[start + v] = means[0, v], deviations[0, v]


@exactly
def normalise(frames, mean, scale, normal):
    """`normal` = (`frames` - `mean`) / `scale`, in float64, rounded to float32; all (time, channel, voxel), without
    time and perhaps of one voxel in `mean` and `scale`."""
    for t in range(frames.shape[0]):
        for c in range(frames.shape[1]):
            row, out = frames[t, c], normal[t, c]
            means, scales = mean[c], scale[c]
            if len(means) == 1 and len(scales) == 1:
                for v in range(row.shape[0]):
                    out[v] = np.float32((np.float64(row[v]) - means[0]) / scales[0])
            elif len(scales) == 1:
                for v in range(row.shape[0]):
                    out[v] = np.float32((np.float64(row[v]) - means[v]) / scales[0])
            else:
                for v in range(row.shape[0]):
                    out[v] = np.float32((np.float64(row[v]) - means[v if len(means) > 1 else 0]) / scales[v])
