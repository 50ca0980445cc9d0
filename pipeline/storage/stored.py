"""The data of a stored volume as dask reads it: any part, by the thread that asks."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import zarr

from pipeline.storage import chunk_files
from pipeline.storage.arrays import open_array
from pipeline.volume import DATA


class Stored:
    """The data of a volume as dask reads it."""

    def __init__(self, path: Path, group: str | None, shape: tuple[int, ...], dtype: np.dtype):
        self.path, self.group, self.shape, self.dtype, self.ndim = path, group, shape, dtype, len(shape)

    @cached_property
    def _opened(self) -> tuple[zarr.Array, chunk_files.Encoding | None]:
        """The array, and how its chunks are decoded here; `None` where zarr must do it."""
        array = open_array(self.path, f"{self.group}/{DATA}" if self.group else DATA, fast=True)
        return array, chunk_files.encoding_of(array)

    def __getitem__(self, key: tuple) -> np.ndarray:
        """The smallest box that holds what is asked for, and of that, axis by axis, what is asked for."""
        hull, inside = [], []
        for one, size in zip(key, self.shape, strict=True):
            numbers = np.arange(size)[one]
            first = int(numbers.min()) if numbers.size else 0
            hull.append(slice(first, int(numbers.max()) + 1 if numbers.size else 0))
            inside.append(slice(None) if isinstance(one, slice) and one.step in (None, 1) else numbers - first)
        array, encoding = self._opened
        if encoding is None:
            values = array[tuple(hull)]
        else:
            values = chunk_files.read(self.path / (self.group or "") / DATA, array, encoding, tuple(hull))
        for axis in reversed(range(self.ndim)):
            values = values[(slice(None),) * axis + (inside[axis],)]
        return values
