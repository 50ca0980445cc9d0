"""A rollout: what is forecast from where, what exists of it, and where it is written."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.dataset import Truth
from pipeline.device import own_device
from pipeline.phases import Phases
from pipeline.prediction import forecast_volume, refuse_other_preparation, refuse_unlike
from pipeline.rollouts.kept import Kept
from pipeline.rollouts.models import Members, load_models, trainings
from pipeline.rollouts.record import Record
from pipeline.rollouts.settings import RolloutSettings
from pipeline.rollouts.starts import Start, starts_of
from pipeline.storage import arrays, manifest, store
from pipeline.storage.blocks import of_frames
from pipeline.volume import DATA, InputError


class Job:
    """A rollout of some series.

    Args:
        settings, inputs, output: Of the stage.

    Attributes:
        starts: Of each series, in the order of time.
        forecasts: The store that forecasts are written to.

    Raises:
        InputError: A series was not prepared, or not as a model needs it; or nothing comes of a start.
    """

    def __init__(self, settings: RolloutSettings, inputs: dict[str, Path], output: Path):
        self.settings, self.inputs, self.output = settings, inputs, output
        self.prepared, self.forecasts = inputs["prepared"], output / "rollout.zarr"
        known = arrays.groups(self.prepared / "prepared.zarr")
        for name in settings.names:
            if name not in known:
                raise InputError(f"series {name!r} was not prepared; the prepared series are {', '.join(known)}")
        self.truths = {name: Truth(self.prepared, name) for name in settings.names}
        volumes = {name: truth.volume for name, truth in self.truths.items()}
        refuse_unlike(volumes)
        for folder in trainings(inputs):
            refuse_other_preparation(volumes, arrays.read_attributes(folder / "checkpoint.zarr"))
        self.starts = starts_of(settings, self.prepared, volumes)
        for start in self.all_starts:
            self.phases(start)  # refused before hours of computing
        self.kept = Kept(output / "standing", own_device())

    @property
    def all_starts(self) -> list[Start]:
        return [start for own in self.starts.values() for start in own]

    @cached_property
    def members(self) -> Members:
        """All models, on the device."""
        statistics, _ = arrays.read_arrays(self.prepared / "statistics.zarr")
        models = load_models(self.inputs, self.settings.checkpoints, statistics)
        return Members([model.to(own_device()) for model in models], self.settings)

    @cached_property
    def record(self) -> Record:
        return Record(self.output / "scores.jsonl")

    def phases(self, start: Start) -> np.ndarray | None:
        """The phases of the year that the forecasts from a start are for, where the data are anomalies.

        Raises:
            InputError: One of them no training frame has.
        """
        volume = self.truths[start.series].volume
        phases = Phases.kept(volume)
        return None if phases is None else phases.of(start.times(volume, self.reach(start)))

    def group(self, start: Start, member: int) -> str | None:
        """The group of a forecast: what there is one of is not named; `None` is the store itself."""
        settings = self.settings
        parts = [start.series] if isinstance(settings.series, tuple) else []
        parts += [start.time] if isinstance(settings.start, tuple) or settings.every is not None else []
        parts += [f"member-{member}"] if len(self.members) > 1 else []
        return ".".join(parts) or None

    def path(self, start: Start, member: int) -> Path:
        """Where a forecast is written."""
        return self.forecasts / (self.group(start, member) or "")

    def create(self) -> None:
        """Creates the store of forecasts, empty, unless it is there or none are kept."""
        if not self.settings.kept or self.forecasts.exists():
            return
        likes = {}
        for start in self.all_starts:
            volume = self.truths[start.series].volume
            like = forecast_volume(volume, start.times(volume, self.settings.horizon))
            for member in range(len(self.members)):
                likes[self.group(start, member)] = like.assign_attrs(
                    series=start.series,
                    forecast=f"from the frames up to {start.time}; the time is the time that the forecast is for",
                    member=member,
                )
        blocks = {group: of_frames(like[DATA].shape, self.settings.chunk) for group, like in likes.items()}
        store.create_volumes(likes, self.forecasts, blocks, dtype=np.float32)

    def write(self, start: Start, member: int, first: int, frames: np.ndarray) -> None:
        """Writes one chunk of a forecast, from its frame `first` on."""
        path = self.path(start, member)
        manifest.record(path / DATA, f"frame-{first}", store.write_frames(path, first, frames))

    def reach(self, start: Start) -> int:
        """How many frames are forecast from a start: where they are not kept, none beyond the last that is scored."""
        horizon = self.settings.horizon
        return horizon if self.settings.kept else start.last_scored(horizon)

    def done(self, start: Start) -> int:
        """How many frames were forecast from a start, and are done with."""
        reach = self.reach(start)
        if not self.settings.kept and (start.series, start.frame, reach) in self.record:
            return reach
        return self.kept.lead(str(start))
