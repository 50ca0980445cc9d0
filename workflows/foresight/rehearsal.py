"""A rehearsal: the stages `train` and `infer` themselves, on a few frames of noise, in a process of its own.

What they take grows with the numbers that are worked on at a time (frames of a window or a shard times voxels), so two
sizes tell how much any size takes; where chunks are computed again, what is held of a frame depends on how many there
are, and all are there in both sizes. Nothing here knows what the stages do inside; it is they who are measured, with
the recipe's own model, precision and chunks. What was measured is kept, by machine, versions and settings.
"""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from cluster import LocalExecutor, own_usage
from pipeline.infer import InferJob, InferSettings
from pipeline.masks import data_channels, masks_of
from pipeline.mesh import Alone
from pipeline.normalisation import Normalisation
from pipeline.splits import Span
from pipeline.storage import arrays
from pipeline.storage.make import Storage, make
from pipeline.storage.means import Means
from pipeline.train import Training, train
from pipeline.training.settings import TrainSettings
from pipeline.volume import AXES, DATA, SPACE, InputError
from pipeline.walk_back import write_carries_behind
from workflows.across import across_workers
from workflows.foresight.kept import Kept
from workflows.measured import begin_anew

SECONDS = 300.0
"""How long a rehearsal may take."""

FIRST = 20_000
"""Voxels times frames of the first size."""

GROWTH = 250e6
"""Bytes that the second size should take beyond the first."""

STEPS = 3
"""Of training; the fastest after the first is what a step takes: the first compiles, others are disturbed."""


LONG = 2_000_000
"""Voxels times frames of a window beyond which its length does not change what is rehearsed."""

COARSE, MATTERS = 3.0, 60e6
"""By what the numbers that a model plainly holds are multiplied for a bound of all that it takes, and the bytes from
which on it is worth to know better."""

NOMINAL = 2e-8
"""Seconds for each byte that a model plainly holds, where nothing was rehearsed."""


class RehearsalFailed(RuntimeError):
    """A bug, or a machine that is too small even for a rehearsal."""


@dataclass(frozen=True)
class Line:
    """What two sizes took, and so any.

    Attributes:
        size: Voxels times frames of the larger one.
        bytes, seconds: What it took: memory beyond what the process had, and the time of a step or a shard.
        bytes_each, seconds_each: For each voxel and frame more.
    """

    size: float
    bytes: float
    seconds: float
    bytes_each: float
    seconds_each: float

    @staticmethod
    def through(small: Mapping[str, float], large: Mapping[str, float]) -> Line:
        more = large["size"] - small["size"]
        if more:
            each = {name: max(0.0, large[name] - small[name]) / more for name in ("bytes", "seconds")}
        else:  # all that there is: of a longer series it is as much for each frame, at most
            own = {"bytes": max(0.0, large["bytes"] - LIBRARIES), "seconds": large["seconds"]}
            each = {name: own[name] / large["size"] for name in own}
        known = {name: large[name] for name in ("size", "bytes", "seconds")}
        return Line(**known, bytes_each=each["bytes"], seconds_each=each["seconds"])

    def memory(self, size: float) -> float:
        return self.bytes + self.bytes_each * (size - self.size) if size > self.size else self.bytes * 1.0

    def time(self, size: float) -> float:
        ahead = self.seconds + self.seconds_each * (size - self.size)
        return max(ahead, self.seconds * size / self.size if size < self.size else self.seconds)


@dataclass(frozen=True)
class Part:
    """What is rehearsed.

    Attributes:
        settings: Of a `train` stage.
        shard: Frames of a shard and a chunk of an `infer` stage with that model, where there is one. A series may be
            shorter.
        volume: A few frames of what it reads, without numbers: shape, channels, times, attributes.
    """

    settings: TrainSettings
    shard: tuple[int, int] | None
    volume: xr.Dataset


def rehearsed(part: Part, kept: Kept) -> dict[str, Line]:
    """What training steps and shards take; by `train` and `infer`.

    Raises:
        InputError: What the stages refuse.
        RehearsalFailed: What was rehearsed failed.
    """
    window, voxels = window_of(part.settings), voxels_of(part.volume)
    if (line := _too_small_to_matter(part)) is not None:
        return dict.fromkeys(("train", "infer"), line)
    long = voxels * window > LONG and not part.settings.recompute
    identity = {
        "settings": asdict(shortened(part.settings, SHORTEST if long else window)),
        "shard": part.shard and (min(part.shard[0] * voxels, LONG), part.shard[1] / part.shard[0]),
        "sizes": {axis: size for axis, size in part.volume.sizes.items() if axis != "time"},
        "attributes": {name: str(value) for name, value in sorted(part.volume.attrs.items())},
    }

    def measure() -> dict[str, dict[str, float]]:
        with tempfile.TemporaryDirectory() as folder:
            asked, answer = Path(folder) / "part.pickle", Path(folder) / "lines.json"
            asked.write_bytes(pickle.dumps(part))
            done = subprocess.run(
                [sys.executable, "-m", __name__, str(asked), str(answer)],
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
            if done.returncode:
                raise RehearsalFailed(f"the rehearsal of a training failed:\n{done.stderr}")
            found = json.loads(answer.read_text())
        if "refused" in found:
            raise InputError(found["refused"])
        return found

    return {name: Line(**line) for name, line in kept.get("rehearsal", identity, measure).items()}


def _too_small_to_matter(part: Part) -> Line | None:
    """What a window takes at most that takes little beside the libraries; `None` of a larger one."""
    model, shard = part.settings.model, part.shard or (0, 0)
    size = float(voxels_of(part.volume) * max(window_of(part.settings), shard[0]) * part.settings.together)
    plain = 4.0 * model.layers * (6 * model.channels + 14 * model.states) * (1 + model.bidirectional) * size
    if COARSE * plain > MATTERS:
        return None
    return Line(size, LIBRARIES + COARSE * plain, NOMINAL * plain, 0.0, 0.0)


def measured(part: Part, folder: Path) -> dict[str, dict[str, float]]:
    """Rehearses, in this process."""
    base, lines = own_usage().resident, {}
    at_a_time = {"train": window_of(part.settings)}
    if part.shard:  # first: who trained has loaded more than infer needs
        at_a_time = {"infer": min(part.shard[0], part.volume.sizes["time"])} | at_a_time
    for name, frames in at_a_time.items():
        all_frames = name == "train" and part.settings.recompute is not None
        small = _Scene(part, folder / f"small-{name}", float(FIRST), frames, all_frames=all_frames)
        first = last = small.played(name, base)
        if not small.whole:
            size = small.size * min(50.0, max(2.0, GROWTH / max(first["bytes"] - LIBRARIES, LEAST)))
            last = _Scene(part, folder / f"large-{name}", size, frames, all_frames=all_frames).played(name, base)
        lines[name] = asdict(Line.through(first, last))
    return lines


class _Scene:
    """The stages with about so many voxels times frames at a time.

    Args:
        part: What is rehearsed.
        folder: For what they read and write.
        wanted: Voxels times frames.
        most: Frames that the recipe has at a time.
        all_frames: Whether there must be as many; else fewer, of more voxels.

    Attributes:
        frames: Of a window or a shard.
        size: Voxels times frames.
        whole: Whether that is all that the recipe has at a time.
    """

    def __init__(self, part: Part, folder: Path, wanted: float, most: int, *, all_frames: bool):
        self.part, self.folder = part, folder
        voxels = voxels_of(part.volume)
        self.whole = voxels * most <= wanted
        fewer = max(min(most, SHORTEST), int(min(most, wanted / voxels)))
        self.frames = most if self.whole or all_frames else fewer
        volume = part.volume if self.whole else _cropped(part.volume, wanted / self.frames, part.settings.model.patch)
        self.settings = shortened(part.settings, self.frames)
        self.volume = volume.isel(time=slice(0, 3 * self.frames + 2))
        self.size = float(voxels_of(volume) * self.frames)
        write_noise(self.volume, folder, self.frames, self.settings.model.classes, self.settings.model.targets)

    def played(self, name: str, base: int) -> dict[str, float]:
        """What a stage took, memory beyond `base`."""
        begin_anew()
        found = self._trained() if name == "train" else self._inferred()
        return found | {"bytes": float(own_usage().peak - base)}

    def _trained(self) -> dict[str, float]:
        for _ in train(self.settings, {"prepared": self.folder}, self.folder):
            pass
        lines = (self.folder / "timing.jsonl").read_text().splitlines()
        return {"size": self.size, "seconds": min(json.loads(line)["seconds"] for line in lines[1:])}

    def _inferred(self) -> dict[str, float]:
        untrained = replace(self.settings, start=None, window=max(2, self.frames), burn_in=0, horizon=1)
        Training(untrained, self.folder, self.folder, Alone()).snapshot().save(self.folder / "checkpoint.zarr")
        shard, chunk = self.part.shard
        length = min(shard, self.frames)
        chunk = min(chunk, length)
        settings = InferSettings("noise", chunk=chunk, chunks_per_shard=length // chunk)
        output = self.folder / "forecast"
        output.mkdir()
        begin_anew()
        job = InferJob(settings, {"prepared": self.folder, "model": self.folder}, output)
        job.prepare()
        if job.model.settings.bidirectional:
            for _ in write_carries_behind(job.checkpoint, job.prepared, job.strands, job.behind, job.threads):
                pass
        begun = time.perf_counter()
        for _ in across_workers(job, LocalExecutor()):
            pass
        each = (time.perf_counter() - begun) / max(1, sum(job.lengths))
        return {"size": float(voxels_of(self.volume) * length // chunk * chunk), "seconds": each}


LIBRARIES, LEAST = 175e6, 2e6
"""About what libraries take, and the least that numbers count for: by these the second size is chosen."""

SHORTEST = 8
"""Frames, where a window has as many."""


def window_of(settings: TrainSettings) -> int:
    """The frames that one worker has of the longest window."""
    return math.ceil(max(cut.window for cut in settings.cuts.values()) / settings.time_parallel)


def shortened(settings: TrainSettings, frames: int) -> TrainSettings:
    """A few steps of one worker's part of a training, with shorter windows."""
    return replace(
        settings,
        steps=STEPS,
        keep=1,
        seed=0,
        learning_rate=1e-4,
        warm_up=0,
        spike=None,
        backoff=1.0,
        validate_every=STEPS,
        checkpoint_every=STEPS,
        window=frames,
        burn_in=min(settings.burn_in, frames // 2),
        horizon=min(max(cut.horizon for cut in settings.cuts.values()), max(1, frames // 2 - 1)),
        curriculum=(),
        batch=math.ceil(settings.batch / settings.data_parallel),
        data_parallel=1,
        time_parallel=1,
        retries=0,
    )


def voxels_of(volume: xr.Dataset) -> int:
    """Of a frame."""
    return math.prod(volume.sizes[axis] for axis in SPACE)


def _cropped(volume: xr.Dataset, voxels: float, patch: int) -> xr.Dataset:
    """A part of the frames with about so many voxels, whole patches along each axis."""
    long = [axis for axis in SPACE if volume.sizes[axis] > patch]
    share = min(1.0, voxels / voxels_of(volume)) ** (1 / max(1, len(long)))
    sizes = {axis: max(1, round(volume.sizes[axis] * share / patch)) * patch for axis in long}
    return volume.isel({axis: slice(0, min(size, volume.sizes[axis])) for axis, size in sizes.items()})


def write_noise(volume: xr.Dataset, folder: Path, frames: int, classes: int | None, targets: Sequence[str]) -> None:
    """What a `preprocess` stage would have made, of white noise."""
    length, draw = volume.sizes["time"], np.random.default_rng(0)
    spans = {"train": (0, min(length, 2 * frames)), "validation": (max(0, length - frames), length)}
    spans["test"] = spans["validation"]
    splits = {split: [asdict(Span("noise", *span))] for split, span in spans.items()}
    values = draw.standard_normal(volume[DATA].shape, np.float32)
    if classes is not None:
        own = [str(name) in targets for name in volume["channel"].values]
        values[:, own] = draw.integers(0, classes, values[:, own].shape)
    if count := masks_of(volume):
        values[:, -count:] = 1
    noise = volume.assign({DATA: (AXES, values, volume[DATA].attrs)}).assign_attrs(splits=splits)
    for _ in make({"noise": noise}, folder / "prepared.zarr", Storage(), Means(), {"made_by": "a rehearsal"}):
        pass
    channels, space = data_channels(volume), values.shape[2:]
    statistics = Normalisation(
        np.zeros((channels, 1, 1, 1)),
        np.ones((channels, 1, 1, 1)),
        np.zeros((channels, *space)),
        np.full((channels, *space), length),
    )
    arrays.write_arrays(folder / "statistics.zarr", statistics.arrays(), {})


def main() -> None:
    """Reads what is to be rehearsed from one file and writes what it took into another."""
    asked, answer = map(Path, sys.argv[1:])
    try:
        found: dict[str, Any] = measured(pickle.loads(asked.read_bytes()), asked.parent)
    except InputError as error:
        found = {"refused": str(error)}
    answer.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
