"""What a run takes is foreseen: never less memory than is measured, never half as much again; too much is refused."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import netCDF4
import numpy as np
import pytest

from cluster import LocalExecutor, ResourceError
from tests.synthetic import Silent, write_recipe
from workflows.foresight.cost import Cost, Foreseen
from workflows.foresight.foresee import foresee
from workflows.foresight.kept import Kept
from workflows.foresight.limits import Limits, refuse_over_budget
from workflows.foresight.rehearsal import Line
from workflows.foresight.table import cells, duration, summary
from workflows.language.load import load
from workflows.plan import plan
from workflows.run import run
from workflows.workflow import Workflow

RECIPE = """\
name: shaped
stages:
  raw: {{stage: ingest, source: archive.nc, variable: [{variables}]}}
  prepared:
    stage: preprocess
    inputs: {{all: raw}}
    splits:
      train: {{series: all, last: {days[0]}}}
      validation: {{series: all, first: {days[1]}, last: {days[2]}}}
      test: {{series: all, first: {days[3]}}}
    normalise: {{mean: voxel, scale: channel}}
  model:
    stage: train
    inputs: {{prepared: prepared}}
    model: {{channels: 4, states: 8, layers: 2}}
    steps: 2
    window: {window}
    recompute: {recompute}
    burn_in: 1
    validate_every: 2
  forecast: {{stage: infer, inputs: {{prepared: prepared, model: model}}, series: all, chunk: {chunk}}}
  scores: {{stage: evaluate, inputs: {{prediction: forecast, prepared: prepared, model: model}}}}
  report: {{stage: report, inputs: {{scores: scores, prediction: forecast, prepared: prepared, model: model}}}}
"""


def write_shaped(folder, shape, window, chunk, recompute=None):
    """An archive of noise with frames of a shape (channel, depth, height, width), and a recipe."""
    frames, channels, *space = shape
    with netCDF4.Dataset(folder / "archive.nc", "w") as file:
        axes = [name for name, size in zip(("level", "lat", "lon"), space, strict=True) if size > 1]
        for name, size in zip(("time", "level", "lat", "lon"), (frames, *space), strict=True):
            file.createDimension(name, size)
            variable = file.createVariable(name, "f8", (name,))
            variable.units = {
                "time": "days since 2000-01-01",
                "level": "hPa",
                "lat": "degrees_north",
                "lon": "degrees_east",
            }[name]
            variable[:] = np.arange(size)
        draw = np.random.default_rng(0)
        for channel in range(channels):
            variable = file.createVariable(f"v{channel}", "f4", ("time", *axes))
            for frame in range(frames):
                variable[frame] = draw.standard_normal([size for size in space if size > 1]).astype("f4")
    names = ", ".join(f"v{channel}" for channel in range(channels))
    borders = (int(0.6 * frames), int(0.8 * frames))
    days = [str(np.datetime64("2000-01-01") + border + beyond) for border in borders for beyond in (0, 1)]
    recipe = folder / "shaped.yaml"
    recipe.write_text(
        RECIPE.format(variables=names, days=days, window=window, chunk=chunk, recompute=recompute or "null")
    )
    return recipe


def chronovox(folder, *arguments):
    command = [sys.executable, "-m", "workflows.cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)


SMALL = (40, 1, 1, 20, 24), 12, 8
SHAPES = {
    "fields": ((120, 2, 1, 73, 144), 24, 16),
    "volumes": ((60, 1, 24, 64, 64), 12, 4),
    "large frames": ((40, 2, 1, 384, 512), 6, 4),
    "long windows": ((400, 1, 1, 48, 64), 200, 32),
    "long windows, chunks computed again": ((1300, 1, 1, 48, 64), 512, 32, 16),
    "shards longer than windows": ((400, 1, 1, 48, 64), 8, 100),
}


@pytest.mark.parametrize(
    ("shape", "executor"),
    [
        pytest.param(SMALL, "local", id="small", marks=pytest.mark.slow),
        pytest.param(((40, 1, 8, 24, 24), 12, 6), "local", id="rehearsed", marks=pytest.mark.slow),
        *[pytest.param(shape, "local", marks=pytest.mark.slow, id=name) for name, shape in SHAPES.items()],
        pytest.param(SHAPES["fields"], "ray", marks=pytest.mark.slow, id="fields on Ray"),
    ],
)
@pytest.mark.timeout(900)
def test_memory_is_foreseen(shape, executor, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_shaped(tmp_path, *shape)
    done = chronovox(tmp_path, "run", "shaped.yaml", "--executor", executor)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("plan: about ")
    manifests = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/*/manifest.json")]
    assert len(manifests) == 6
    ratios = {one["stage"]: round(one["foreseen"]["host"] / one["peak"], 3) for one in manifests}
    print({one["stage"]: (round(one["foreseen"]["seconds"], 1), round(one["seconds"], 1)) for one in manifests}, ratios)
    assert all(1 <= ratio <= 1.5 for ratio in ratios.values()), ratios


def test_a_plan_writes_nothing_and_skips_what_is_finished(tmp_path, finished_run, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe = write_recipe(tmp_path, steps=2)
    done = chronovox(tmp_path, "plan", str(recipe), "--executor", "local", "--json")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "runs").exists()
    first = {one["name"]: one for one in json.loads(done.stdout)}
    assert not any(one["finished"] for one in first.values())
    forecast = first["forecast"]["cost"]
    assert (forecast["chunks"], forecast["shards"], forecast["waves"], forecast["workers"]) == (19, 19, 19, 1)
    assert forecast["written"] == forecast["read"] == 130 * 9 * 12 * 4
    folder = finished_run["report"].parent
    changed = load(folder.parent.parent / "blobs.yaml", ["forecast.chunk=16"])
    again = foresee(plan(changed, folder), LocalExecutor(), Kept())
    assert [one.name for one in again if not one.finished] == ["forecast", "scores", "report"]
    assert next(one for one in again if one.name == "forecast").cost.shards == math.ceil(130 / 16)


UP_TO_FORECAST = ("raw_a", "raw_b", "prepared", "model", "forecast")


def test_workers_and_what_moves_between_them_are_foreseen_to_the_byte(tmp_path):
    whole, screen = load(write_recipe(tmp_path, steps=2)), Silent()
    workflow = Workflow(whole.name, {name: whole.stages[name] for name in UP_TO_FORECAST})
    foreseen = foresee(plan(workflow, tmp_path / "runs" / "blobs"), LocalExecutor(3), Kept(tmp_path / "kept.json"))
    cost = next(one.cost for one in foreseen if one.name == "forecast")
    run(workflow, tmp_path / "runs", LocalExecutor(3), screen, foreseen=foreseen)
    folder = next((tmp_path / "runs" / "blobs").glob("forecast-*"))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["moved"] == cost.moved == manifest["foreseen"]["moved"] > 0
    assert (cost.workers, cost.waves) == (3, 7)


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe = write_recipe(tmp_path, steps=2)
    done = chronovox(tmp_path, "run", str(recipe), "--executor", "local", "--memory", "650MB")
    assert done.returncode == 2
    assert "stage model would take " in done.stderr
    assert "MB of memory of a process, and 650 MB are there" in done.stderr
    assert not (tmp_path / "runs").exists()


ENOUGH = Limits(*[math.inf] * 6)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (replace(ENOUGH, process=4e9), "take 6 GB of memory of a process, and 4 GB are there; the nearest that fits is "
            "--set model.window=32, which takes 3 GB a process"),
        (replace(ENOUGH, process=1e9), "no smaller setting that was tried fits"),
        (replace(ENOUGH, node=4e9), "of memory of a worker, and 4 GB are there"),
        (replace(ENOUGH, device=1e9), "take 2 GB of GPU memory of a worker, and 1 GB are there"),
        (replace(ENOUGH, objects=1e6), "of the object store, and 1 MB are there"),
        (replace(ENOUGH, disk=9e9), "would write up to 10 GB, most of it stage forecast (10 GB), and 9 GB are free"),
    ],
)  # fmt: skip
def test_the_nearest_settings_that_fit_are_named(limits, message):
    model = Cost(host=6_000_000_000, device=2_000_000_000, objects=2_000_000, remedies=({"window": 64}, {"window": 32}))
    foreseen = [Foreseen("model", "train", False, model), Foreseen("forecast", "infer", False, Cost(disk=10**10))]

    def again(name, changes):
        assert name == "model"
        return replace(model, host=model.host * changes["window"] // 64 if changes["window"] < 64 else model.host)

    with pytest.raises(ResourceError) as caught:
        refuse_over_budget(foreseen, limits, again)
    assert message in str(caught.value)
    refuse_over_budget(foreseen, ENOUGH, again)


def test_two_sizes_tell_what_others_take():
    small, large = {"size": 100.0, "bytes": 1e6, "seconds": 0.2}, {"size": 300.0, "bytes": 3e6, "seconds": 0.4}
    line = Line.through(small, large)
    assert (line.memory(500), line.time(500)) == (pytest.approx(5e6), pytest.approx(0.6))
    assert Line.through(large, large).memory(300) == 3e6


def test_measurements_are_kept_and_a_torn_file_does_no_harm(tmp_path):
    kept, calls = Kept(tmp_path / "deep" / "kept.json"), []

    def measure():
        calls.append(1)
        return {"found": len(calls)}

    assert [kept.get("a", {"x": 1}, measure)["found"] for _ in range(3)] == [1, 1, 1]
    assert kept.get("a", {"x": 2}, measure)["found"] == 2
    kept.path.write_text('{"a-')
    assert kept.get("a", {"x": 1}, measure)["found"] == 3


def test_times_in_words():
    assert [duration(seconds) for seconds in (None, 0.2, 45, 200, 23_400)] == ["?", "1 s", "45 s", "3 min", "6.5 h"]
    done = Foreseen("a", "ingest", True)
    assert cells(done)[-1] == "finished, skipped"
    assert summary([done]) == "every stage is finished: nothing is left to do"
