"""Zarr as Chronovox writes it: volumes, named arrays, and writes that a kill cannot tear.

Nothing else touches these stores but `pipeline.chunk_files`; those of others are read by `pipeline.archive.zarr_store`.

Whatever is created here appears whole: it is written aside and renamed. Frames are then written into a volume in whole
chunks, each by one writer, which writes it aside and renames it: if it is killed it leaves the old or the new one.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import dask.array
import numpy as np
import xarray as xr
import zarr
from zarr.core.buffer.cpu import NDBuffer
from zarr.errors import ContainsArrayError

from pipeline import chunk_files, codecs, manifest
from pipeline.atomic import link, write_bytes
from pipeline.blocks import Blocks, of_frames
from pipeline.manifest import Digest
from pipeline.volume import AXES, DATA

FAST = importlib.util.find_spec("zarrs") is not None
"""Whether zarrs is installed, which reads about twice as fast; `pip install 'chronovox[fast]'`."""

DEFAULT_PIPELINE = zarr.config.get("codec_pipeline.path")

_OPENING = threading.Lock()
"""Held while an array is opened: that is when it takes its codecs from zarr's settings, which all threads share."""

TOGETHER_BYTES = float(16 << 20)
"""What is read at a time of a volume, about: several chunks, so that few calls read much."""

DECODE = {"decode_times": xr.coders.CFDatetimeCoder(use_cftime=True), "decode_timedelta": False}


def limit_threads(count: int) -> None:
    """Lets this process compress and decompress on so many threads; the first call holds."""
    zarr.config.set({"threading.max_workers": count})


def open_volume(
    path: Path,
    group: str | None = None,
    *,
    chunked: bool | tuple[int, ...] = False,
    together: float = TOGETHER_BYTES,
) -> xr.Dataset:
    """The volume at `path` as xarray sees it, times as cftime; lazy.

    Args:
        chunked: As a dask array, in blocks of this shape; if `True`, of several chunks where those hold whole frames,
            else of one.
        together: Bytes of several chunks, about.
    """
    volume = xr.open_zarr(path, group=group, consolidated=False, chunks={} if chunked else None, **DECODE)
    data = volume[DATA].variable if chunked and DATA in volume else None
    if data is None or data.dims != AXES or not _as_stored(data):
        return volume
    most = together / data.dtype.itemsize
    block = _together(data.encoding["chunks"], data.shape, most) if chunked is True else chunked
    reader, meta = _Stored(path, group, data.shape, data.dtype), np.empty((0,) * len(AXES), data.dtype)
    data.data = dask.array.from_array(reader, block, name=False, asarray=False, meta=meta)
    return volume


def _together(chunk: tuple[int, ...], shape: tuple[int, ...], most: float) -> tuple[int, ...]:
    """What is read at a time: chunks of whole frames with at most so many numbers, or one chunk."""
    if chunk[1:] != shape[1:]:
        return chunk
    return (chunk[0] * max(1, int(most // max(1, math.prod(chunk)))), *shape[1:])


def _as_stored(data: xr.Variable) -> bool:
    """Whether the numbers are those that are stored, and not unpacked or masked."""
    fill = data.encoding.get("_FillValue", np.nan)
    return not {"scale_factor", "add_offset", "missing_value"} & data.encoding.keys() and bool(fill != fill)


class _Stored:
    """The data of a volume as dask reads it."""

    def __init__(self, path: Path, group: str | None, shape: tuple[int, ...], dtype: np.dtype):
        self.path, self.group, self.shape, self.dtype, self.ndim = path, group, shape, dtype, len(shape)

    @cached_property
    def _opened(self) -> tuple[zarr.Array, chunk_files.Encoding | None]:
        """The array, and how its chunks are decoded here; `None` where zarr must do it."""
        array = _open_array(self.path, f"{self.group}/{DATA}" if self.group else DATA, fast=True)
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


def open_undecoded(path: Path) -> xr.Dataset:
    """What is in a store as it is there: numbers, not times. Lazy."""
    return xr.open_zarr(path, consolidated=False, chunks=None, decode_cf=False)


def read_frames(
    path: Path,
    group: str | None,
    start: int,
    stop: int,
    channels: slice = slice(None),
    *,
    empty: Callable[[tuple[int, ...], np.dtype], np.ndarray] = np.empty,
) -> np.ndarray:
    """Frames [start, stop) of a volume, (time, channel, depth, height, width), in an array that `empty` makes.

    Each chunk is read once.
    """
    array = _open_array(path, f"{group}/{DATA}" if group else DATA, fast=True)
    spans = [range(size)[span] for size, span in zip(array.shape, (slice(start, stop), channels), strict=False)]
    frames = empty((*map(len, spans), *array.shape[2:]), array.dtype)
    array.get_basic_selection((slice(start, stop), channels), out=NDBuffer.from_numpy_array(frames))
    return frames


def write_volume(volumes: dict[str | None, xr.Dataset], path: Path, chunk: dict[str | None, int]) -> None:
    """Writes whole volumes into one store, a group each; `None` is the store itself. Chunks hold so many frames.

    The store appears under `path` once everything is in it. What is large is written by `pipeline.fill`.
    """
    aside = _aside(path)
    blocks = {group: of_frames(volume[DATA].shape, chunk[group]) for group, volume in volumes.items()}
    create_volumes(volumes, aside, blocks)
    for group, volume in volumes.items():
        folder = aside / (group or "")
        manifest.record(folder / DATA, "frames", write_frames(folder, 0, volume[DATA].values))
    _reveal(aside, path)


def create_volumes(
    likes: dict[str | None, xr.Dataset],
    path: Path,
    blocks: Mapping[str | None, Blocks],
    *,
    compressor: str = "",
    dtype: np.dtype | type | None = None,
) -> None:
    """Creates volumes with the shapes, coordinates and attributes of `likes`, for others to fill: one store, a group
    each; `None` is the store itself. It appears under `path` with all of them.

    Args:
        blocks: How each is cut; where a shard is one chunk, chunks are files.
        compressor: A name of `pipeline.codecs`; by default as their like if that is a Zarr store of format 3.
        dtype: Of the numbers; by default their like's.
    """
    aside = _aside(path)
    for group, like in likes.items():
        kind, cut = np.dtype(dtype or like[DATA].dtype), blocks[group]
        data = dask.array.zeros(like[DATA].shape, dtype=kind, chunks=cut.shard)
        coordinates = like.drop_vars(DATA).load()  # what stays lazy is not written
        empty = _plain(coordinates.assign({DATA: (AXES, data, like[DATA].attrs)}))
        encoding = {"chunks": cut.chunk, "fill_value": np.nan if kind.kind == "f" else 0}
        if cut.shard != cut.chunk:
            encoding["shards"] = cut.shard
        known = like[DATA].encoding.get("compressors", [None])
        if compressor:
            encoding["compressors"] = codecs.named(compressor, kind.itemsize)
        elif all(isinstance(codec, zarr.abc.codec.Codec) for codec in known):
            encoding["compressors"] = known
        else:
            encoding["compressors"] = codecs.named(codecs.DEFAULT, kind.itemsize)
        empty.to_zarr(
            aside,
            group=group,
            mode="a",
            compute=False,
            encoding={DATA: encoding},
            consolidated=False,
            zarr_format=3,
            safe_chunks=False,
        )
        for array in (aside / (group or "")).glob("*/zarr.json"):
            if json.loads(array.read_text())["node_type"] == "array":
                manifest.seal(array.parent)
    _reveal(aside, path)


def write_frames(path: Path, start: int, frames: np.ndarray, channel: int = 0) -> dict[str, Digest]:
    """Writes whole chunks of the volume at `path` (a store, or a group of one) from frame `start` and `channel` on, in
    the volume's own type; the digest of each file by its key, for the manifest."""
    array = _open_array(path, DATA)
    for axis, (what, first) in enumerate((("frames", start), ("channels", channel))):
        chunk, stop = array.chunks[axis], first + frames.shape[axis]
        if first % chunk or (stop % chunk and stop != array.shape[axis]):
            raise ValueError(
                f"{what} {first}..{stop} do not fill whole chunks of {chunk} {what} of {path}; "
                f"a chunk has one writer, cut shards at multiples of {chunk}"
            )
    corner, encoding = (start, channel, 0, 0, 0), chunk_files.encoding_of(array)
    if encoding is not None and array.shards is None:
        return chunk_files.write(path / DATA, array, encoding, corner, frames)
    array[start : start + len(frames), channel : channel + frames.shape[1]] = frames.astype(array.dtype, copy=False)
    block = array.shards or array.chunks
    keys = [
        array.metadata.encode_chunk_key(tuple(c // b + p for c, b, p in zip(corner, block, place, strict=True)))
        for place, _ in chunk_files.pieces(block, frames)
    ]
    return {key: Digest.of_file(path / DATA / key) for key in keys}


class Target:
    """The data of a volume that is to be filled, shard by shard.

    Args:
        path: The store, or a group of it.

    Attributes:
        folder: Where the array lies.
        shape: Of the array.
        blocks: How it is cut.
        encoding: Of its chunks; `None` where only zarr can encode them.
    """

    def __init__(self, path: Path):
        array = _open_array(path, DATA)
        self.folder, self.shape = path / DATA, array.shape
        self.blocks = Blocks(array.chunks, array.shards or array.chunks)
        self.encoding = chunk_files.encoding_of(array)
        self._metadata = array.metadata

    def key(self, place: tuple[int, ...]) -> str:
        """Of the file of a shard, by its number along each axis."""
        return self._metadata.encode_chunk_key(place)

    def spans(self) -> dict[str, tuple[int, int]]:
        """The frames [start, stop) that each file holds, by its key."""
        return {self.key(place): (part[0].start, part[0].stop) for place, part in self.blocks.shards(self.shape)}

    def write(self, place: tuple[int, ...], chunks: Iterable[tuple[tuple[int, ...], chunk_files.Encoded]]) -> Digest:
        """Writes the file of a shard: chunks by their number in it along each axis, and their bytes."""
        path = self.folder / self.key(place)
        if self.blocks.shard != self.blocks.chunk:
            grid = tuple(s // c for s, c in zip(self.blocks.shard, self.blocks.chunk, strict=True))
            return chunk_files.write_shard(path, grid, chunks)
        ((_, encoded),) = chunks
        write_bytes(path, encoded)
        return Digest.of(encoded)


def link_chunks(earlier: Path, path: Path, frames: int) -> None:
    """Gives the volume at `path` the whole chunks that hold the first `frames` frames of the volume `earlier`, whose
    chunks are as large: the same files under second names, or copies. (Or shards, where it has them.)"""
    array = zarr.open_array(earlier, path=DATA, mode="r")
    block = array.shards or array.chunks
    across = [range(-(-size // length)) for size, length in zip(array.shape[1:], block[1:], strict=True)]
    places = itertools.product(range(frames // block[0]), *across)
    keys = [array.metadata.encode_chunk_key(place) for place in places]
    for key in keys:
        link(earlier / DATA / key, path / DATA / key)
    manifest.take_over(earlier / DATA, path / DATA, keys, "taken")


def write_arrays(path: Path, arrays: dict[str, np.ndarray], attributes: dict) -> None:
    """Writes named arrays and JSON attributes as one store, which replaces what was at `path` once whole."""
    aside = _aside(path)
    group = zarr.create_group(aside, attributes=attributes, zarr_format=3)
    for name, array in arrays.items():  # named axes make it a store that xarray opens
        axes = [f"{name}_{axis}" for axis in range(np.ndim(array))]
        group.create_array(name, data=np.asarray(array), dimension_names=axes)
    _reveal(aside, path)


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and attributes that `write_arrays` wrote, to the bit."""
    group = zarr.open_group(path, mode="r")
    return {name: np.asarray(array[...]) for name, array in group.arrays()}, dict(group.attrs)


def read_attributes(path: Path) -> dict:
    """The attributes of a store alone."""
    return dict(zarr.open_group(path, mode="r").attrs)


def create_array(
    path: Path, name: str, *, shape: tuple[int, ...], chunks: tuple[int, ...], axes: tuple[str, ...], dtype: np.dtype
) -> zarr.Array:
    """Creates a group with one array of named axes in it, to be filled by assignment; at `path`, a place aside that the
    caller renames."""
    group = zarr.create_group(path, zarr_format=3)
    return group.create_array(name, shape=shape, chunks=chunks, dtype=dtype, dimension_names=axes)


def write_attributes(path: Path, attributes: dict) -> None:
    """Adds JSON attributes to the group at `path`."""
    zarr.open_group(path, mode="r+").attrs.update(attributes)


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
        return is_store(self.path) and self._file(row).exists()

    def take_over(self, earlier: Rows, stop: int, rows: int) -> None:
        """Makes the rows before `stop` those of other ones, the same files under second names."""
        like = earlier._array
        self._create(rows, like.shape[1:], like.dtype)
        for row in range(stop):
            if earlier.has(row):
                link(earlier._file(row), self._file(row))

    @property
    def _array(self) -> zarr.Array:
        if self._found is None:
            self._found = _open_array(self.path)
        return self._found

    def _create(self, rows: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Creates the array unless it is there; where two do so at once, they write the same."""
        with suppress(ContainsArrayError):
            zarr.create_array(
                self.path,
                shape=(rows, *shape),
                chunks=(1, *shape),
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


def make_groups(path: Path, names: list[str]) -> None:
    """Makes an empty group at `path`, and in it one of each name, unless they are there."""
    for group in (path, *(path / name for name in names)):
        zarr.open_group(group, mode="a", zarr_format=3)


def is_store(path: Path) -> bool:
    """Whether a Zarr store lies at `path`."""
    return (path / "zarr.json").is_file()


def groups(path: Path) -> list[str]:
    """The names of the groups (series) in a store."""
    return sorted(zarr.open_group(path, mode="r").group_keys())


def _open_array(path: Path, name: str = "", *, fast: bool = False) -> zarr.Array:
    """An array to be read and written; one that is only read may be `fast`: by zarrs, where that is installed.

    Zarrs writes a chunk in its place, where a kill tears it, so it never writes (see `pipeline.chunk_files`). A chunk
    is written whatever it holds: to look whether all of it is fill value costs more.
    """
    mode, pipeline = ("r", "zarrs.ZarrsCodecPipeline") if fast and FAST else ("r+", DEFAULT_PIPELINE)
    with _OPENING, zarr.config.set({"codec_pipeline.path": pipeline}):
        return zarr.open_array(path, path=name, mode=mode).with_config({"write_empty_chunks": True})


def _plain(volume: xr.Dataset) -> xr.Dataset:
    """The volume without the encodings of the file it came from, but for the units and calendar of its times."""
    times = volume.coords["time"].encoding if "time" in volume.coords else {}
    kept = {key: value for key, value in times.items() if key in ("units", "calendar")}
    volume = volume.drop_encoding()
    texts = [name for name, coordinate in volume.coords.items() if coordinate.dtype.kind == "U"]
    volume = volume.assign_coords({name: volume[name].astype(object) for name in texts})  # of no fixed length in Zarr
    if kept:
        volume["time"].encoding.update(kept)
    return volume


def _aside(path: Path) -> Path:
    """A clean place beside `path` to write what must appear whole."""
    aside = path.with_name(path.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    return aside


def _reveal(aside: Path, path: Path) -> None:
    """Puts what was written aside in its place; what stood there is moved away first and then removed."""
    old = path.with_name(path.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        os.replace(path, old)
    os.replace(aside, path)
    shutil.rmtree(old, ignore_errors=True)
