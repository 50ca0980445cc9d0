"""Zarr as Chronovox writes it: volumes, and writes that a kill cannot tear.

Nothing else touches these stores but its neighbours; those of others are read by `pipeline.archive.zarr_store`.

Whatever is created here appears whole: it is written aside and renamed. Frames are then written into a volume in whole
chunks, each by one writer, which writes it aside and renames it: if it is killed it leaves the old or the new one.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import dask.array
import numpy as np
import xarray as xr
import zarr
from zarr.core.buffer.cpu import NDBuffer

from pipeline.storage import chunk_files, codecs, manifest
from pipeline.storage.arrays import aside_of, open_array, reveal
from pipeline.storage.atomic import link, write_bytes
from pipeline.storage.blocks import Blocks
from pipeline.storage.manifest import Digest
from pipeline.storage.stored import Stored
from pipeline.volume import AXES, DATA

TOGETHER_BYTES = float(16 << 20)
"""What is read at a time of a volume, about: several chunks, so that few calls read much."""

DECODE = {"decode_times": xr.coders.CFDatetimeCoder(use_cftime=True), "decode_timedelta": False}


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
    reader, meta = Stored(path, group, data.shape, data.dtype), np.empty((0,) * len(AXES), data.dtype)
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
    array = open_array(path, f"{group}/{DATA}" if group else DATA, fast=True)
    spans = [range(size)[span] for size, span in zip(array.shape, (slice(start, stop), channels), strict=False)]
    frames = empty((*map(len, spans), *array.shape[2:]), array.dtype)
    array.get_basic_selection((slice(start, stop), channels), out=NDBuffer.from_numpy_array(frames))
    return frames


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
        compressor: A name of `pipeline.storage.codecs`; by default as their like if that is a Zarr store of format 3.
        dtype: Of the numbers; by default their like's.
    """
    aside = aside_of(path)
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
    reveal(aside, path)


def write_frames(path: Path, start: int, frames: np.ndarray, channel: int = 0) -> dict[str, Digest]:
    """Writes whole chunks of the volume at `path` (a store, or a group of one) from frame `start` and `channel` on, in
    the volume's own type; the digest of each file by its key, for the manifest."""
    array = open_array(path, DATA)
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
        array = open_array(path, DATA)
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
