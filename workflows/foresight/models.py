"""What stages take that train and use models: it follows from a rehearsal (`rehearsal.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array
import torch
import xarray as xr

from cluster import lay_out
from cluster.cost import choose
from pipeline.dataset import splits_of
from pipeline.elapsed import median_step
from pipeline.infer import InferSettings
from pipeline.model import Forecaster
from pipeline.network.settings import ModelSettings
from pipeline.phases import PHASE
from pipeline.roles import Roles
from pipeline.rollouts.settings import RolloutSettings
from pipeline.storage import store
from pipeline.training.settings import TrainSettings
from pipeline.volume import DATA, SPACE, cut
from workflows.foresight.cost import Cost
from workflows.foresight.looking import LIBRARIES, SCORED, Known, Looking
from workflows.foresight.made import frame_bytes, in_words
from workflows.foresight.rehearsal import Part, rehearsed, voxels_of, window_of
from workflows.stage import Stage


def train(looking: Looking, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
    del folder
    settings, source = stage.settings, stage.inputs["prepared"]
    prepared = looking.known[source]
    volume = prepared.volumes[prepared.spans["train"][0].series]
    shard = _shard_of_forecasts(looking, stage.name)
    known = Known(settings=settings, prepared=source)
    if finished and shard is None:
        return known, None
    known.lines = rehearsed(Part(settings, shard, _few(volume, settings, shard)), looking.kept)
    if finished:
        return known, None
    line, size, window = known.lines["train"], voxels_of(volume), window_of(settings)
    memory = line.memory(size * window)
    places = looking.executor.places(threads=settings.threads, workers=settings.workers)
    frames = settings.steps * settings.batch * window
    looks = -(-settings.steps // settings.validate_every) * sum(
        len(span.frames) for span in prepared.spans["validation"]
    )
    step = line.time(size * window)
    validating = looks * step / (3 * settings.batch * window)
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
        host=looking.host("train", memory - LIBRARIES["train"], apart=places.apart),
        processes=settings.workers,
        device=round(memory) if places.gpus else 0,
        objects=2 * settings.workers * max(states),
        disk=(settings.keep + 1) * 5 * weights,
        seconds=looking.start(apart=places.apart) + settings.steps * step + validating,
        axis=_mesh(settings),
        remedies=_smaller_windows(settings),
    )
    return known, cost


def infer(looking: Looking, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
    del folder
    settings, model = stage.settings, looking.known[stage.inputs["model"]]
    known = _forecast(looking, stage)
    if finished:
        return known, None
    volumes, first = known.volumes, next(iter(known.volumes.values()))
    long = [volume.sizes["time"] for volume in volumes.values()]
    lengths = [len(cut(frames, settings.chunk, settings.chunks_per_shard)) for frames in long]
    places = looking.executor.places(threads=settings.threads, most=sum(lengths))
    layout = lay_out(lengths, places.workers)
    learned = looking.known[model.prepared]  # which may have other series than are forecast
    network = model_of(model.settings, learned.volumes[learned.spans["train"][0].series])
    states = network.carry_bytes(tuple(first.sizes[axis] for axis in SPACE), settings.carry_tolerance)
    choice = choose(layout, states, places.hop, "auto" if network.settings.side_by_side else "chain")
    line, size = model.lines["infer"], voxels_of(first) * min(settings.chunk * settings.chunks_per_shard, max(long))
    memory, frames = line.memory(size), sum(long)
    written = 4 * frames * voxels_of(first) * len(Roles.of(first, model.settings.model).makes)
    cost = Cost(
        shape=in_words(first) + (f" and {len(volumes) - 1} more" if len(volumes) > 1 else ""),
        chunks=sum(-(-frames // settings.chunk) for frames in long),
        shards=sum(lengths),
        waves=max(-(-length // len(team)) for length, team in zip(lengths, layout.teams, strict=True)),
        workers=places.workers,
        read=frames * frame_bytes(first),
        written=written,
        moved=choice.moved_bytes,
        host=looking.host("infer", memory - LIBRARIES["infer"], apart=places.apart),
        processes=places.workers if places.apart else 1,
        device=round(memory) if places.gpus else 0,
        objects=2 * places.workers * max(states),
        disk=written + (sum(lengths) + len(lengths)) * sum(states),
        seconds=looking.start(apart=places.apart) + max(shards for _, shards in layout.loads()) * line.time(size),
        axis="; ".join(filter(None, (layout.why, str(choice)))),
        remedies=tuple(
            {"chunk": one, "chunks_per_shard": 1} for one in _halves(settings.chunk * settings.chunks_per_shard)
        ),
    )
    return known, cost


def rollout(looking: Looking, stage: Stage, folder: Path, *, finished: bool) -> tuple[Known, Cost | None]:
    del folder
    settings, model = stage.settings, looking.known[stage.inputs["model"]]
    known = _forecast(looking, stage)
    if finished:
        return known, None
    volumes, first = known.volumes, next(iter(known.volumes.values()))
    line, members = model.lines["infer"], settings.members * (1 + settings.checkpoints)
    memory = line.memory(voxels_of(first) * max(settings.chunk, 2 * members))
    places = looking.executor.places(threads=settings.threads, workers=1)
    frames = sum(volume.sizes["time"] for volume in volumes.values())
    ahead = _starts(settings, looking.known[stage.inputs["prepared"]]) * settings.horizon
    each = line.time(line.size) / line.size * voxels_of(first)
    cost = Cost(
        shape=f"{settings.horizon} frames ahead, {members} member{'s' if members > 1 else ''}",
        read=frames * frame_bytes(first),
        host=looking.host("rollout", memory - LIBRARIES["rollout"], apart=places.apart),
        device=round(memory) if places.gpus else 0,
        seconds=looking.start(apart=places.apart)
        + (frames + ahead * members) * each
        + ahead * members * frame_bytes(first) / SCORED,
        axis="one worker",
    )
    return known, cost


def _forecast(looking: Looking, stage: Stage) -> Known:
    """What is known of a stage that forecasts: its volumes are as those that it forecasts."""
    prepared = looking.known[stage.inputs["prepared"]].volumes
    return Known({name: prepared[name] for name in stage.settings.names}, settings=stage.settings)


def _starts(settings: RolloutSettings, prepared: Known) -> int:
    """About how many forecasts begin in all series."""
    if settings.every is None:
        return len(settings.names) * (len(settings.start) if isinstance(settings.start, tuple) else 1)
    spans = (
        prepared.spans[settings.split] if settings.split else [one for own in prepared.spans.values() for one in own]
    )
    return sum(-(-len(span.frames) // settings.every) for span in spans if span.series in settings.names)


def _shard_of_forecasts(looking: Looking, training: str) -> tuple[int, int] | None:
    """The frames of the longest shard that is to be forecast with a training's model, and of its chunks."""
    found = []
    for planned in looking.planned.values():
        stage = planned.stage
        if planned.finished or training not in stage.inputs.values():
            continue
        if isinstance(stage.settings, InferSettings):
            found.append((stage.settings.chunk * stage.settings.chunks_per_shard, stage.settings.chunk))
        elif isinstance(stage.settings, RolloutSettings):
            found.append((stage.settings.chunk, stage.settings.chunk))
    return max(found, default=None)


def parameters_on(prepared: Path, settings: TrainSettings) -> Callable[[ModelSettings], int]:
    """A call that counts the parameters of a model on the data of a finished `preprocess` stage."""
    path = prepared / "prepared.zarr"
    volume = store.open_volume(path, splits_of(prepared)["train"][0].series)

    def count(model: ModelSettings) -> int:
        with torch.random.fork_rng(devices=[]):
            made = model_of(replace(settings, model=model), volume)
        return sum(weight.numel() for weight in made.parameters())

    return count


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


def _few(volume: xr.Dataset, settings: TrainSettings, shard: tuple[int, int] | None) -> xr.Dataset:
    """As many frames as a rehearsal wants, without their numbers."""
    longest = max(window_of(settings), shard[0] if shard else 0)
    few = volume.isel(time=slice(0, 3 * longest + 2)).drop_vars(PHASE, errors="ignore")
    nothing = dask.array.zeros(few[DATA].shape, dtype="float32")
    bare = few.assign({DATA: (few[DATA].dims, nothing, few[DATA].attrs)})
    return (
        bare.drop_attrs(deep=False)
        .assign_attrs({n: few.attrs[n] for n in ("boundary", "masks") if n in few.attrs})
        .load()
    )


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
