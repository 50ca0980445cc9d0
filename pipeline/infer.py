"""Stage `infer`: forecasts of whole series, shard by shard, each shard a program that exchanges one carry a layer.

This file knows what a shard of volumes is, and nothing about where it runs: `workflows.model_stages` hands the worker
and the shards to an executor of `cluster`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import xarray as xr

from pipeline.carried import CarryIndex
from pipeline.checkpoint import Checkpoint
from pipeline.forecast import ShardWorker, Strand
from pipeline.ledger import Ledger
from pipeline.model import Forecaster
from pipeline.network.settings import Task
from pipeline.prediction import forecast_volume, refuse_other_preparation, refuse_unlike
from pipeline.storage import arrays, store
from pipeline.storage.blocks import of_frames, refuse_shared
from pipeline.times import one_further
from pipeline.volume import DATA, SPACE, InputError, Settings, cut
from ssm_ops.carry import Place

VERSION = 6

ONE = "series"
"""The strand of a series that is not in a list."""


@dataclass(frozen=True)
class InferSettings(Settings):
    """Settings of an `infer` stage: what the model makes of whole series, time cut over workers, as `prediction.zarr`.
    Beside it `carry` holds what entered every shard.

    Attributes:
        series: The prepared series to forecast; or a list of them, which then are groups of the prediction.
        chunk: Frames read, scanned and stored together.
        chunks_per_shard: Chunks of a shard, which one worker owns.
        threads: CPU threads of a worker.
        carry_tolerance: Leaves out of the layers' carries the frequencies that decay below this before they could
            matter; 0 is exact. The bound of the error is printed.
    """

    series: str | tuple[str, ...]
    chunk: int = 16
    chunks_per_shard: int = 1
    threads: int = 1
    carry_tolerance: float = 0.0

    def __post_init__(self):
        if not 0 <= self.carry_tolerance < 1:
            raise ValueError(f"carry_tolerance is {self.carry_tolerance}; give 0 (exact) or a number below 1")
        for name in ("chunk", "chunks_per_shard", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give at least 1")
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"series is {list(self.names)}; give at least one, and each once")

    @property
    def names(self) -> tuple[str, ...]:
        """The series, whether one or several are named."""
        return (self.series,) if isinstance(self.series, str) else self.series


class InferJob:
    """The forecast of some series: their shards, the output store, and which shards are committed.

    Args:
        settings, inputs, output: Of the stage.

    Raises:
        InputError: A series was not prepared, or not as the model needs it, or two have frames of different shapes.
    """

    def __init__(self, settings: InferSettings, inputs: dict[str, Path], output: Path):
        self.settings, self.output, self.threads = settings, output, settings.threads
        self.prepared, self.checkpoint = inputs["prepared"] / "prepared.zarr", inputs["model"] / "checkpoint.zarr"
        self.prediction, self.index, self.behind = output / "prediction.zarr", output / "carry", output / "behind"
        known = arrays.groups(self.prepared)
        for name in settings.names:
            if name not in known:
                raise InputError(f"series {name!r} was not prepared; the prepared series are {', '.join(known)}")
        self.volumes = {name: store.open_volume(self.prepared, name) for name in settings.names}
        refuse_unlike(self.volumes)
        self.described = arrays.read_attributes(self.checkpoint)
        refuse_other_preparation(self.volumes, self.described)
        self.strands = [self._strand(name) for name in settings.names]
        self.lengths = [len(strand.shards) for strand in self.strands]
        self.parts = 1
        self.most, self.work = sum(self.lengths), 0.0  # not known: it depends on the model

    def _strand(self, name: str) -> Strand:
        frames, settings = self.volumes[name].sizes["time"], self.settings
        shards = cut(frames, settings.chunk, settings.chunks_per_shard)
        group = self._group(name)
        return Strand(ONE if group is None else name, name, self.prediction / (group or ""), shards)

    def _group(self, name: str) -> str | None:
        """The group of a series in the prediction: one that is not in a list is the store itself."""
        return None if isinstance(self.settings.series, str) else name

    def create(self, encodings: list[dict] | None = None) -> None:
        """Creates `prediction.zarr` and the carry index, empty; compressed as the series, or as `encodings` say."""
        (self.output / "committed.json").unlink(missing_ok=True)  # what it vouched for is gone
        likes = {}
        for number, name in enumerate(self.settings.names):
            volume = store.open_volume(self.prepared, name, chunked=True)
            like = prediction_template(volume, name, self.task, self.described["channels"].get("makes"))
            if encodings:
                like[DATA].encoding = encodings[number]
            likes[self._group(name)] = like
        blocks = {group: of_frames(like[DATA].shape, self.settings.chunk) for group, like in likes.items()}
        for strand in self.strands:
            shape = likes[self._group(strand.series)][DATA].shape
            spans = [(shard.start, shard.stop) for shard in strand.shards]
            refuse_shared((self.settings.chunk, shape[1]), shape[0], spans, [slice(0, shape[1])])
        store.create_volumes(likes, self.prediction, blocks, dtype=np.float32)
        CarryIndex(self.index).prepare([strand.name for strand in self.strands])

    def prepare(self) -> None:
        """Creates what is written to, unless an interrupted run already did."""
        if not self.prediction.exists():
            self.create()
        names = [strand.name for strand in self.strands]
        CarryIndex(self.index).prepare(names)
        self.ledger = Ledger(self.output / "committed.json", names)

    @property
    def extents(self) -> list[tuple[str, int, int]]:
        """Each strand's series, its frames, and the frames of its shards."""
        return [(strand.series, strand.shards[-1].stop, strand.shards[0].stop) for strand in self.strands]

    @property
    def task(self) -> Task:
        """What the model makes."""
        return self.described["description"]["model"]["task"]

    @property
    def side_by_side(self) -> bool:
        """Whether what a shard does to its carry is known without it; else carries go from shard to shard."""
        return self.model.settings.side_by_side

    @cached_property
    def model(self) -> Forecaster:
        """The trained model."""
        return Checkpoint.load(self.checkpoint).best_model()

    @property
    def states(self) -> list[int]:
        """Bytes of what is sent of the carry at each exchange point."""
        return self.model.carry_bytes(self._frame, self.settings.carry_tolerance)

    @property
    def frame_bytes(self) -> int:
        """Of a frame that is read, uncompressed."""
        volume = self.volumes[self.settings.names[0]]
        return volume[DATA].nbytes // volume.sizes["time"]

    @cached_property
    def _frame(self) -> tuple[int, int, int]:
        volume = self.volumes[self.settings.names[0]]
        return tuple(volume.sizes[axis] for axis in SPACE)

    def promises(self) -> list[str]:
        """What the tolerance costs each layer at most, and spares, in words; none where it is 0.

        Raises:
            InputError: The model has no fixed classes of frequencies.
        """
        if self.settings.carry_tolerance == 0:
            return []
        shard = self.strands[0].shards[0]
        layers = self.model.classes(self._frame, self.settings.carry_tolerance)
        return [
            f"layer {number}, {classes.promise(shard.stop - shard.start)}"
            for number, classes in enumerate(layers, start=1)
        ]

    def worker(self) -> partial[ShardWorker]:
        """A picklable call that makes a worker of this job, wherever it runs."""
        return partial(
            ShardWorker,
            self.checkpoint,
            self.prepared,
            self.index,
            self.strands,
            self.threads,
            behind=self.behind,
            tolerance=self.settings.carry_tolerance,
        )

    def describe(self, place: Place) -> str:
        """A shard in words."""
        return self.strands[place.strand].describe(place.index)


def prediction_template(
    volume: xr.Dataset, series: str, task: Task = "forecast", makes: Sequence[str] | None = None
) -> xr.Dataset:
    """The volume to be filled with what a model makes of a prepared one.

    Element t of forecasts is that of frame t + 1: times are moved one step on, and the last forecast lies one step
    beyond the series; its time continues the last step, and its run. Of other tasks element t is of frame t. Other
    coordinates along time are left out.

    Args:
        volume: The prepared volume.
        series: Its name.
        task: What the model makes.
        makes: The channels that it makes, where these are not all.
    """
    times, lead = list(volume.indexes["time"]), 1 if task == "forecast" else 0
    made = forecast_volume(volume, [*times[1:], one_further(times)] if lead else times, makes)
    if "run" in volume.coords:
        runs = volume["run"].values
        runs = np.append(runs, runs[-1])[lead : lead + len(runs)]
        made = made.assign_coords(run=("time", runs, volume["run"].attrs))
    return made.assign_attrs({"series": series, task: TOLD[task]})


TOLD = {
    "forecast": "one step ahead; the time is the time that the forecast is for",
    "denoise": "each frame without its noise",
    "map": "made of each frame",
}
"""What a prediction is, by the model's task."""
