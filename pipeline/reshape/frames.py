"""Dask arrays of frames in pieces that an operation can take: whole frames, some megabytes at a time."""

from __future__ import annotations

import math

import dask.array
import numpy as np
import xarray as xr

from pipeline.volume import DATA

TOGETHER_BYTES = 32 << 20
"""About as much as one task takes."""


def together(data: dask.array.Array) -> int:
    """How many frames of (time, channel, depth, height, width) one task takes: known by their size alone, not by how
    they are cut."""
    return max(1, TOGETHER_BYTES // max(1, math.prod(data.shape[1:]) * data.dtype.itemsize))


def lazy(volume: xr.Dataset) -> dask.array.Array:
    """The data of a volume as a dask array."""
    data = volume[DATA]
    if data.chunks is None:
        frame = math.prod(data.shape[1:]) * data.dtype.itemsize
        data = data.chunk({"time": max(1, TOGETHER_BYTES // max(1, frame))})
    return data.data


def whole(volume: xr.Dataset, growth: float = 1.0) -> dask.array.Array:
    """The data of a volume in blocks that are not cut along depth, height and width; smaller ones where what is made of
    them is `growth` times as large."""
    data = lazy(volume)
    most = max(1, int(together(data) / max(1.0, growth)))
    if data.numblocks[2:] == (1, 1, 1) and (growth <= 1 or max(data.chunks[0]) <= most):
        return data
    return data.rechunk({0: most, 2: -1, 3: -1, 4: -1})


def real(dtype: np.dtype) -> np.dtype:
    """The type that means of a type have: float32, or float64 for wide numbers."""
    return np.result_type(dtype, np.float32)
