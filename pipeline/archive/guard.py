"""Variables whose numbers are read when they are needed: what cannot be read is named, or is missing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence
from typing import Any

import dask.array
import numpy as np
import xarray as xr

from pipeline.archive.assemble import READ_BYTES, frames_together
from pipeline.volume import DATA, InputError

Key = tuple[slice | int | np.ndarray, ...]


def guarded(dataset: xr.Dataset, source: str, *, apart: bool = False) -> xr.Dataset:
    """A dataset that was opened without chunks, with dask arrays of some megabytes: whole chunks of its file, several
    in a row along the first axis. Where numbers cannot be read, computing them raises InputError with the name of the
    source, the variable and the place.

    Args:
        apart: Whether each chunk of the file is one of dask's: what cannot be read is then no more than it must be.
    """
    for name, variable in dataset.variables.items():
        if name not in dataset.xindexes:
            inside = variable.copy(deep=False)
            variable.data = guarded_array(inside, _chunks(variable, apart), variable.dims, f"{source}: {name}")
    return dataset


def guarded_array(array: Any, chunks: Any, axes: Sequence[Hashable], name: str) -> dask.array.Array:
    """An array of a library (of any kind that takes slices), with named axes, as dask reads it in chunks; computing it
    raises InputError where numbers cannot be read."""
    reader = _Guarded(array, tuple(map(str, axes)), name)
    meta = np.empty((0,) * array.ndim, array.dtype)
    return dask.array.from_array(reader, chunks, name=False, asarray=False, meta=meta)


def without_unreadable(volume: xr.Dataset) -> xr.Dataset:
    """The volume with the frames that cannot be read NaN, and true in the coordinate `missing` (time).

    All of it is read once for that: only who reads a chunk knows whether it is whole. Frames that share a chunk of the
    file with a damaged place are missing together.
    """
    data = volume[DATA].data
    ends = list(itertools.accumulate(data.chunks[0], initial=0))
    missing = np.zeros(len(volume["time"]), bool)
    for start, stop in itertools.pairwise(ends):
        try:
            dask.array.store(data[start:stop], _Nowhere(), lock=False)
        except InputError:
            missing[start:stop] = True
    shape = data.shape[1:]
    parts = [
        dask.array.full((stop - start, *shape), np.nan, data.dtype, chunks=(stop - start, *data.chunks[1:]))
        if missing[start]
        else data[start:stop]
        for start, stop in itertools.pairwise(ends)
    ]
    known = volume[DATA].copy(data=dask.array.concatenate(parts)) if missing.any() else volume[DATA]
    lost = xr.Variable("time", missing, {"long_name": "whether the frame could not be read"})
    return volume.assign({DATA: known}).assign_coords(missing=lost)


class _Guarded:
    """An array that dask reads from."""

    def __init__(self, array: Any, axes: tuple[str, ...], name: str):
        self.array, self.axes, self.name = array, axes, name
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, key: Key) -> np.ndarray:
        try:
            return np.asarray(self.array[key])
        except (InputError, MemoryError):
            raise
        except Exception as error:  # each library has errors of its own
            where = self._place(self._failing(key))
            raise InputError(
                f"{self.name} cannot be read at {where}: {error}; fetch it again, or have the frames that cannot be "
                "read as missing with --skip-bad"
            ) from error

    def _failing(self, key: Key) -> Key:
        """The part of what was wanted that cannot be read, along the first axis."""
        failing = []
        for place in np.atleast_1d(np.arange(self.shape[0])[key[0]]):
            try:
                _ = np.asarray(self.array[(slice(place, place + 1), *key[1:])])
            except Exception:
                failing.append(place)
        return (slice(failing[0], failing[-1] + 1), *key[1:]) if failing else key

    def _place(self, key: Key) -> str:
        """The part that was wanted: of the first axis, and of others that are not taken whole."""
        told = []
        for axis, size, part in zip(self.axes, self.shape, key, strict=False):
            places = np.atleast_1d(np.arange(size)[part])
            if len(places) < size or not told:
                first, last = places[0], places[-1]
                told.append(f"{axis} {first}" if first == last else f"{axis} {first} to {last}")
        return ", ".join(told) or "its one place"


class _Nowhere:
    """Where what is only read is put."""

    def __setitem__(self, key: object, values: np.ndarray) -> None:
        pass


def _chunks(variable: xr.Variable, apart: bool) -> Sequence[Any]:
    """The chunks of the file, several in a row unless they are to be `apart`; where it has none, pieces along the first
    axes."""
    preferred = variable.encoding.get("preferred_chunks", {})
    if not preferred and (variable.ndim < 3 or variable.dtype.hasobject):
        return variable.shape
    chunk = [preferred.get(axis, size) for axis, size in zip(variable.dims, variable.shape, strict=True)]
    row = math.prod(chunk[1:]) * variable.dtype.itemsize
    if preferred:
        chunk[0] *= 1 if apart else max(1, READ_BYTES // (row * chunk[0]))
        return chunk
    if row <= READ_BYTES:
        return [frames_together(row), *chunk[1:]]
    wanted = (*("auto" for _ in variable.dims[:-2]), -1, -1)
    return dask.array.core.normalize_chunks(wanted, variable.shape, limit=READ_BYTES, dtype=variable.dtype)
