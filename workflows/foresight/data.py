"""What stages take that bring data in and prepare them: it follows from the parts that they hold at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import dask.array
import xarray as xr

from pipeline.storage.fill import plan_parts
from pipeline.storage.make import Storage
from pipeline.storage.means import COPIES, Means
from pipeline.volume import DATA
from workflows.foresight import made
from workflows.foresight.cost import MARGIN, Cost
from workflows.foresight.looking import Known, Looking
from workflows.foresight.made import in_words
from workflows.stage import Stage

OPENING = 0.3
"""Seconds in which a stage opens what it reads and closes what it writes."""


def ingest(looking: Looking, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
    volume = made.ingested(stage.settings, folder)
    known = Known({stage.name: volume}, settings=stage.settings)
    if finished:
        return known, None
    held, cost = _stored(looking, [volume], stage.settings.storage, Means(looking.executor.memory))
    host = _bounded(looking, looking.host("ingest", COPIES * held))
    return known, replace(cost, read=_size_of(stage), host=host)


def preprocess(looking: Looking, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
    raw = {name: looking.known[source].volumes[source] for name, source in stage.inputs.items()}
    volumes, spans = made.prepared(stage.settings, folder, raw)
    known = Known(volumes, spans, stage.settings)
    if finished:
        return known, None
    held, cost = _stored(looking, list(volumes.values()), stage.settings.storage, Means(looking.executor.memory))
    voxels = max(math.prod(volume[DATA].shape[1:]) for volume in volumes.values())
    statistics = 48.0 * voxels * (12 if stage.settings.anomalies != "none" else 1)
    read = 2 * sum(volume[DATA].nbytes for volume in raw.values())
    host = _bounded(looking, looking.host("preprocess", 1.5 * COPIES * held + statistics))
    return known, replace(cost, read=read, host=host)


def _stored(looking: Looking, volumes: Sequence[xr.Dataset], storage: Storage, means: Means) -> tuple[float, Cost]:
    """Volumes that are written block by block: the most bytes that are held at a time, and what they cost."""
    held = chunks = shards = size = 0
    for volume in volumes:
        data, blocks = volume[DATA].data, storage.blocks(volume)
        if not isinstance(data, dask.array.Array):
            data = dask.array.from_array(data, chunks=blocks.shard, name=False)
        plan = plan_parts(blocks, data, means)
        piece = max(math.prod(plan.extent), math.prod(map(max, data.chunks))) * data.dtype.itemsize
        held = max(held, min(plan.held * piece, data.nbytes))
        chunks += math.prod(-(-n // c) for n, c in zip(data.shape, blocks.chunk, strict=True))
        shards += sum(1 for _ in blocks.shards(data.shape))
        size += data.nbytes
    words = in_words(volumes[0]) + (f" and {len(volumes) - 1} more" if len(volumes) > 1 else "")
    cost = Cost(shape=words, chunks=chunks, shards=shards, waves=shards, written=size, disk=size)
    seconds = OPENING + size / looking.rates.write
    return held, replace(cost, seconds=seconds, axis="shards one after another, threads within")


def _bounded(looking: Looking, host: int) -> int:
    """These stages keep to the memory that was given."""
    memory = looking.executor.memory
    return host if memory is None else min(host, round(memory / MARGIN))


def _size_of(stage: Stage) -> int:
    """Bytes of a stage's files; of URLs nothing is known."""
    found = 0
    for source in stage.settings.sources:
        if isinstance(source, Path):
            files = source.rglob("*") if source.is_dir() else [source]
            found += sum(file.stat().st_size for file in files if file.is_file())
    return found
