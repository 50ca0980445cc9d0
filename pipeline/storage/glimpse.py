"""Stores as somebody looks at them: any part of an array, from whole chunks, of which the last ones read are kept.

Zarr alone opens them, without xarray and dask, so that the first picture is there at once. Numbers are those that are
stored; nothing is decoded.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from pipeline.storage import chunk_files
from pipeline.storage.arrays import open_array
from pipeline.storage.blocks import box
from pipeline.volume import InputError

RECENT_BYTES = 256 << 20
"""What is kept of the chunks that were read, at most."""

UNREADABLE = (OSError, ValueError, RuntimeError, KeyError)
"""What zarr and its compressors raise for chunks that are damaged."""


class Recent:
    """The arrays that were asked for last, as many as fit. Threads may share it.

    Args:
        most: Bytes of them; a larger one is given and not kept.
    """

    def __init__(self, most: int = RECENT_BYTES):
        self.most, self.nbytes = most, 0
        self._kept: OrderedDict[Any, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any, make: Callable[[], np.ndarray], *, keep: bool = True) -> np.ndarray:
        """What is kept under a key, else what `make` gives, not to be written to.

        Args:
            keep: Whether what is made is kept then.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()  # unlocked: two threads may make the same, and neither waits for the other's disk
        if not keep or made.nbytes > self.most:
            return made
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self.nbytes += made.nbytes
            while self.nbytes > self.most:
                self.nbytes -= self._kept.popitem(last=False)[1].nbytes
        return made


class Parts:
    """An array of a store, to be read part by part.

    Args:
        path: The store, or a group of it.
        name: Of the array.
        recent: Where its chunks are kept.

    Attributes:
        shape, chunks, dtype: Of the array; of a shard the chunks in it.
        axes: Their names; empty where they have none.
        attributes: Of the array.

    Raises:
        InputError: There is no such array.
    """

    def __init__(self, path: Path, name: str, recent: Recent):
        try:
            self._array: zarr.Array = open_array(path, name, fast=True)
        except UNREADABLE as error:
            raise InputError(f"{path} holds no array {name!r} that can be opened: {error}") from error
        self._folder, self._recent = path / name, recent
        self._encoding = chunk_files.encoding_of(self._array)
        self.shape, self.chunks, self.dtype = self._array.shape, self._array.chunks, self._array.dtype
        self.axes = tuple(str(axis) for axis in self._array.metadata.dimension_names or ())
        self.attributes = dict(self._array.attrs)

    @property
    def chunk_bytes(self) -> int:
        """What a chunk takes in memory."""
        return math.prod(self.chunks) * self.dtype.itemsize

    def read(self, part: tuple[slice, ...], *, keep: bool = True) -> np.ndarray:
        """A part of the array. A chunk that strides step over is not read.

        Args:
            part: A slice along each axis, whose ends lie in the array; steps are positive.
            keep: Whether chunks are kept in memory that were not.

        Raises:
            InputError: A chunk cannot be read.
        """
        sizes = tuple(len(range(*one.indices(n))) for one, n in zip(part, self.shape, strict=True))
        values = np.empty(sizes, self.dtype)
        crossed = [list(_crossed(*own)) for own in zip(part, self.chunks, self.shape, strict=True)]
        for place in np.ndindex(*map(len, crossed)):
            found = [own[number] for own, number in zip(crossed, place, strict=True)]
            chunk = self._chunk(tuple(number for number, _, _ in found), keep)
            values[tuple(there for _, _, there in found)] = chunk[tuple(here for _, here, _ in found)]
        return values

    def _chunk(self, number: tuple[int, ...], keep: bool) -> np.ndarray:
        return self._recent.get((self._folder, number), lambda: self._read_chunk(number), keep=keep)

    def _read_chunk(self, number: tuple[int, ...]) -> np.ndarray:
        where = box(number, self.chunks, self.shape)
        try:
            if self._encoding is None:
                return np.asarray(self._array[where])
            return chunk_files.read(self._folder, self._array, self._encoding, where)
        except UNREADABLE as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self._folder} cannot be read in its chunk {number}: {error}") from error


def _crossed(part: slice, chunk: int, size: int) -> Iterator[tuple[int, slice, slice]]:
    """The chunks along an axis that a part has something of: the number, what is taken of it, and where that goes."""
    start, stop, step = part.indices(size)
    for number in range(start // chunk, -(-stop // chunk)):
        first, end = number * chunk, min((number + 1) * chunk, stop)
        before, until = max(0, -(-(first - start) // step)), -(-(end - start) // step)
        if before < until:
            taken = slice(start + before * step - first, end - first, step)
            yield number, taken, slice(before, until)


class Glimpse:
    """A volume, or a group of named arrays.

    Args:
        path: The store, or a group of it.
        recent: Where chunks are kept.

    Attributes:
        attributes: Of the group.
        names: Of its arrays.
    """

    def __init__(self, path: Path, recent: Recent):
        self.path, self._recent = path, recent
        try:
            group = zarr.open_group(path, mode="r")
            self.attributes, self.names = dict(group.attrs), sorted(group.array_keys())
        except UNREADABLE as error:
            raise InputError(f"{path} cannot be opened as a Zarr store: {error}") from error

    def parts(self, name: str) -> Parts:
        """One of its arrays."""
        return Parts(self.path, name, self._recent)

    def whole(self, name: str) -> tuple[np.ndarray, Parts]:
        """All of a small array, and the array itself."""
        array = self.parts(name)
        return array.read((slice(None),) * len(array.shape), keep=False), array
