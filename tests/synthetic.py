"""Small archives and recipes made on the spot, and the little that several tests need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from pipeline.checkpoint import Checkpoint, to_arrays
from pipeline.ingest import IngestSettings, bring_in, ingest
from pipeline.model import Forecaster
from pipeline.network.settings import ModelSettings
from pipeline.preprocess import PreprocessSettings, preprocess
from pipeline.progress import Progress
from pipeline.splits import Period, Splits
from pipeline.storage import arrays, store
from workflows.workflow import Workflow

RECIPE = """\
name: blobs
stages:
  raw_a: {{stage: ingest, source: a.nc, variable: warmth, chunk: 8}}
  raw_b: {{stage: ingest, source: b.nc, variable: warmth}}
  prepared:
    stage: preprocess
    inputs: {{a: raw_a, b: raw_b}}
    splits:
      train: {{series: a, first: 2000-01-01, last: 2000-03-30}}
      validation: {{series: a, first: 2000-04-01, last: 2000-04-20}}
      test: {{series: b, first: 2000-02-01, last: 2000-04-10}}
  model:
    stage: train
    inputs: {{prepared: prepared}}
    model: {{channels: 3, states: 4, layers: 2}}
    steps: {steps}
    window: 24
    burn_in: 4
    validate_every: {checkpoint_every}
    checkpoint_every: {checkpoint_every}
    threads: 1
  forecast: {{stage: infer, inputs: {{prepared: prepared, model: model}}, series: b, chunk: {chunk}}}
  scores: {{stage: evaluate, inputs: {{prediction: forecast, prepared: prepared, model: model}}}}
  report: {{stage: report, inputs: {{scores: scores, prediction: forecast, prepared: prepared, model: model}}}}
"""


def blobs(frames: int, seed: int, *, height: int = 9, width: int = 12) -> xr.Dataset:
    """Warm blobs that appear and fade over noise: daily, 360-day calendar, latitudes and longitudes of a region."""
    draw = np.random.default_rng(seed)
    rows, columns = np.arange(height)[:, None], np.arange(width)
    field, data = np.zeros((height, width)), []
    for frame in range(frames):
        y, x = draw.uniform(0, height), draw.uniform(0, width)
        field = 0.8 * field + np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 6)
        data.append(280 + 0.01 * frame + field + 0.1 * draw.standard_normal((height, width)))
    times = xr.date_range("2000-01-01", periods=frames, freq="D", calendar="360_day", use_cftime=True)
    return xr.Dataset(
        {"warmth": (("time", "lat", "lon"), np.float32(data), {"units": "K"})},
        coords={
            "time": times,
            "lat": ("lat", np.linspace(30, 60, height), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(200, 250, width), {"units": "degrees_east"}),
        },
    )


def write_recipe(
    folder: Path, *, steps: int = 15, chunk: int = 7, frames: int = 130, checkpoint_every: int = 5
) -> Path:
    """Writes two archives and a recipe over them into `folder`; returns the recipe."""
    for name, seed in (("a", 1), ("b", 2)):
        blobs(frames, seed).to_netcdf(folder / f"{name}.nc", encoding={"time": {"units": "days since 1990-01-01"}})
    recipe = folder / "blobs.yaml"
    recipe.write_text(RECIPE.format(steps=steps, chunk=chunk, checkpoint_every=checkpoint_every))
    return recipe


def up_to(stage: str, recipe: Path) -> Workflow:
    """The workflow of a recipe without what follows a stage."""
    from workflows.language.load import load

    whole = load(recipe)
    names = list(whole.stages)
    return Workflow(whole.name, {name: whole.stages[name] for name in names[: names.index(stage) + 1]})


class Silent:
    """A display that remembers what it was told."""

    def __init__(self):
        self.events: list[tuple[str | None, object]] = []

    def tell(self, stage, event):
        self.events.append((stage, event))

    def close(self):
        pass

    def names(self, kind: type) -> list[str]:
        """The stages that such an event was told of."""
        return [stage for stage, event in self.events if isinstance(event, kind)]

    def lines(self) -> list[str]:
        """What was told to stay on the screen."""
        return [event.line for _, event in self.events if isinstance(event, Progress) and event.line]


class Stops(Silent):
    """Interrupts the run when so many shards are done."""

    def __init__(self, shards):
        super().__init__()
        self.shards = shards

    def tell(self, stage, event):
        super().tell(stage, event)
        if isinstance(event, Progress) and event.done >= self.shards and event.note:
            raise KeyboardInterrupt


def progress_of(steps):
    """How far a stage tells that it is, without what its workers do."""
    return (said for said in steps if isinstance(said, Progress))


def write_untrained(folder: Path, *, volume_channels: int = 1, boundary: tuple[str, ...] = ("reflect",) * 3) -> Path:
    """A run's folder: a series of 40 blobs ingested and prepared, and a checkpoint of a model as training starts it."""
    data, prepared, model = folder / "raw-0", folder / "prepared-0", folder / "model-0"
    blobs(40, 0).to_netcdf(folder / "blobs.nc")
    list(ingest(IngestSettings(str(folder / "blobs.nc"), "warmth"), {}, data))
    periods = [("2000-01-01", "2000-01-20"), ("2000-01-21", "2000-01-30"), ("2000-02-01", "2000-02-10")]
    splits = Splits(*(Period("a", *period) for period in periods))
    list(preprocess(PreprocessSettings(splits), {"a": data, "b": data}, prepared))
    statistics, _ = arrays.read_arrays(prepared / "statistics.zarr")
    forecaster = Forecaster(
        ModelSettings(channels=3, states=4), volume_channels=volume_channels, boundary=boundary, depth=1
    )
    weights = to_arrays(forecaster.state_dict())
    Checkpoint(0, forecaster.description(), weights, {}, weights, statistics, 1.0).save(model / "checkpoint.zarr")
    return folder


def stored(sources, destination, ask):
    """What a store holds that was made of an archive."""
    list(bring_in(sources, destination, ask))
    return store.open_volume(destination, chunked=True)
