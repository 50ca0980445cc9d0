"""The command `repair`: files of a store that are missing or damaged, made again from what it was made of.

What is made again must be what the manifest promises, to the bit; anything else is not put in its place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from pydantic import TypeAdapter

from pipeline import ingest, preprocess
from pipeline.filter_again import scan_again
from pipeline.progress import Progress, Steps
from pipeline.storage import manifest, rechunk, store
from pipeline.storage.fill import fill
from pipeline.storage.make import Storage
from pipeline.storage.manifest import Digest
from pipeline.storage.means import Means
from pipeline.storage.origin import origin_of
from pipeline.storage.unfinished import unfinished
from pipeline.storage.verify import Damage
from pipeline.volume import DATA, InputError

MADE_AGAIN: Mapping[str, Callable[[dict[str, Any], Means], dict[str | None, xr.Dataset]]] = {
    "ingest": lambda origin, _: {None: ingest.again(origin)},
    "rechunk": lambda origin, _: rechunk.again(origin),
    "preprocess": lambda origin, means: prepared_again(origin, means),
}
"""What gives the volumes of a store again, lazily, by what made it."""


def prepared_again(origin: dict[str, Any], means: Means) -> dict[str | None, xr.Dataset]:
    """The volumes of a prepared store; its statistics are measured again."""
    settings = TypeAdapter(preprocess.PreprocessSettings).validate_json(json.dumps(origin["settings"]))
    steps = preprocess.planned(settings, {name: Path(path) for name, path in origin["inputs"].items()}, means)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value.volumes


def repair(path: Path, damages: Sequence[Damage], means: Means) -> Steps:
    """Mends what is damaged in a store.

    Raises:
        InputError: What the store was made of is not known, not there, or not what it was.
    """
    origin = next((origin for origin in (origin_of(folder) for folder in (path, *path.iterdir())) if origin), {})
    wanted = {"files": [str(one.array / one.key) for one in damages]}
    with unfinished(path.with_name(path.name + ".repair"), wanted) as held:
        if not held.begun:
            held.begin()
        made = held.folder / "data.zarr"
        yield Progress(0, 1, f"making {len(damages)} files again")
        if origin.get("made_by") == "scan":
            scan_again(path, made, origin, {one.frames for one in damages if one.frames})
        elif origin.get("made_by") in MADE_AGAIN:
            volumes = MADE_AGAIN[origin["made_by"]](origin, means)
            fill_again(volumes, Storage(**origin["storage"]), path, made, damages, means)
        else:
            raise InputError(f"{path} does not tell what it was made of; {REMEDY.get(path.name, 'make it again')}")
        for one in damages:
            _put(made / one.array.relative_to(path), one)
    yield Progress(1, 1, line=f"{len(damages)} files made again, as they were written")


def fill_again(
    volumes: Mapping[str | None, xr.Dataset],
    storage: Storage,
    path: Path,
    made: Path,
    damages: Sequence[Damage],
    means: Means,
) -> None:
    """Makes the store `made` of what `path` was made of, with the damaged files of the data alone."""
    blocks = {group: storage.blocks(volume) for group, volume in volumes.items()}
    store.create_volumes(dict(volumes), made, blocks, compressor=storage.compressor)
    for group, volume in volumes.items():
        keys = {one.key for one in damages if one.array == path / (group or "") / DATA}
        for _ in fill(volume, made / (group or ""), means, only=keys):
            pass


def _put(made: Path, damage: Damage) -> None:
    """Puts a file that was made again in its place."""
    promised = manifest.recorded(damage.array).get(damage.key)
    found = Digest.of_file(made / damage.key)
    if promised is None:
        manifest.record(damage.array, damage.key.replace("/", "-"), {damage.key: found})
    elif found != promised:
        raise InputError(
            f"{damage.array / damage.key}, made again, has the checksum {found.checksum[:12]} and was written with "
            f"{promised.checksum[:12]}: what it was made of has changed, or a library that encodes it; make the store "
            "again"
        )
    (damage.array / damage.key).parent.mkdir(parents=True, exist_ok=True)
    os.replace(made / damage.key, damage.array / damage.key)


REMEDY = {
    "prediction.zarr": "`chronovox run RECIPE --from A --to B` computes a span of a prediction again, in its place",
}
