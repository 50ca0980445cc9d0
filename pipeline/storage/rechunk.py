"""The command `rechunk`: a store cut anew, with bounded memory; the numbers stay.

Where chunks run the other way (frames to series of a voxel), each chunk of the source would be read again for every
file of the result. Then a store in between is made, whose chunks either side reads once: they are what the parts that
are read at a time share with those that are written (as the package rechunker plans it).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import xarray as xr

from pipeline.progress import Steps
from pipeline.storage import arrays, store
from pipeline.storage.blocks import Blocks
from pipeline.storage.fill import plan_parts
from pipeline.storage.make import Storage, make, refuse_taken, signature
from pipeline.storage.means import Means
from pipeline.storage.unfinished import unfinished
from pipeline.volume import AXES, DATA, InputError

READ_TWICE = 2.5
"""To read more than so many times what is there is worse than to write and read it once more."""

SMALLER = 4
"""What is in between may be cut so many times smaller than what is written at a time."""


def rechunk(source: Path, destination: Path, storage: Storage, means: Means) -> Steps:
    """Writes what a store holds, all its groups, to a new one, cut and compressed as `storage` says.

    Raises:
        InputError: The source holds no volumes; or as for `make`.
    """
    refuse_taken(destination)
    volumes, origin = volumes_in(source), {"made_by": "rechunk", "source": str(source.resolve())}
    blocks = {group: storage.blocks(volume) for group, volume in volumes.items()}
    plan = {"origin": origin, "volumes": {group or "": signature(v, blocks[group]) for group, v in volumes.items()}}
    nearer: dict[str | None, xr.Dataset] = {}
    with unfinished(destination.with_name(destination.name + ".between"), plan) as held:
        if not held.begun:
            held.begin()
        for group, found in volumes.items():
            volume = store.open_volume(source, group, chunked=found[DATA].encoding["chunks"])
            read, first = in_between(volume, blocks[group], means)
            nearer[group] = store.open_volume(source, group, chunked=read)
            if first is None:
                continue
            between = held.folder / "-".join([group or "all", *map(str, first.chunk.values())])
            if not between.exists():
                yield from make({None: nearer[group]}, between, first, means, origin)
            part = plan_parts(blocks[group], nearer[group][DATA].data, means).extent
            nearer[group] = store.open_volume(between, chunked=part)
        yield from make(nearer, destination, storage, means, origin)


def again(origin: dict[str, Any]) -> dict[str | None, xr.Dataset]:
    """What a store was made of, lazily.

    Raises:
        InputError: It is not there any more.
    """
    return volumes_in(Path(origin["source"]))


def volumes_in(path: Path) -> dict[str | None, xr.Dataset]:
    """The volumes of a store, lazily: its own, or one a group.

    Raises:
        InputError: It is no store, or holds no array `data` with the axes of a volume.
    """
    if not arrays.is_store(path):
        raise InputError(f"{path} is no Zarr store of format 3; `chronovox ingest` makes one of an archive")
    groups = [None] if (path / DATA).exists() else arrays.groups(path)
    volumes = {group: store.open_volume(path, group, chunked=True) for group in groups}
    found = {group: volume for group, volume in volumes.items() if DATA in volume and volume[DATA].dims == AXES}
    if not found:
        raise InputError(
            f"{path} holds no array {DATA!r} with the axes {', '.join(AXES)}; `chronovox ingest` makes one"
        )
    return found


def in_between(volume: xr.Dataset, blocks: Blocks, means: Means) -> tuple[tuple[int, ...], Storage | None]:
    """What is read of a volume at a time, and how the store in between is cut; `None` where none is needed."""
    data = volume[DATA].data
    part = plan_parts(blocks, data, means).extent
    if touched(part, data.chunksize, data.shape) <= READ_TWICE * math.prod(part):
        return part, None
    most, read = means.piece, list(data.chunksize)
    for axis in reversed(range(len(read))):
        rest = math.prod(read) // read[axis] * data.dtype.itemsize
        times = int(most // (rest * data.chunksize[axis]))
        read[axis] = min(max(1, times) * data.chunksize[axis], data.shape[axis])
    chunk = tuple(map(_shared, part, read, data.shape))
    shard = tuple(-(-r // c) * c for r, c in zip(read, chunk, strict=True))
    return tuple(read), Storage(dict(zip(AXES, chunk, strict=True)), dict(zip(AXES, shard, strict=True)), "blosc-lz4")


def _shared(part: int, read: int, size: int) -> int:
    """What fills both what is written and what is read at a time, along an axis; about, where it would be tiny."""
    if part >= read or read == size:
        return min(part, read)
    divisor = math.gcd(part, read)
    return divisor if divisor * SMALLER >= part else part


def touched(part: tuple[int, ...], chunk: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """How many numbers are read for a part of so many, in whole chunks."""
    return math.prod(min(-(-p // c) * c, n) for p, c, n in zip(part, chunk, shape, strict=True))
