"""What each stage of a workflow will take, from its settings and the sizes of what it reads; nothing is written.

Memory of data stages follows from the parts that they hold at a time, and that of training and forecasts from a
rehearsal (`rehearsal.py`); the numbers beside them here were fitted to stages that were measured (DESIGN.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dask.array
import xarray as xr

from cluster import Executor, lay_out, own_usage
from cluster.cost import choose
from pipeline.elapsed import median_step
from pipeline.infer import InferSettings
from pipeline.model import Forecaster
from pipeline.phases import PHASE
from pipeline.roles import Roles
from pipeline.rollouts.settings import RolloutSettings
from pipeline.splits import Span
from pipeline.storage.fill import plan_parts
from pipeline.storage.make import Storage
from pipeline.storage.means import COPIES, Means
from pipeline.training.settings import TrainSettings
from pipeline.volume import DATA, SPACE, cut
from workflows.foresight import made
from workflows.foresight.cost import MARGIN, Cost, Foreseen, raised
from workflows.foresight.kept import Kept
from workflows.foresight.machine import rates
from workflows.foresight.made import frame_bytes, in_words
from workflows.foresight.rehearsal import Line, Part, rehearsed, window_of
from workflows.plan import PlannedStage
from workflows.stage import Stage

LIBRARIES = {
    "ingest": 20e6,
    "preprocess": 65e6,
    "train": 150e6,
    "infer": 90e6,
    "rollout": 90e6,
    "evaluate": 20e6,
    "report": 35e6,
    "gather": 20e6,
}
"""Bytes of the libraries that a stage brings, beyond those that whoever runs a recipe has imported."""

LEFT = 0.15
"""Of what a stage took beside its libraries: what stays with its process (freed, but in use by the C library)."""

RAY = 110e6
"""Bytes of a process that started or joined Ray."""

SCORED, DRAWN = 4e6, 2e6
"""Bytes of frames a second that are scored, and drawn: orders of magnitude, of one core."""


@dataclass
class Known:
    """What is known of a stage that others read.

    Attributes:
        volumes: What it has made, or will make, by series.
        spans: The periods of its splits.
        settings: Its own.
        prepared: Of a training: what it learns from.
        lines: Of a training: what it and its forecasts take.
    """

    volumes: Mapping[str, xr.Dataset] = field(default_factory=dict)
    spans: Mapping[str, Sequence[Span]] = field(default_factory=dict)
    settings: Any = None
    prepared: str = ""
    lines: Mapping[str, Line] = field(default_factory=dict)


def foresee(planned: Sequence[PlannedStage], executor: Executor, kept: Kept) -> list[Foreseen]:
    """What each stage will take.

    Raises:
        InputError: An archive cannot be read as its stage says, a split does not fit, or whatever else a stage would
            refuse that is seen without reading frames.
        ResourceError: There is no place for the workers.
    """
    looking = _Looking(planned, executor, kept)
    return [looking.at(stage) for stage in planned]


class _Looking:
    """Goes from stage to stage, with what is known of those before."""

    def __init__(self, planned: Sequence[PlannedStage], executor: Executor, kept: Kept):
        self.planned = {stage.stage.name: stage for stage in planned}
        self.executor, self.kept, self.known = executor, kept, {}
        self.alone = self.base = own_usage().resident
        self.left, self.joined = 0.0, False
        self.rates = rates(kept) if any(not stage.finished for stage in planned) else None

    def at(self, planned: PlannedStage) -> Foreseen:
        stage = planned.stage
        look = getattr(self, f"_{stage.kind.makes or stage.kind.name}", None)
        sources = list(stage.inputs.values())
        if look is None or stage.kind.makes or not all(source in self.known for source in sources):
            return Foreseen(stage.name, stage.kind.name, planned.finished)
        self.known[stage.name], cost = look(stage, planned.folder, finished=planned.finished)
        cost = None if planned.finished or cost is None else raised(self._bounded(stage, cost))
        return Foreseen(stage.name, stage.kind.name, planned.finished, cost)

    def _bounded(self, stage: Stage, cost: Cost) -> Cost:
        """The stages that bring data in keep to the memory that was given."""
        memory = self.executor.memory
        if memory is None or stage.kind.name not in ("ingest", "preprocess"):
            return cost
        return replace(cost, host=min(cost.host, round(memory / MARGIN)))

    def host(self, kind: str, working: float, *, apart: bool = False) -> int:
        """Memory of the process of a stage: of the one that runs the recipe, with what stages before left in it, or of
        a worker of its own."""
        libraries = LIBRARIES[kind]
        if apart:
            self.base += 0 if self.joined else RAY
            self.joined = True
            return round(self.alone + libraries + working)
        taken = round(self.base + max(self.left, libraries) + working)
        self.left = max(self.left, libraries + LEFT * working)
        return taken

    def _ingest(self, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
        volume = made.ingested(stage.settings, folder)
        known = Known({stage.name: volume}, settings=stage.settings)
        if finished:
            return known, None
        held, cost = self._stored([volume], stage.settings.storage, Means(self.executor.memory))
        return known, replace(cost, read=_size_of(stage), host=self.host("ingest", COPIES * held))

    def _preprocess(self, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
        raw = {name: self.known[source].volumes[source] for name, source in stage.inputs.items()}
        volumes, spans = made.prepared(stage.settings, folder, raw)
        known = Known(volumes, spans, stage.settings)
        if finished:
            return known, None
        held, cost = self._stored(list(volumes.values()), stage.settings.storage, Means(self.executor.memory))
        voxels = max(math.prod(volume[DATA].shape[1:]) for volume in volumes.values())
        statistics = 48.0 * voxels * (12 if stage.settings.anomalies != "none" else 1)
        read = 2 * sum(volume[DATA].nbytes for volume in raw.values())
        return known, replace(cost, read=read, host=self.host("preprocess", 1.5 * COPIES * held + statistics))

    def _stored(self, volumes: Sequence[xr.Dataset], storage: Storage, means: Means) -> tuple[float, Cost]:
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
        return held, replace(cost, seconds=size / self.rates.write, axis="shards one after another, threads within")

    def _train(self, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
        del folder
        settings, source = stage.settings, stage.inputs["prepared"]
        prepared = self.known[source]
        volume = prepared.volumes[prepared.spans["train"][0].series]
        shard = self._shard_of_forecasts(stage.name)
        known = Known(settings=settings, prepared=source)
        if finished and shard is None:
            return known, None
        known.lines = rehearsed(Part(settings, shard, _few(volume, settings)), self.kept)
        if finished:
            return known, None
        line, voxels, window = known.lines["train"], _voxels(volume), window_of(settings)
        memory, places = (
            line.memory(voxels * window),
            self.executor.places(threads=settings.threads, workers=settings.workers),
        )
        frames = settings.steps * settings.batch * window
        looks = -(-settings.steps // settings.validate_every) * sum(
            len(span.frames) for span in prepared.spans["validation"]
        )
        step = line.time(voxels * window)
        states = model_of(settings, volume).carry_bytes(tuple(volume.sizes[axis] for axis in SPACE))
        borders = 2 * settings.steps * settings.batch * (settings.time_parallel - 1)
        weights = 4 * sum(weight.numel() for weight in model_of(settings, volume).parameters())
        cost = Cost(
            shape=f"{settings.steps} steps of {settings.batch} x {_longest(settings)} frames",
            chunks=settings.steps * settings.batch,
            workers=settings.workers,
            read=(frames * settings.time_parallel + looks) * frame_bytes(volume),
            written=(settings.keep + 1) * 5 * weights,
            moved=borders * sum(states),
            host=self.host("train", memory - LIBRARIES["train"], apart=places.apart),
            processes=settings.workers,
            device=round(memory) if places.gpus else 0,
            objects=2 * settings.workers * max(states),
            disk=(settings.keep + 1) * 5 * weights,
            seconds=settings.steps * step + looks * step / (3 * settings.batch * window),
            axis=_mesh(settings),
            remedies=_smaller_windows(settings),
        )
        return known, cost

    def _infer(self, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
        del folder
        settings, model = stage.settings, self.known[stage.inputs["model"]]
        volumes = {name: self.known[stage.inputs["prepared"]].volumes[name] for name in settings.names}
        known = Known(volumes, settings=settings)
        if finished:
            return known, None
        first = next(iter(volumes.values()))
        lengths = [
            len(cut(volume.sizes["time"], settings.chunk, settings.chunks_per_shard)) for volume in volumes.values()
        ]
        places = self.executor.places(threads=settings.threads, most=sum(lengths))
        layout = lay_out(lengths, places.workers)
        learned = self.known[model.prepared]  # which may have other series than are forecast
        network = model_of(model.settings, learned.volumes[learned.spans["train"][0].series])
        states = network.carry_bytes(tuple(first.sizes[axis] for axis in SPACE), settings.carry_tolerance)
        choice = choose(layout, states, places.hop)
        line, size = model.lines["infer"], _voxels(first) * settings.chunk * settings.chunks_per_shard
        memory, frames = line.memory(size), sum(volume.sizes["time"] for volume in volumes.values())
        written = 4 * frames * _voxels(first) * len(Roles.of(first, model.settings.model).makes)
        cost = Cost(
            shape=in_words(first) + (f" and {len(volumes) - 1} more" if len(volumes) > 1 else ""),
            chunks=sum(-(-volume.sizes["time"] // settings.chunk) for volume in volumes.values()),
            shards=sum(lengths),
            waves=max(-(-length // len(team)) for length, team in zip(lengths, layout.teams, strict=True)),
            workers=places.workers,
            read=frames * frame_bytes(first),
            written=written,
            moved=choice.moved_bytes,
            host=self.host("infer", memory - LIBRARIES["infer"], apart=places.apart),
            processes=places.workers if places.apart else 1,
            device=round(memory) if places.gpus else 0,
            objects=2 * places.workers * max(states),
            disk=written + (sum(lengths) + len(lengths)) * sum(states),
            seconds=max(shards for _, shards in layout.loads()) * line.time(size),
            axis="; ".join(filter(None, (layout.why, str(choice)))),
            remedies=tuple(
                {"chunk": one, "chunks_per_shard": 1} for one in _halves(settings.chunk * settings.chunks_per_shard)
            ),
        )
        return known, cost

    def _evaluate(self, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
        del folder
        prepared = self.known[stage.inputs["prepared"]]
        known = Known(prepared.volumes, prepared.spans, stage.settings)
        if finished:
            return known, None
        frame = frame_bytes(next(iter(prepared.volumes.values())))
        frames = {split: sum(len(span.frames) for span in prepared.spans[split]) for split in ("validation", "test")}
        read = frame * (frames["validation"] + 3 * frames["test"])
        cost = Cost(
            shape=f"{frames['test']} test frames",
            read=read,
            host=self.host("evaluate", 80e6 + 200.0 * frame),
            seconds=1.0 + read / SCORED,
        )
        return known, cost

    def _report(self, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
        del folder
        if finished:
            return Known(settings=stage.settings), None
        frame = frame_bytes(next(iter(self.known[stage.inputs["prepared"]].volumes.values())))
        cost = Cost(host=self.host("report", 10e6 + 60.0 * frame), seconds=3.0 + 16 * frame / DRAWN, disk=5_000_000)
        return Known(settings=stage.settings), cost

    def _gather(self, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
        del folder
        cost = Cost(host=self.host("gather", 20e6), seconds=2.0, disk=1_000_000)
        return Known(settings=stage.settings), None if finished else cost

    def _shard_of_forecasts(self, training: str) -> tuple[int, int] | None:
        """The frames of the longest shard that is to be forecast with a training's model, and of its chunks."""
        found = []
        for planned in self.planned.values():
            stage = planned.stage
            if planned.finished or training not in stage.inputs.values():
                continue
            if isinstance(stage.settings, InferSettings):
                found.append((stage.settings.chunk * stage.settings.chunks_per_shard, stage.settings.chunk))
            elif isinstance(stage.settings, RolloutSettings):
                found.append((stage.settings.chunk, stage.settings.chunk))
        return max(found, default=None)

    def _rollout(self, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
        del folder
        settings, model = stage.settings, self.known[stage.inputs["model"]]
        names = (settings.series,) if isinstance(settings.series, str) else settings.series
        volumes = {name: self.known[stage.inputs["prepared"]].volumes[name] for name in names}
        known = Known(volumes, settings=settings)
        if finished:
            return known, None
        first = next(iter(volumes.values()))
        line, members = model.lines["infer"], settings.members * (1 + settings.checkpoints)
        memory = line.memory(_voxels(first) * max(settings.chunk, 2 * members))
        places = self.executor.places(threads=settings.threads, workers=1)
        frames = sum(volume.sizes["time"] for volume in volumes.values())
        cost = Cost(
            shape=f"{settings.horizon} frames ahead, {members} member{'s' if members > 1 else ''}",
            read=frames * frame_bytes(first),
            host=self.host("rollout", memory - LIBRARIES["rollout"], apart=places.apart),
            device=round(memory) if places.gpus else 0,
            axis="one worker",
        )
        return known, cost


def model_of(settings: TrainSettings, volume: xr.Dataset) -> Forecaster:
    """The model that a training begins with, untrained."""
    roles = Roles.of(volume, settings.model)
    return Forecaster(
        settings.model,
        volume_channels=len(roles.reads),
        boundary=tuple(volume.attrs["boundary"]),
        depth=volume.sizes["depth"],
        masks=roles.masks,
        outputs=len(roles.makes),
        unit=median_step(volume) if settings.model.uneven else None,
        labels=(1.0, 0.0) if settings.model.classes else None,
    )


def _few(volume: xr.Dataset, settings: TrainSettings) -> xr.Dataset:
    """As many frames as a rehearsal wants, without their numbers."""
    few = volume.isel(time=slice(0, 3 * window_of(settings) + 2)).drop_vars(PHASE, errors="ignore")
    nothing = dask.array.zeros(few[DATA].shape, dtype="float32")
    bare = few.assign({DATA: (few[DATA].dims, nothing, few[DATA].attrs)})
    return (
        bare.drop_attrs(deep=False)
        .assign_attrs({n: few.attrs[n] for n in ("boundary", "masks") if n in few.attrs})
        .load()
    )


def _voxels(volume: xr.Dataset) -> int:
    return math.prod(volume.sizes[axis] for axis in SPACE)


def _size_of(stage: Stage) -> int:
    """Bytes of a stage's files; of URLs nothing is known."""
    found = 0
    for source in stage.settings.sources:
        if isinstance(source, Path):
            files = source.rglob("*") if source.is_dir() else [source]
            found += sum(file.stat().st_size for file in files if file.is_file())
    return found


def _longest(settings: TrainSettings) -> int:
    return max(cut.window for cut in settings.cuts.values())


def _mesh(settings: TrainSettings) -> str:
    told = []
    if settings.data_parallel > 1:
        told.append(f"windows over {settings.data_parallel} workers")
    if settings.time_parallel > 1:
        told.append(f"each window cut in time over {settings.time_parallel} workers")
    return "; ".join(told) or "one worker"


def _halves(number: int) -> list[int]:
    """128: 64, 32, .., 1."""
    return [number >> shift for shift in range(1, number.bit_length()) if number >> shift]


def _smaller_windows(settings: TrainSettings) -> tuple[dict[str, Any], ...]:
    """Settings with which a step takes less, those first that change the answer least: gradients are the same with
    chunks that are computed again and with more workers, and others with a shorter window."""
    window, found = _longest(settings), []
    plain = settings.together == 1 and not settings.model.bidirectional and not settings.curriculum
    if plain and settings.horizon == 1:
        found += [{"recompute": chunk} for chunk in _halves(settings.recompute or window) if chunk >= 4]
        found += [
            {"time_parallel": count}
            for count in (2, 4, 8, 16)
            if count > settings.time_parallel and window // count > 1
        ]
    if settings.together > 1:
        found += [{"together": one} for one in _halves(settings.together)]
    if not settings.curriculum:
        found += [{"window": one, "burn_in": settings.burn_in * one // window} for one in _halves(window) if one >= 4]
    return tuple(found)
