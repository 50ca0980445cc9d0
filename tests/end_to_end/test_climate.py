"""The climate recipe as a newcomer runs it: NetCDF to report on Ray, in any plan, and without Ray."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from cluster import LocalExecutor
from pipeline.checkpoint import Checkpoint
from pipeline.dataset import Truth
from pipeline.infer import InferSettings
from pipeline.storage import store
from tests.whole_model import made
from workflows.model_stages import across_time

COMMAND = Path(sys.executable).with_name("chronovox")
RECIPE = Path(__file__).parents[2] / "workflows" / "recipes" / "climate_forecast.yaml"


def chronovox_run(runs, *arguments):
    command = [COMMAND, "run", RECIPE, "--runs", runs, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """With few of the recipe's steps and a small bank to start from; what it takes all of it for is a slow trial."""
    folder = tmp_path_factory.mktemp("climate")
    small = ("model.steps=4", "model.start.memories=[4]", "model.start.diffusivities=[0]")
    chronovox_run(folder, "--workers", 2, *(part for one in small for part in ("--set", one)))
    return folder


def only(runs, stage):
    (folder,) = runs.glob(f"climate_forecast/{stage}-*")
    return folder


@pytest.mark.timeout(400)
def test_baselines_have_their_known_answers(runs):
    """On E1 2000-2099, in K^2, measured without this project."""
    scores = json.loads((only(runs, "scores") / "scores.json").read_text())
    assert scores["persistence.mse"] == pytest.approx(0.8893, abs=5e-5)
    assert scores["training_mean.mse"] == pytest.approx(5.17, abs=5e-3)
    assert scores["best_exponential_average.mse"] == pytest.approx(0.5821, abs=5e-5)
    assert scores["model.mse"] < scores["persistence.mse"]
    assert scores["units"] == "K"
    assert (only(runs, "report").parent / "report.html").stat().st_size < 10e6


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_bar(tmp_path):
    chronovox_run(tmp_path, "--workers", 2)
    assert json.loads((only(tmp_path, "scores") / "scores.json").read_text())["model.mse"] <= 0.570


@pytest.mark.timeout(400)
def test_xarray_reads_the_prediction_with_a_right_time_axis(runs):
    prediction = xr.open_zarr(only(runs, "forecast") / "prediction.zarr", consolidated=False)
    assert prediction["time"].values[0].isoformat() == "1861-06-01T00:00:00"
    assert prediction["time"].values[-1].isoformat() == "2100-06-01T00:00:00"
    assert prediction["time"].dt.calendar == "360_day"
    assert dict(prediction.sizes) == {"time": 240, "channel": 1, "depth": 1, "height": 37, "width": 49}
    assert 200 < float(prediction["data"].min()) < float(prediction["data"].max()) < 320


@pytest.fixture(scope="module")
def exact(runs):
    """In K: what the float64 step-by-step reference of the whole model adds to persistence, its forecasts, and those of
    the model in one process and one chunk."""
    truth = Truth(only(runs, "prepared"), "e1")
    loaded = Checkpoint.load(only(runs, "model") / "checkpoint.zarr")
    frames = store.read_frames(only(runs, "prepared") / "prepared.zarr", "e1", 0, 240)
    settings = loaded.best_model().settings
    slow = made(loaded.best, settings, frames[:, :, 0], ("reflect", "reflect"))[:, :, None]
    with torch.no_grad():
        single = loaded.best_model()(torch.from_numpy(frames))[0].numpy()
    units = truth.normalisation
    return (slow - frames) * units.scale, units.to_units(slow), units.to_units(single)


def predict(runs, output, *, chunk, workers):
    inputs = {"prepared": only(runs, "prepared"), "model": only(runs, "model")}
    list(across_time(InferSettings("e1", chunk=chunk), inputs, output, LocalExecutor(workers)))
    return store.read_frames(output / "prediction.zarr", None, 0, 240)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("chunk", [7, 16])
def test_any_plan_agrees_with_one_process_and_with_float64(runs, exact, written, tmp_path, chunk, workers):
    """Errors against the size of what the model adds to persistence, not against 280 K."""
    increment, slow, single = exact
    predict(runs, tmp_path, chunk=chunk, workers=workers)
    assert np.linalg.norm(written() - single) <= 1e-5 * np.linalg.norm(increment)
    assert np.linalg.norm(written() - slow) <= 1e-4 * np.linalg.norm(increment)


@pytest.mark.timeout(400)
def test_ray_gives_the_bits_of_the_same_plan_without_it(runs, tmp_path):
    on_ray = store.read_frames(only(runs, "forecast") / "prediction.zarr", None, 0, 240)
    assert on_ray.tobytes() == predict(runs, tmp_path, chunk=16, workers=2).tobytes()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_and_of_another_plan(runs, tmp_path):
    first = only(runs, "forecast")
    out = chronovox_run(runs, "--set", "model.steps=4", "--set", "forecast.chunk=7", "--workers", 3)
    assert "model: finished before, skipped" in out
    (other,) = set(runs.glob("climate_forecast/forecast-*")) - {first}
    on_ray = store.read_frames(other / "prediction.zarr", None, 0, 240)
    assert on_ray.tobytes() == predict(runs, tmp_path, chunk=7, workers=3).tobytes()
