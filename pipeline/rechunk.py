"""The command `rechunk`: a store cut anew, with bounded memory; the numbers stay.

Where chunks run the other way (frames to series of a voxel), each chunk of the source would be read again for every
file of the result. Then a store in between is made, whose chunks either side reads once: as long in time as the memory
holds whole frames, and as wide as what is written at a time (as the package rechunker plans it).
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import xarray as xr

from pipeline import store
from pipeline.blocks import Blocks
from pipeline.fill import COPIES, MOST_BYTES, Means, plan_parts
from pipeline.make import Storage, make
from pipeline.progress import Steps
from pipeline.volume import AXES, DATA, InputError

READ_TWICE = 2.5
"""To read more than so many times what is there is worse than to write and read it once more."""


def rechunk(source: Path, destination: Path, storage: Storage, means: Means) -> Steps:
    """Writes what a store holds, all its groups, to a new one, cut and compressed as `storage` says.

    Raises:
        InputError: The source holds no volumes; or as for `make`.
    """
    volumes, origin = volumes_in(source), {"made_by": "rechunk", "source": str(source.resolve())}
    folder, nearer = destination.with_name(destination.name + ".between"), {}
    for group, volume in volumes.items():
        first, between = in_between(volume, storage.blocks(volume), means), folder / (group or "all")
        if first is not None and not between.exists():
            yield from make({None: volume}, between, first, means, origin)
        nearer[group] = volume if first is None else store.open_volume(between, chunked=True)
    try:
        yield from make(nearer, destination, storage, means, origin)
    except InputError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


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
    if not store.is_store(path):
        raise InputError(f"{path} is no Zarr store of format 3; `chronovox ingest` makes one of an archive")
    groups = [None] if (path / DATA).exists() else store.groups(path)
    volumes = {group: store.open_volume(path, group, chunked=True) for group in groups}
    found = {group: volume for group, volume in volumes.items() if DATA in volume and volume[DATA].dims == AXES}
    if not found:
        raise InputError(
            f"{path} holds no array {DATA!r} with the axes {', '.join(AXES)}; `chronovox ingest` makes one"
        )
    return found


def in_between(volume: xr.Dataset, blocks: Blocks, means: Means) -> Storage | None:
    """How the store in between is cut; `None` where none is needed, or none fits the memory."""
    data = volume[DATA].data
    part = plan_parts(blocks, data, means).extent
    if touched(part, data.chunksize, data.shape) <= READ_TWICE * math.prod(part):
        return None
    run, frame_bytes = data.chunksize[0], math.prod(data.shape[1:]) * data.dtype.itemsize
    frames = int(min(MOST_BYTES, means.room / COPIES / (means.hands + 1)) // frame_bytes)
    if run * frame_bytes * COPIES <= means.room:
        frames = max(run, frames - frames % run)
    if frames < 1:
        return None
    chunk = (min(frames, data.shape[0]), *(min(p, n) for p, n in zip(part[1:], data.shape[1:], strict=True)))
    named = dict(zip(AXES, chunk, strict=True))
    return Storage(named, named | dict(zip(AXES[1:], data.shape[1:], strict=True)), "blosc-lz4")


def touched(part: tuple[int, ...], chunk: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """How many numbers are read for a part of so many, in whole chunks."""
    return math.prod(min(-(-p // c) * c, n) for p, c, n in zip(part, chunk, shape, strict=True))
