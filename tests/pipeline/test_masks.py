"""Masks: what is added for missing values, and that losses and baselines leave out what they hide."""

import dataclasses
import json

import numpy as np
import pytest
import torch
import xarray as xr

from cluster import LocalExecutor
from pipeline.baselines import ExponentialAverage, Persistence
from pipeline.checkpoint import Checkpoint
from pipeline.dataset import Truth
from pipeline.masks import with_masks
from pipeline.mesh import Alone
from pipeline.network.settings import ModelSettings
from pipeline.normalisation import Normalisation
from pipeline.preprocess import PreprocessSettings, preprocess
from pipeline.splits import Period, Splits
from pipeline.storage import store
from pipeline.train import Training
from pipeline.training.settings import TrainSettings
from pipeline.volume import AXES, InputError
from tests.written import write_volume
from workflows.model_stages import on_a_mesh

SPLITS = Splits(Period("a", last=19), Period("a", 20, 29), Period("a", 30))


def prepare(folder, change=None, *, names=("u", "v"), **settings):
    """Two channels of 40 numbered frames, prepared under masks."""
    draw = np.random.default_rng(0)
    data = draw.standard_normal((40, 2, 1, 4, 5)).astype(np.float32)
    if change is not None:
        change(data)
    volume = xr.Dataset({"data": (AXES, data)}, {"time": np.arange(40), "channel": np.array(names, object)})
    write_volume({None: volume}, folder / "raw.zarr", {None: 7})
    (folder / "prepared").mkdir()
    list(preprocess(PreprocessSettings(SPLITS, missing="mask", **settings), {"a": folder}, folder / "prepared"))
    stored = store.read_frames(folder / "prepared" / "prepared.zarr", "a", 0, 40)
    return data, stored, store.open_volume(folder / "prepared" / "prepared.zarr", "a")


def both(data):
    data[5:9, :, 0, 1, 2] = np.nan


def one(data):
    data[5:9, 1, 0, 1, 2] = np.nan


@pytest.mark.parametrize(("change", "names"), [(both, ["mask"]), (one, ["mask u", "mask v"]), (None, ["mask"])])
def test_masks_are_as_many_as_needed(tmp_path, change, names):
    data, stored, volume = prepare(tmp_path, change)
    assert volume["channel"].values.tolist() == ["u", "v", *names]
    assert volume.attrs["masks"] == len(names)
    valued = np.isfinite(data)
    np.testing.assert_array_equal(stored[:, 2:], valued[:, : len(names)])
    assert (stored[:, :2][~valued] == 0).all()
    assert stored.dtype == np.float32
    np.testing.assert_allclose(Truth(tmp_path / "prepared", "a").frames(0, 40), data, atol=1e-6)


def test_a_frame_without_any_value_is_no_leak(tmp_path):
    def change(data):
        data[[3, 25, 35]] = np.nan

    _, stored, _ = prepare(tmp_path, change)
    assert (stored[[3, 25, 35]] == 0).all()


def test_a_channel_called_as_a_mask(tmp_path):
    with pytest.raises(InputError, match="a channel is called 'mask', as the mask would be"):
        prepare(tmp_path, names=("u", "mask"))


def test_coordinates_of_channels_become_longer():
    coordinates = {"channel": ["u", "v"], "wavelength": ("channel", [488, 561]), "dye": ("channel", ["a", "b"])}
    volume = xr.Dataset({"data": (AXES, np.zeros((1, 2, 1, 1, 1)))}, coordinates)
    found = with_masks(volume, ["mask"])
    assert found["channel"].values.tolist() == ["u", "v", "mask"]
    assert found["dye"].values.tolist() == ["a", "b", ""]
    np.testing.assert_array_equal(found["wavelength"], [488, 561, np.nan])


def test_the_loss_of_a_step_is_the_mean_over_what_has_a_value(tmp_path):
    def change(data):
        data[np.random.default_rng(1).random(data.shape) < 0.3] = np.nan

    _, stored, _ = prepare(tmp_path, change)
    settings = TrainSettings(ModelSettings(channels=3, states=4, layers=1), window=9, burn_in=2, batch=3, threads=1)
    training = Training(settings, tmp_path / "prepared", tmp_path, Alone())
    errors = []
    with torch.no_grad():
        for _, first in training.firsts(0):
            window = torch.from_numpy(stored[first : first + 9])
            error = training.model(window)[0][2:-1] - window[3:, :2]
            errors.append(error[window[3:, 2:] == 1])
    expected = torch.cat(errors).square().mean().item()
    assert training.look()[0] == pytest.approx(expected, rel=1e-5)

    training.validate()
    with torch.no_grad():
        frames = torch.from_numpy(stored[:30])
        error = training.model(frames)[0][19:29] - frames[20:, :2]
    scale = torch.from_numpy(Normalisation.of(training.statistics).scale)
    expected = (error.double() * scale)[frames[20:, 2:] == 1].square().mean().item()
    assert training.best_error == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_workers_that_train_together_count_alike(tmp_path):
    """Each has another share of what has a value; losses and weights are those of one worker to round-off."""

    def change(data):
        data[np.random.default_rng(1).random(data.shape) < 0.3] = np.nan
        data[::3, :, :, 2:] = np.nan

    prepare(tmp_path, change)
    model = ModelSettings(channels=3, states=4, layers=1)
    settings = TrainSettings(model, steps=3, window=9, burn_in=2, batch=2, validate_every=3, threads=1, warm_up=0)
    found = []
    for data, time in ((1, 1), (2, 1), (1, 2)):
        folder = tmp_path / f"{data}x{time}"
        folder.mkdir()
        cut = dataclasses.replace(settings, data_parallel=data, time_parallel=time)
        list(on_a_mesh(cut, {"prepared": tmp_path / "prepared"}, folder, LocalExecutor(silence=60.0)))
        records = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
        weights = Checkpoint.load(folder / "checkpoint.zarr").weights
        found.append(([*(r.get("loss", r.get("validation_mse")) for r in records)], weights["encoder.weight"]))
    for losses, weights in found[1:]:
        np.testing.assert_allclose(losses, found[0][0], rtol=1e-5)
        np.testing.assert_allclose(weights, found[0][1], atol=1e-5)


def test_baselines_remember_what_they_knew():
    nan = np.nan
    frames = [np.array(values).reshape(1, 1, 1, 3) for values in ([1.0, nan, nan], [nan, 4.0, nan], [3.0, nan, nan])]
    persistence, average = Persistence(), ExponentialAverage(0.5)
    for frame in frames:
        persistence.update(frame), average.update(frame)
    np.testing.assert_array_equal(persistence.forecast().ravel(), [3, 4, nan])
    np.testing.assert_array_equal(average.forecast().ravel(), [2, 4, nan])
