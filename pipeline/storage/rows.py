"""Arrays of one shape, each written once, whole, by whoever has it: carries at the borders of shards."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import zarr
from zarr.errors import ContainsArrayError

from pipeline.storage import chunk_files
from pipeline.storage.arrays import is_store, open_array
from pipeline.storage.atomic import link


class Rows:
    """Arrays of one shape and type, the rows of one Zarr array: each is written once, whole, by whoever has it.

    Args:
        path: Where the array lies; it appears with the first row that is written.
    """

    def __init__(self, path: Path):
        self.path, self._found = path, None

    def write(self, row: int, rows: int, values: np.ndarray) -> None:
        """One of `rows` rows."""
        if self._found is None:
            self._create(rows, values.shape, values.dtype)
        if not values.size:  # of arrays that hold nothing there are no chunks
            return
        array = self._array
        encoding = chunk_files.encoding_of(array)
        chunk_files.write(self.path, array, encoding, (row, *[0] * values.ndim), values[None])

    def read(self, row: int) -> np.ndarray:
        """A row that was written.

        Raises:
            FileNotFoundError: It was not.
        """
        if not self.has(row):
            raise FileNotFoundError(f"{self.path} has no row {row}")
        return np.asarray(self._array[row])

    def has(self, row: int) -> bool:
        """Whether a row was written."""
        return is_store(self.path) and (not all(self._array.shape) or self._file(row).exists())

    def take_over(self, earlier: Rows, stop: int, rows: int) -> None:
        """Makes the rows before `stop` those of other ones, the same files under second names."""
        like = earlier._array
        self._create(rows, like.shape[1:], like.dtype)
        for row in range(stop):
            if all(like.shape) and earlier.has(row):
                link(earlier._file(row), self._file(row))

    @property
    def _array(self) -> zarr.Array:
        if self._found is None:
            self._found = open_array(self.path)
        return self._found

    def _create(self, rows: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Creates the array unless it is there; where two do so at once, they write the same."""
        with suppress(ContainsArrayError):
            zarr.create_array(
                self.path,
                shape=(rows, *shape),
                chunks=(1, *(max(1, size) for size in shape)),
                dtype=dtype,
                compressors=None,
                chunk_key_encoding={"name": "default", "separator": "."},  # files beside each other, without folders
            )

    def _file(self, row: int) -> Path:
        array = self._array
        return self.path / array.metadata.encode_chunk_key((row, *[0] * (array.ndim - 1)))


def rows_in(path: Path) -> list[Path]:
    """Where `Rows` lie in a group; none where there is no group."""
    return sorted(found.parent for found in path.glob("*/zarr.json"))
