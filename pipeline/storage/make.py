"""Lazy volumes into one new store: planned, created beside its destination, filled, put in its place when it is whole.

The same command continues what was killed. What the store was made of is kept in it, so that it can be repaired.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pipeline.progress import Progress, Steps
from pipeline.storage import codecs, store
from pipeline.storage.atomic import replace_folder, write_text
from pipeline.storage.blocks import Blocks, choose
from pipeline.storage.fill import fill, take
from pipeline.storage.means import Means
from pipeline.storage.origin import ORIGIN
from pipeline.storage.unfinished import unfinished
from pipeline.stream import Clock
from pipeline.volume import AXES, DATA, InputError


@dataclass(frozen=True)
class Storage:
    """How a volume is to be stored.

    Attributes:
        chunk: Sizes of a chunk by axis; what is not given is chosen, see `pipeline.storage.blocks`.
        shard: Sizes of a shard by axis, in the same way.
        compressor: A name of `pipeline.storage.codecs`.
    """

    chunk: Mapping[str, int] = field(default_factory=dict)
    shard: Mapping[str, int] = field(default_factory=dict)
    compressor: str = codecs.DEFAULT

    @staticmethod
    def of(chunk: int | Mapping[str, int] | None, shard: int | Mapping[str, int] | None, compressor: str) -> Storage:
        """From settings, where a number means frames.

        Raises:
            ValueError: There is no such axis, size or compressor.
        """
        given = [{"time": one} if isinstance(one, int) else dict(one or {}) for one in (chunk, shard)]
        for sizes in given:
            for axis, size in sizes.items():
                if axis not in AXES:
                    raise InputError(f"no axis {axis!r} to be cut; the axes are {', '.join(AXES)}")
                if size < 1:
                    raise InputError(f"{size} along {axis}; give at least 1")
        codecs.named(compressor, 4)
        return Storage(*given, compressor)

    def blocks(self, volume: xr.Dataset) -> Blocks:
        """How a volume is cut."""
        return choose(volume[DATA].shape, volume[DATA].dtype.itemsize, self.chunk, self.shard)


def make(
    volumes: Mapping[str | None, xr.Dataset],
    destination: Path,
    storage: Storage,
    means: Means,
    origin: Mapping[str, Any],
    *,
    longer: bool = False,
) -> Steps:
    """Writes volumes into a new store, a group each; `None` is the store itself.

    Args:
        origin: What they are made of, as JSON; kept, and compared where an unfinished store is continued.
        longer: The one volume begins with what the destination holds already: whole shards of it are taken over, and
            it stays as it is until the longer one takes its place.

    Raises:
        InputError: Something is at the destination; another process makes it; something else was begun there; or what
            reading the volumes raises, then nothing is left.
        StoreError: The store cannot be written; the same call continues.
    """
    if not longer:
        refuse_taken(destination)
    folder = next(parent for parent in destination.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise InputError(f"{destination} cannot be made: {folder} is no folder; choose another place")
    blocks = {group: storage.blocks(volume) for group, volume in volumes.items()}
    origin = {**origin, "storage": asdict(storage)}
    plan = {"origin": origin}
    plan |= {"volumes": {group or "": signature(volume, blocks[group]) for group, volume in volumes.items()}}
    with unfinished(destination, plan) as held:
        made, aside = held.folder / "data.zarr", held.folder / "earlier.zarr"
        if longer and aside.exists() and not destination.exists():  # killed between the two steps of `replace_folder`
            os.replace(aside, destination)
        if destination.exists() and not longer:
            raise InputError(f"{destination} was made in the meantime; remove it, or choose another name")
        if not held.begun:
            held.begin()
        if not made.exists():
            _create(volumes, made, blocks, storage, origin)
        if longer:
            known = store.Target(destination).blocks
            if known == blocks[None]:
                take(destination, made, store.Target(destination).shape[0])
        total = sum(volume[DATA].nbytes for volume in volumes.values())
        before, continued, clock, begun = 0, None, Clock(), time.perf_counter()
        for group, volume in volumes.items():
            frame = volume[DATA].nbytes / max(1, volume.sizes["time"])
            for done, _ in fill(volume, made / (group or ""), means, clock=clock):
                made_now = before + done
                continued = made_now if continued is None else continued
                yield Progress(
                    made_now // MEGABYTE,
                    -(-total // MEGABYTE),
                    f"{made_now / 1e6:.0f} MB",
                    frames=round((made_now - continued) / frame),
                    size=made_now - continued,
                    shares=shares(clock, time.perf_counter() - begun),
                )
            before += volume[DATA].nbytes
        if longer:
            replace_folder(made, destination, aside)
        else:
            os.replace(made, destination)


def shares(clock: Clock, seconds: float) -> dict[str, float]:
    """Seconds by activity, of all: who does not wait for what is read writes it."""
    known = clock.seconds()
    return known | {"writing": seconds - known.get("waiting for reads", 0.0), "all": seconds}


def refuse_taken(destination: Path) -> None:
    """Refuses a place where something is."""
    if destination.exists() or destination.is_symlink():
        raise InputError(f"{destination} is there already; remove it, or choose another name")


def _create(
    volumes: Mapping[str | None, xr.Dataset],
    made: Path,
    blocks: Mapping[str | None, Blocks],
    storage: Storage,
    origin: Mapping[str, Any],
) -> None:
    try:
        store.create_volumes(dict(volumes), made, blocks, compressor=storage.compressor)
        for group in volumes:
            write_text(made / (group or "") / DATA / ORIGIN, json.dumps(origin) + "\n")
    except OSError as error:
        raise InputError(f"{made} cannot be made: {error}; make room, allow it, or choose another place") from error


MEGABYTE = 1_000_000
"""Progress is told in them, before compression."""


def signature(volume: xr.Dataset, blocks: Blocks) -> dict[str, Any]:
    """What is compared of a volume where an unfinished store is continued: all but the numbers in it."""
    digest = hashlib.sha256()
    for name in sorted(map(str, volume.coords)):
        values = np.asarray(volume[name].values)
        told = [str(one) for one in values.ravel()] if values.dtype.kind == "O" else values.tobytes().hex()
        digest.update(json.dumps([name, volume[name].dims, told]).encode())
    return {
        "shape": list(volume[DATA].shape),
        "dtype": str(volume[DATA].dtype),
        "chunk": list(blocks.chunk),
        "shard": list(blocks.shard),
        "coordinates": digest.hexdigest()[:16],
    }
