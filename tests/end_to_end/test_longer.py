"""A run whose archive has grown: whole shards of the earlier forecast are taken over where nothing else changed."""

import json

import numpy as np
import pytest

from cluster import LocalExecutor
from pipeline.storage import store
from tests.synthetic import Silent, blobs
from workflows.events import Started
from workflows.foresight.foresee import foresee
from workflows.foresight.kept import Kept
from workflows.language.load import load
from workflows.plan import plan
from workflows.run import run

RECIPE = """\
name: longer
stages:
  raw_a: {stage: ingest, source: a.nc, variable: warmth}
  raw_b: {stage: ingest, source: b.nc, variable: warmth}
  learned:
    stage: preprocess
    inputs: {a: raw_a}
    splits: &splits
      train: {series: a, first: 2000-01-01, last: 2000-01-20}
      validation: {series: a, first: 2000-01-21, last: 2000-01-25}
      test: {series: a, first: 2000-01-26, last: 2000-01-30}
  arriving:
    stage: preprocess
    inputs: {a: raw_a, b: raw_b}
    splits: *splits
  model:
    stage: train
    inputs: {prepared: learned}
    model: {channels: 2, states: 2, layers: 1}
    steps: 1
    window: 8
    burn_in: 2
    threads: 1
  forecast: {stage: infer, inputs: {prepared: arriving, model: model}, series: b, chunk: 4, chunks_per_shard: 2}
"""


def archive(path, frames, change=None):
    volume = blobs(frames, 2, height=5, width=6)
    if change is not None:
        volume["warmth"][change] += 1
    volume.to_netcdf(path, encoding={"time": {"units": "days since 1990-01-01"}})


@pytest.fixture
def recipe(tmp_path):
    blobs(30, 1, height=5, width=6).to_netcdf(tmp_path / "a.nc", encoding={"time": {"units": "days since 1990-01-01"}})
    archive(tmp_path / "b.nc", 29)
    (tmp_path / "longer.yaml").write_text(RECIPE)
    return tmp_path / "longer.yaml"


def forecast(recipe, runs="runs", *changes):
    """The folder, what was said, and the stages that ran."""
    display = Silent()
    folders = run(load(recipe, changes), recipe.parent / runs, LocalExecutor(2), display)
    return folders["forecast"], " ".join(display.lines()), display.names(Started)


def files(folder):
    return {p.relative_to(folder): (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


def bits(folder):
    return store.read_frames(folder / "prediction.zarr", None, 0, 41).tobytes()


@pytest.mark.slow
def test_new_frames_alone_are_forecast(recipe):
    old, _, _ = forecast(recipe)
    before = files(old)
    archive(recipe.parent / "b.nc", 41)
    new, lines, stages = forecast(recipe)
    assert stages == ["raw_b", "arriving", "forecast"]
    assert f"3 of 6 shards are those of {old.name}, whose frames are the same" in lines
    assert json.loads((new / "manifest.json").read_text())["continued_from"] == 3
    fresh, lines, _ = forecast(recipe, "fresh")
    assert "are those of" not in lines
    assert bits(new) == bits(fresh)
    assert np.isfinite(store.read_frames(new / "prediction.zarr", None, 0, 41)).all()
    assert store.open_volume(new / "prediction.zarr")["time"].equals(
        store.open_volume(fresh / "prediction.zarr")["time"]
    )
    assert files(old) == before
    linked = new / "prediction.zarr" / "data" / "c" / "5" / "0" / "0" / "0" / "0"
    assert linked.samefile(old / linked.relative_to(new))


@pytest.mark.slow
def test_a_frame_that_changed_ends_what_is_taken(recipe):
    old, _, _ = forecast(recipe)
    archive(recipe.parent / "b.nc", 41, change=17)
    new, lines, _ = forecast(recipe)
    assert f"2 of 6 shards are those of {old.name}" in lines
    fresh, _, _ = forecast(recipe, "fresh")
    assert bits(new) == bits(fresh)


def test_forecasts_of_series_that_were_not_learned_from_are_foreseen(recipe, tmp_path):
    planned = plan(load(recipe), recipe.parent / "runs")
    costs = {one.name: one.cost for one in foresee(planned, LocalExecutor(2), Kept(tmp_path / "kept.json"))}
    assert (costs["forecast"].shards, costs["forecast"].workers) == (4, 2)


@pytest.mark.slow
def test_another_model_or_other_settings_take_nothing(recipe):
    forecast(recipe)
    archive(recipe.parent / "b.nc", 41)
    for change in ("model.seed=1", "arriving.normalise={mean: channel, scale: channel}"):
        _, lines, stages = forecast(recipe, "runs", change)
        assert "forecast" in stages
        assert "are those of" not in lines, change
