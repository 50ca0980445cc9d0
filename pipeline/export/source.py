"""The volume that is exported: of which store, which part of it, and its frames some megabytes at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from pipeline.archive.select import selected
from pipeline.export.wish import Wish
from pipeline.storage import arrays, store
from pipeline.volume import AXES, DATA, InputError

BLOCK_BYTES = 16 << 20
"""About as much as is read at a time, in whole chunks of the store."""

UNREADABLE = (OSError, ValueError, RuntimeError, KeyError)
"""What zarr and its compressors raise for chunks that are damaged."""


@dataclass(frozen=True)
class Source:
    """A volume, lazily, and which part of the stored one it is.

    Attributes:
        path: The store.
        volume: See `pipeline.archive.assemble`.
        places: For each axis the numbers of the places that are left of it.
        since: For each frame the time at which its run began, where that run's own clock begins; 0 in the first run,
            and where times are dates.
    """

    path: Path
    volume: xr.Dataset
    places: dict[str, np.ndarray]
    since: np.ndarray

    @property
    def dtype(self) -> np.dtype:
        return self.volume[DATA].dtype.newbyteorder("=")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.volume[DATA].shape

    @property
    def channels(self) -> list[str]:
        return [str(name) for name in self.volume["channel"].values]

    def part(self, frames: np.ndarray) -> Source:
        """Some frames of it, by their numbers."""
        places = self.places | {"time": self.places["time"][frames]}
        return replace(self, volume=self.volume.isel(time=frames), places=places, since=self.since[frames])

    def together(self) -> int:
        """How many frames are read at a time: whole chunks of the store."""
        chunk = self.volume[DATA].encoding.get("chunks", (1,))
        taken = chunk[0] * int(np.prod(self.shape[1:]))  # a chunk is read whole, however little of it is taken
        return chunk[0] * max(1, BLOCK_BYTES // (max(taken, int(np.prod(chunk))) * self.dtype.itemsize))

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames [start, stop): (time, channel, depth, height, width).

        Raises:
            InputError: The store cannot give them.
        """
        try:
            return self.volume[DATA].isel(time=slice(start, stop)).values
        except UNREADABLE as error:
            raise InputError(
                f"{self.path} cannot be read in frames {start} to {stop - 1}: {error}; compute it again"
            ) from error

    def blocks(self, multiple: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        """All frames in order: the number of the first, and some of them, a multiple of `multiple` but for the last."""
        count = -(-self.together() // multiple) * multiple
        for start in range(0, self.shape[0], count):
            yield start, self.read(start, min(start + count, self.shape[0]))

    def extremes(self) -> tuple[float, float]:
        """Of all values, as the function of this name. Reads all frames."""
        found = [extremes(frames) for _, frames in self.blocks()]
        return min(low for low, _ in found), max(high for _, high in found)


def extremes(values: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest value that is finite; (inf, -inf) where none is."""
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return (float(known.min()), float(known.max())) if known.size else (np.inf, -np.inf)


def open_source(path: Path, wish: Wish) -> Source:
    """What is wished of a store.

    Raises:
        InputError: It is no store, holds no volume, or not the series, channel or part that is wished.
    """
    if not arrays.is_store(path):
        raise InputError(f"{path} is no Zarr store of Chronovox; `chronovox ingest` makes one of an archive")
    try:
        volume = store.open_volume(path, _series(path, wish.series))
    except UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be opened: {error}; compute it again") from error
    volume = _with_coordinates(volume)
    numbered = volume.assign_coords({_place(axis): (axis, np.arange(volume.sizes[axis])) for axis in AXES})
    numbered = numbered.assign_coords({_place("since"): ("time", _since(volume))})
    channel = (("channel", wish.channel),) if wish.channel else ()
    for axis, wanted in (*channel, *wish.select):
        numbered = selected(numbered, axis, wanted)
    places = {axis: numbered[_place(axis)].values for axis in AXES}
    since = numbered[_place("since")].values
    return Source(path, numbered.drop_vars([_place(axis) for axis in (*AXES, "since")]), places, since)


def _place(axis: str) -> str:
    return f"place along {axis}"


def _series(path: Path, wanted: str) -> str | None:
    """The group that holds the volume; none where it is the store itself."""
    if _holds_volume(path):
        if wanted:
            raise InputError(f"{path} holds one volume, without a name, and series {wanted!r} is asked; leave it out")
        return None
    known = [name for name in arrays.groups(path) if _holds_volume(path / name)]
    if not known:
        raise InputError(
            f"{path} holds no array {DATA!r} with the axes {', '.join(AXES)}; give a store that ingest, preprocess, "
            "infer or scan wrote"
        )
    if wanted in known or (len(known) == 1 and not wanted):
        return wanted or known[0]
    asked = f"there is no series {wanted!r}" if wanted else "no series is named"
    raise InputError(f"{path}: {asked}; name one of {', '.join(known)} (--series)")


def _holds_volume(path: Path) -> bool:
    if not arrays.is_store(path / DATA):
        return False
    volume = store.open_undecoded(path)
    return DATA in volume and volume[DATA].dims == AXES and 0 not in volume[DATA].shape


def _with_coordinates(volume: xr.Dataset) -> xr.Dataset:
    """The volume with times and names of channels: numbers, where others wrote it without."""
    missing = {"time": np.arange(volume.sizes["time"])} if "time" not in volume.coords else {}
    if "channel" not in volume.coords:
        missing["channel"] = np.array([f"channel {number}" for number in range(volume.sizes["channel"])], object)
    return volume.assign_coords(missing)


def _since(volume: xr.Dataset) -> np.ndarray:
    """The time at which each frame's run began, but 0 in the first."""
    times = volume["time"].values
    if "run" not in volume.coords or times.dtype.kind not in "fiu":
        return np.zeros(len(times))
    runs, numbers = np.unique(volume["run"].values, return_index=True)
    began = dict(zip(runs.tolist(), times[numbers].tolist(), strict=True)) | {volume["run"].values.tolist()[0]: 0}
    return np.array([began[run] for run in volume["run"].values.tolist()], float)
