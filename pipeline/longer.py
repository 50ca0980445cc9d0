"""A forecast of series that have grown: an earlier one in the same run gives it its whole shards.

This happens where the model does not depend on what has grown: where a `preprocess` stage of its own, with the same
training period, prepares the series that are forecast.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline import infer
from pipeline.carried import CarryIndex
from pipeline.infer import InferJob
from pipeline.ledger import Ledger
from pipeline.storage import arrays, store
from pipeline.storage.atomic import write_text
from pipeline.volume import DATA


def take_over(job: InferJob) -> str:
    """Gives a forecast that is not begun the whole shards of an earlier one: chunks and carries, as second names of the
    same files, and the ledger of them.

    The earlier one is a finished folder of the same stage in the same run, with the same settings, version and model,
    whose prepared series are bit for bit the first frames of those now, normalised by the same statistics.

    Returns:
        What was taken, in words; empty where nothing was.
    """
    settings = job.model.settings
    if job.prediction.exists() or settings.bidirectional or settings.uneven:  # what came later, or when, counts too
        return ""
    stage, _, _ = job.output.name.rpartition("-")
    for folder in sorted(job.output.parent.glob(f"{stage}-*")) if stage else ():
        shards = _shared(job, folder) if folder != job.output and (folder / "SUCCESS").exists() else []
        if any(shards):
            _link(job, folder, shards)
            return f"{sum(shards)} of {sum(job.lengths)} shards are those of {folder.name}, whose frames are the same"
    return ""


def _shared(job: InferJob, folder: Path) -> list[int]:
    """How many whole shards of each strand a finished folder has that are this job's too."""
    manifest = json.loads((folder / "manifest.json").read_text())
    now = {"settings": json.loads(json.dumps(asdict(job.settings))), "version": infer.VERSION}
    if any(manifest.get(name) != value for name, value in now.items()):
        return []
    if manifest["inputs"]["model"] != job.checkpoint.parent.name:
        return []
    prepared = folder.parent / manifest["inputs"]["prepared"]
    if not (prepared / "SUCCESS").exists() or not _same_statistics(prepared, job.prepared.parent):
        return []
    return [_prefix(job, prepared / "prepared.zarr", strand) for strand in range(len(job.strands))]


def _same_statistics(one: Path, other: Path) -> bool:
    (a, _), (b, _) = (arrays.read_arrays(folder / "statistics.zarr") for folder in (one, other))
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)


def _prefix(job: InferJob, prepared: Path, strand: int) -> int:
    """The shards of a strand whose frames another prepared store has whole, up to the first that differs."""
    series, shards = job.strands[strand].series, job.strands[strand].shards
    frames = store.open_volume(prepared, series).sizes["time"] if series in arrays.groups(prepared) else 0
    length = job.settings.chunk * job.settings.chunks_per_shard
    for shard in shards:
        if shard.start + length > frames or shard.stop - shard.start < length:
            return shard.index
        one, other = (store.read_frames(path, series, shard.start, shard.stop) for path in (prepared, job.prepared))
        if one.tobytes() != other.tobytes():
            return shard.index
    return len(shards)


def _link(job: InferJob, folder: Path, shards: list[int]) -> None:
    earlier = [folder / strand.forecast.relative_to(job.output) for strand in job.strands]
    job.create([store.open_volume(path)[DATA].encoding for path in earlier])
    for strand, path, count in zip(job.strands, earlier, shards, strict=True):
        if count:
            store.link_chunks(path, strand.forecast, strand.shards[count - 1].stop)
            CarryIndex(job.index).take_over(CarryIndex(folder / "carry"), strand.name, count + 1, len(strand.shards))
    names = [strand.name for strand in job.strands]
    kept = Ledger(folder / "committed.json", names).exchange
    if kept is not None:  # what is new is exchanged in the same way
        Ledger(job.output / "committed.json", names).keep_exchange(kept)
    write_text(job.output / "committed.json", json.dumps(dict(zip(names, shards, strict=True))) + "\n")
