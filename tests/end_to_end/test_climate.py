"""The climate recipe as a newcomer runs it: NetCDF to report on Ray, in any plan, and without Ray."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline import store
from pipeline.checkpoint import Checkpoint
from pipeline.dataset import Truth
from tests.whole_model import forecasts

COMMAND = Path(sys.executable).with_name("chronovox")
RECIPE = Path(__file__).parents[2] / "workflows" / "recipes" / "climate_forecast.yaml"


def chronovox_run(runs, *arguments):
    command = [COMMAND, "run", RECIPE, "--runs", runs, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("climate")
    chronovox_run(folder, "--workers", 2)
    return folder


def only(runs, stage):
    (folder,) = runs.glob(f"climate_forecast/{stage}-*")
    return folder


@pytest.mark.timeout(400)
def test_the_bar(runs):
    """On E1 2000-2099, in K^2; the baselines have known answers, measured without this project."""
    scores = json.loads((only(runs, "scores") / "scores.json").read_text())
    assert scores["persistence.mse"] == pytest.approx(0.8893, abs=5e-5)
    assert scores["training_mean.mse"] == pytest.approx(5.17, abs=5e-3)
    assert scores["best_exponential_average.mse"] == pytest.approx(0.5821, abs=5e-5)
    assert scores["model.mse"] <= 0.60
    assert scores["units"] == "K"
    assert (only(runs, "report") / "report.html").stat().st_size < 10e6


@pytest.mark.timeout(400)
def test_xarray_reads_the_prediction_with_a_right_time_axis(runs):
    prediction = xr.open_zarr(only(runs, "forecast") / "prediction.zarr", consolidated=False)
    assert prediction["time"].values[0].isoformat() == "1861-06-01T00:00:00"
    assert prediction["time"].values[-1].isoformat() == "2100-06-01T00:00:00"
    assert prediction["time"].dt.calendar == "360_day"
    assert dict(prediction.sizes) == {"time": 240, "channel": 1, "depth": 1, "height": 37, "width": 49}
    assert 200 < float(prediction["data"].min()) < float(prediction["data"].max()) < 320


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("chunk", "workers", "executor"), [(7, 3, "ray"), (7, 1, "local"), (240, 1, "local"), (5, 3, "local")]
)
def test_any_plan_gives_the_same_forecast_and_the_float64_reference_agrees(runs, chunk, workers, executor):
    chronovox_run(runs, "--set", f"forecast.chunk={chunk}", "--workers", workers, "--executor", executor)
    folders = {json.loads((f / "manifest.json").read_text())["settings"]["chunk"]: f for f in runs.glob("*/forecast-*")}
    plan, first = (store.read_frames(folders[c] / "prediction.zarr", None, 0, 240) for c in (chunk, 16))
    np.testing.assert_allclose(plan, first, rtol=1e-6)

    truth = Truth(only(runs, "prepared"), "e1")
    loaded = Checkpoint.load(only(runs, "model") / "checkpoint.zarr")
    frames = store.read_frames(only(runs, "prepared") / "prepared.zarr", "e1", 0, 240)
    slow = forecasts(loaded.best, frames[:, :, 0], ("reflect", "reflect"), layers=2)[:, :, None]
    increment = (slow - frames) * truth.scale
    assert np.linalg.norm(plan - (slow * truth.scale + truth.mean)) <= 1e-4 * np.linalg.norm(increment)
