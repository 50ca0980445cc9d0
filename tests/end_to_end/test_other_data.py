"""The whole recipe without Ray on data unlike the climate recipe's: seconds, frame numbers, integers, gaps, seasons."""

import json
from dataclasses import asdict

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from cluster import LocalExecutor
from pipeline.checkpoint import Checkpoint
from pipeline.dataset import Truth
from pipeline.evaluate import EvaluateSettings, evaluate
from pipeline.infer import InferSettings
from pipeline.regions import Region
from pipeline.scores import difference_interval, mean_interval
from pipeline.scoring import ScoreSettings
from pipeline.storage import store
from pipeline.volume import AXES, InputError
from tests.synthetic import Silent
from tests.written import write_volume
from workflows.language.load import load
from workflows.model_stages import across_span, across_time
from workflows.run import run

RECIPE = """\
name: other
stages:
{raw}
  prepared:
    stage: preprocess
    inputs: {inputs}
{prepared}
  model:
    stage: train
    inputs: {{prepared: prepared}}
    model: {{channels: 4, states: 4, layers: 1}}
    steps: {steps}
    window: 8
    burn_in: 2
    batch: 2
    learning_rate: 0.003
    warm_up: 0
    validate_every: 2
    threads: 1
  forecast: {{stage: infer, inputs: {{prepared: prepared, model: model}}, series: {series}, chunk: 5}}
  scores: {{stage: evaluate, inputs: {{prediction: forecast, prepared: prepared, model: model}}}}
  report: {{stage: report, inputs: {{scores: scores, prediction: forecast, prepared: prepared, model: model}}}}
"""


def run_recipe(folder, raw, prepared, *, series, steps=3):
    """Runs a recipe over sources by the names of their series; the folders of its stages, and its scores."""
    lines = "\n".join(f"  raw_{name}: {{stage: ingest, source: {source}}}" for name, source in raw.items())
    inputs = "{" + ", ".join(f"{name}: raw_{name}" for name in raw) + "}"
    recipe = folder / "other.yaml"
    recipe.write_text(RECIPE.format(raw=lines, inputs=inputs, prepared=prepared, series=series, steps=steps))
    folders = run(load(recipe), folder / "runs", LocalExecutor(2), Silent())
    scores = json.loads((folders["scores"] / "scores.json").read_text())
    assert all(np.isfinite(value) for value in scores.values() if isinstance(value, float))
    assert (folders["report"] / "section.html").stat().st_size > 10_000
    return folders, scores


def fading(frames, seed, *shape):
    draw, field, found = np.random.default_rng(seed), np.zeros(shape), []
    for _ in range(frames):
        field = 0.7 * field + draw.standard_normal(shape)
        found.append(field)
    return np.stack(found)


@pytest.mark.slow
def test_runs_of_fmri_learned_from_but_one(tmp_path):
    """Leave one run out: int16, seconds, three axes of space, the runs series of their own."""
    level = 300 + 40 * np.random.default_rng(9).standard_normal((4, 5, 6))
    values = {
        number: np.round(level + 10 * fading(20 + number, number, 4, 5, 6)).astype(np.int16) for number in (1, 2, 3)
    }
    for number, frames in values.items():
        image = nibabel.Nifti1Image(frames.transpose(3, 2, 1, 0), np.diag([3.0, 3.0, 3.5, 1.0]))
        image.header["pixdim"][4] = 2.5
        image.header.set_xyzt_units("mm", "sec")
        image.to_filename(tmp_path / f"run{number}.nii.gz")
    splits = """\
    splits:
      train: [{series: run1}, {series: run2, last: 40}]
      validation: {series: run2, first: 42.5}
      test: [{series: run3, first: 10, last: 25}, {series: run3, first: 40.0}]
"""
    raw = {f"run{number}": f"run{number}.nii.gz" for number in values}
    folders, scores = run_recipe(tmp_path, raw, splits, series="run3")
    truth = Truth(folders["prepared"], "run3")
    np.testing.assert_allclose(truth.frames(0, 23)[:, 0], values[3], atol=1e-3)
    tested = [*range(4, 11), *range(16, 23)]
    assert scores["persistence.mse"] == pytest.approx(
        np.mean((values[3][tested].astype(float) - values[3][np.array(tested) - 1]) ** 2), rel=1e-5
    )
    by_time = pd.read_csv(folders["scores"] / "scores_by_time.csv", index_col="time")
    assert by_time.index.tolist() == [2.5 * frame for frame in tested]
    prediction = store.open_volume(folders["forecast"] / "prediction.zarr")
    assert prediction["time"].values.tolist() == [2.5 * frame for frame in range(1, 24)]
    assert prediction["time"].attrs["units"] == "s"
    np.testing.assert_array_equal(prediction["z"], truth.volume["z"])
    learned = Checkpoint.load(folders["model"] / "checkpoint.zarr").learned_from["periods"]
    assert learned == [
        {"series": "run1", "first": "0", "last": "50", "frames": 21},
        {"series": "run2", "first": "0", "last": "40", "frames": 17},
    ]
    assert "run1, 0 to 50, 21 frames; run2, 0 to 40, 17 frames" in (folders["report"] / "section.html").read_text()
    with pytest.raises(InputError, match="anomalies by month of a series without dates"):
        run_recipe(tmp_path, raw, splits + "    anomalies: month\n", series="run3")


@pytest.mark.slow
def test_numbered_frames_of_bytes_in_two_series(tmp_path):
    """Tested on both series: the prediction and the scores are of each."""
    for name in "ab":
        colours = np.clip(128 + 30 * fading(30, ord(name), 3, 1, 6, 7), 0, 255).astype(np.uint8)
        np.save(tmp_path / f"{name}.npy", colours)
    splits = """\
    splits:
      train: {series: a, last: 15}
      validation: {series: a, first: 16, last: 19}
      test: [{series: a, first: 20}, {series: b, first: 5, last: 9}]
    normalise: {mean: channel, scale: voxel}
"""
    folders, scores = run_recipe(tmp_path, {"a": "a.npy", "b": "b.npy"}, splits, series="[a, b]")
    table = pd.read_csv(folders["scores"] / "scores_by_time.csv")
    assert table["series"].tolist() == ["a"] * 10 + ["b"] * 5
    assert table["time"].tolist() == [*range(20, 30), *range(5, 10)]
    assert scores["model.mse"] == pytest.approx(table["model.mse"].mean())
    prediction = store.open_volume(folders["forecast"] / "prediction.zarr", "b")
    assert prediction["time"].values.tolist() == list(range(1, 31))
    again = list(
        across_span(
            load(tmp_path / "other.yaml").stages["forecast"].settings,
            {"prepared": folders["prepared"], "model": folders["model"]},
            folders["forecast"],
            LocalExecutor(),
            "7",
            "8",
        )
    )
    assert "frames 5 to 9 of 30 of series b" in again[0].line


@pytest.fixture(scope="module")
def ocean(tmp_path_factory):
    """Monthly, two channels of other seasons; land without values, and clouds that move."""
    folder = tmp_path_factory.mktemp("ocean")
    times = xr.date_range("2000-01-01", periods=60, freq="MS", calendar="standard", use_cftime=True)
    year = 10 * np.cos(2 * np.pi * np.arange(60) / 12)[:, None, None]
    sea = {name: year * sign + fading(60, seed, 7, 8) for name, sign, seed in (("u", 1, 1), ("v", -1, 2))}
    clouds = np.random.default_rng(5).random((60, 7, 8)) < 0.1
    for values in sea.values():
        values[:, 0, :3] = np.nan
        values[clouds] = np.nan
    data = {name: (("time", "lat", "lon"), values.astype(np.float64), {"units": "m/s"}) for name, values in sea.items()}
    lat = ("lat", np.linspace(-30, 30, 7), {"units": "degrees_north"})
    lon = ("lon", np.linspace(10, 80, 8), {"units": "degrees_east"})
    xr.Dataset(data, {"time": times, "lat": lat, "lon": lon}).to_netcdf(folder / "ocean.nc")
    splits = """\
    splits:
      train: [{series: s, last: 2002}]
      validation: {series: s, first: 2003, last: 2003}
      test: {series: s, first: 2004}
    anomalies: month
    missing: mask
"""
    source = "ocean.nc, variable: [u, v]"
    folders, scores = run_recipe(folder, {"s": source}, splits, series="s", steps=8)
    return np.stack([sea["u"], sea["v"]], 1)[:, :, None], folders, scores


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_masked_months(ocean):
    values, folders, scores = ocean
    months = np.arange(60) % 12
    met = np.stack([np.isfinite(values[:36][months[:36] == month]).any(axis=0) for month in range(12)])
    values = np.where(met[months], values, np.nan)  # what training never met in that month counts as missing
    assert 0 < (~met).sum() - 12 * 2 * 3 < 10
    stored = store.read_frames(folders["prepared"] / "prepared.zarr", "s", 0, 60)
    volume = store.open_volume(folders["prepared"] / "prepared.zarr", "s")
    assert volume["channel"].values.tolist() == ["u", "v", "mask"]
    np.testing.assert_array_equal(stored[:, 2] == 1, np.isfinite(values[:, 0]))
    assert (stored[:, :2][np.isnan(values)] == 0).all()
    truth = Truth(folders["prepared"], "s")
    np.testing.assert_allclose(truth.frames(0, 60), values, atol=1e-5)

    climatology = np.stack([np.nanmean(values[:36][months[:36] == month], axis=0) for month in range(12)])
    errors = values[48:] - climatology[months[48:]]
    frames = np.array([np.nanmean(error**2) for error in errors])
    assert scores["climatology.mse"] == pytest.approx(frames.mean(), rel=1e-5)
    errors = values[48:] - np.nanmean(values[:36], axis=0)
    frames = [np.nanmean(error**2) for error in errors]
    assert scores["training_mean.mse"] == pytest.approx(np.mean(frames), rel=1e-5)
    errors = values[48:] - climatology[months[48:]]
    weights = np.broadcast_to(np.cos(np.deg2rad(np.linspace(-30, 30, 7)))[:, None], errors[0].shape)
    weighted = [np.sum((weights * e**2)[np.isfinite(e)]) / np.sum(weights[np.isfinite(e)]) for e in errors]
    assert scores["climatology.mse_latitude_weighted"] == pytest.approx(np.mean(weighted), rel=1e-5)
    assert scores["model.mse"] < scores["persistence.mse"]  # which knows no seasons
    page = (folders["report"] / "section.html").read_text()
    assert "mean of the training frames of the same month" in page
    assert ["<h2>Channels</h2>" in page, "<h2>Levels</h2>" in page, "<h2>Regions</h2>" in page] == [True, False, False]


def test_the_forecast_is_of_the_month_that_it_is_for(ocean):
    """Each forecast plus the climatology of its own month, the month beyond the series among them; in any plan."""
    _, folders, _ = ocean
    prediction = store.open_volume(folders["forecast"] / "prediction.zarr")
    assert prediction["channel"].values.tolist() == ["u", "v"]
    assert prediction["phase_of_year"].values.tolist() == [*range(1, 12), *[month % 12 for month in range(49)]]
    assert prediction["time"].values[-1].isoformat() == "2005-01-01T00:00:00"
    frames = torch.from_numpy(store.read_frames(folders["prepared"] / "prepared.zarr", "s", 0, 60))
    model = Checkpoint.load(folders["model"] / "checkpoint.zarr").best_model()
    normal = model(frames)[0].numpy()
    units = Truth(folders["prepared"], "s").normalisation
    expected = normal.astype(np.float64) * units.scale + units.cycle[(np.arange(60) + 1) % 12]  # NaN where never met
    stored = store.read_frames(folders["forecast"] / "prediction.zarr", None, 0, 60)
    np.testing.assert_allclose(stored, expected, atol=1e-5)
    assert np.isnan(stored[:, :, 0, 0, :3]).all()  # land
    assert np.isfinite(stored).mean() > 0.9


def test_what_lies_under_a_mask_changes_nothing(ocean):
    """Losses and forecasts are blind to the numbers where the mask is zero, whatever they are."""
    _, folders, _ = ocean
    frames = torch.from_numpy(store.read_frames(folders["prepared"] / "prepared.zarr", "s", 0, 20))
    model = Checkpoint.load(folders["model"] / "checkpoint.zarr").best_model()
    valued = frames[:, 2:].bool().expand(-1, 2, -1, -1, -1)
    errors = model.errors(model(frames)[0][:-1], frames[1:])
    assert (errors[~valued[1:]] == 0).all()
    assert (errors[valued[1:]] != 0).float().mean() > 0.99
    assert model.valued(frames) == int(valued.sum())
    changed = frames.clone()
    changed[:, :2][~valued] = 7.0
    flat, other = (f.squeeze(2) for f in (frames, changed))
    torch.testing.assert_close(model.read(flat, flat[0]), model.read(other, other[0]), rtol=0, atol=0)


def test_a_model_without_masks_reads_no_masked_series(ocean, finished_run, tmp_path):
    _, folders, _ = ocean
    inputs = {"prepared": folders["prepared"], "model": finished_run["model"]}
    with pytest.raises(InputError, match="prepared with 2 channels and 1 masks, the model reads 1 and 0"):
        list(across_time(InferSettings("s"), inputs, tmp_path, LocalExecutor()))


def test_a_model_that_learned_no_anomalies_reads_none(finished_run, tmp_path):
    volume = store.open_volume(finished_run["prepared"] / "prepared.zarr", "b", chunked=True).isel(time=slice(9))
    seasons = ("time", np.zeros(9, int), {"kind": "season", "names": ["DJF"]})
    write_volume({"b": volume.assign_coords(phase_of_year=seasons)}, tmp_path / "prepared.zarr", {"b": 9})
    inputs = {"prepared": tmp_path, "model": finished_run["model"]}
    with pytest.raises(InputError, match="as anomalies from 1 phases of the year, the model learned from .* from 0"):
        list(across_time(InferSettings("b"), inputs, tmp_path, LocalExecutor()))


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_parts_of_masked_months(ocean, tmp_path):
    """Channels, regions and a mask against what was stored; intervals are those of the frames' errors."""
    _, folders, scores = ocean
    mask = np.zeros((1, 1, 1, 7, 8), np.float32)
    mask[..., 2:5] = 1
    stored = xr.Dataset({"data": (AXES, mask)}, {"channel": np.array(["mask"], object)})
    write_volume({None: stored}, tmp_path / "raw.zarr", {None: 1})
    inputs = {"prediction": folders["forecast"], "prepared": folders["prepared"], "model": folders["model"]}
    regions = {"north": Region(latitude=(5.0, 90.0)), "west": Region(longitude=(0.0, 45.0), height=(1, 7))}
    settings = EvaluateSettings(score=ScoreSettings(regions), confidence=0.9)
    list(evaluate(settings, inputs | {"middle": tmp_path}, tmp_path))
    found = json.loads((tmp_path / "scores.json").read_text())
    whole, before = ({key: one[key] for key in one if "." in key} for one in (found, scores))
    assert whole == before
    truth = Truth(folders["prepared"], "s")
    frames = truth.frames(48, 60)
    forecasts = {
        "model": store.read_frames(folders["forecast"] / "prediction.zarr", None, 47, 59).astype(float),
        "climatology": np.stack([truth.expected(frame) for frame in range(48, 60)]),
    }
    cuts = {
        "channel u": np.s_[:, :1],
        "channel v": np.s_[:, 1:],
        "region north": np.s_[..., 4:, :],
        "region west": np.s_[..., 1:, :4],
        "region middle": np.s_[..., 2:5],
    }
    assert list(found["parts"]) == list(cuts)
    for part, cut in cuts.items():
        errors = {name: np.nanmean((one[cut] - frames[cut]) ** 2, axis=(1, 2, 3, 4)) for name, one in forecasts.items()}
        for name, own in errors.items():
            assert found["parts"][part][name]["mse"] == pytest.approx(own.mean(), rel=1e-9)
            expected = asdict(mean_interval(own, confidence=0.9))
            assert found["intervals"][part][name] == pytest.approx(expected, rel=1e-6)
        expected = asdict(difference_interval(errors["model"], errors["climatology"], confidence=0.9))
        assert found["differences"][part]["climatology"] == pytest.approx(expected, rel=1e-6)
    assert found["intervals"]["all"]["model"]["mean"] == pytest.approx(found["model.mse"], rel=1e-12)
    assert "climatology.acc" not in found, "what has no anomaly has no correlation"
    assert (tmp_path / "spectra.csv").read_text() == "channel,frames,wavenumber,truth,model,persistence\n", "land"
    assert "Every test frame lacks a value" in (folders["report"] / "section.html").read_text()
