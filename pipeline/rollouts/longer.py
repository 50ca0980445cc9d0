"""A rollout whose horizon became longer: an earlier one in the same run gives it what it has, and where it stands."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline.rollouts.job import Job
from pipeline.storage import arrays, store


def take_over(job: Job, version: int) -> str:
    """Gives a rollout that is not begun the forecasts of a finished shorter one: whole chunks as second names of the
    same files, scores and standings as copies.

    The shorter one is a folder of the same stage in the same run, with the same inputs, version and settings but the
    horizon. Only what was kept is there to be taken. A start is taken whole, its standing last; who is killed between
    begins the others anew.

    Returns:
        What was taken, in words; empty where nothing was.
    """
    if not job.settings.kept or job.forecasts.exists():
        return ""
    stage, _, _ = job.output.name.rpartition("-")
    folders = [folder for folder in job.output.parent.glob(f"{stage}-*") if folder != job.output] if stage else []
    shorter = {folder: horizon for folder in folders if (horizon := _horizon(job, folder, version))}
    if not shorter:
        return ""
    folder = max(sorted(shorter), key=shorter.__getitem__)
    _take(job, folder, shorter[folder])
    return f"the first {shorter[folder]} of {job.settings.horizon} frames from each start are those of {folder.name}"


def _horizon(job: Job, folder: Path, version: int) -> int:
    """The horizon of a finished rollout that is this one but shorter; 0 where it is another."""
    if not (folder / "SUCCESS").exists():
        return 0
    manifest = json.loads((folder / "manifest.json").read_text())
    now = json.loads(json.dumps(asdict(job.settings)))
    then = dict(manifest["settings"])
    horizon = then.pop("horizon", 0)
    same = then == {name: value for name, value in now.items() if name != "horizon"} and (
        manifest["version"] == version and manifest["inputs"] == {role: path.name for role, path in job.inputs.items()}
    )
    return horizon if same and horizon < job.settings.horizon else 0


def _take(job: Job, folder: Path, horizon: int) -> None:
    if (folder / "scores.jsonl").exists():
        shutil.copy2(folder / "scores.jsonl", job.output / "scores.jsonl")
    job.create()
    chunk = job.settings.chunk
    for start in job.all_starts:
        for member in range(len(job.members)):
            path = job.path(start, member)
            earlier = folder / path.relative_to(job.output)
            store.link_chunks(earlier, path, horizon)
            first = horizon // chunk * chunk
            if first < horizon:  # the rest of the chunk comes when the rollout goes on
                frames = store.read_frames(earlier, None, first, horizon)
                whole = np.full((min(chunk, job.settings.horizon - first), *frames.shape[1:]), np.nan, np.float32)
                whole[: len(frames)] = frames
                job.write(start, member, first, whole)
        shorter = folder / "standing" / job.kept.path(str(start)).name
        _copy_store(shorter, job.kept.path(str(start)))


def _copy_store(source: Path, path: Path) -> None:
    """A store that appears whole."""
    aside = arrays.aside_of(path)
    shutil.copytree(source, aside)
    arrays.reveal(aside, path)
