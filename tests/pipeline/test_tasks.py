"""Models that make other channels than they read, look both ways, begin anew with each run, and know uneven times:
trained, and applied shard by shard."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.ndimage
import torch
import xarray as xr

from cluster import LocalExecutor
from pipeline.baselines import ExponentialAverage
from pipeline.checkpoint import Checkpoint
from pipeline.dataset import Truth, within_runs
from pipeline.elapsed import elapsed
from pipeline.evaluate import EvaluateSettings, evaluate
from pipeline.evaluation.gaussian import GaussianWidths
from pipeline.hindcast import hindcast
from pipeline.infer import InferSettings
from pipeline.model import Behind
from pipeline.network.settings import ModelSettings
from pipeline.normalisation import Normalisation
from pipeline.preprocess import Normalise, PreprocessSettings, preprocess
from pipeline.report import ReportSettings, report
from pipeline.reshape import Reshape
from pipeline.roles import Roles
from pipeline.scoring import ScoreSettings
from pipeline.splits import Period, Span, Splits
from pipeline.storage import store
from pipeline.train import train
from pipeline.training.settings import TrainSettings
from pipeline.volume import AXES, InputError
from tests.written import write_volume
from workflows.model_stages import across_time

FRAMES, RUNS = 60, (0, 17, 35)
SMALL = TrainSettings(steps=3, window=10, burn_in=2, warm_up=0, validate_every=3, checkpoint_every=2, threads=1)

TASKS = {
    "denoise": ModelSettings(
        "denoise", targets=("clean",), inputs=("noisy",), channels=3, states=4, layers=1, patch=2, norm=True
    ),
    "both ways": ModelSettings("denoise", True, ("clean",), ("noisy",), channels=3, states=4, layers=2, uneven=True),
    "map": ModelSettings("map", targets=("label", "clean"), channels=3, states=4, layers=1, uneven=True),
    "labels": ModelSettings("map", True, ("label",), classes=3, channels=3, states=4, layers=1, gate_taps=3),
    "forecast": ModelSettings(channels=4, states=4, layers=1, uneven=True),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Three runs with gaps in time, of a noisy field, the field, and labels of it; joined in one series."""
    folder = tmp_path_factory.mktemp("tasks")
    draw = np.random.default_rng(3)
    clean = np.cumsum(draw.standard_normal((FRAMES, 1, 1, 4, 6)), 0)
    noisy, label = clean + draw.standard_normal(clean.shape), np.digitize(clean, [-1, 1])
    data = np.concatenate([noisy, clean, label], 1).astype(np.float32)
    runs = np.repeat(range(len(RUNS)), np.diff([*RUNS, FRAMES]))
    times = np.cumsum(draw.choice([1.0, 1.0, 1.0, 2.5], FRAMES))
    coordinates = {
        "time": ("time", times, {"units": "s"}),
        "run": ("time", runs),
        "channel": ("channel", np.array(["noisy", "clean", "label"], object)),
    }
    write_volume({None: xr.Dataset({"data": (AXES, data)}, coordinates)}, folder / "raw" / "raw.zarr", {None: 16})
    splits = Splits(*(Period("a", *times[[first, last]]) for first, last in ((0, 39), (40, 49), (50, 59))))
    settings = PreprocessSettings(splits, Normalise("channel", "channel"), reshape=Reshape(runs="joined"))
    list(preprocess(settings, {"a": folder / "raw"}, folder / "prepared"))
    return folder / "prepared"


@pytest.fixture(scope="module", params=TASKS)
def trained(request, prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "whole").mkdir()
    settings = dataclasses.replace(SMALL, model=TASKS[request.param])
    list(train(settings, {"prepared": prepared}, folder / "whole"))
    return settings, folder


def series_of(prepared):
    volume = store.open_volume(prepared / "prepared.zarr", "a")
    return volume, torch.from_numpy(store.read_frames(prepared / "prepared.zarr", "a", 0, FRAMES))


def at_once(loaded, prepared):
    """What the best model makes of the whole series, run by run, in the data's units."""
    model, (volume, frames) = loaded.best_model(), series_of(prepared)
    roles, steps = Roles.of_model(volume, loaded.channels), elapsed(volume, model.unit)
    made = []
    for start, stop in zip(RUNS, (*RUNS[1:], FRAMES), strict=True):
        own = torch.from_numpy(steps[start:stop]).where(torch.arange(stop - start) > 0, torch.tensor(1.0))
        behind = Behind(steps=[torch.cat([own[1:], torch.ones(1)])])
        made.append(model(roles.inputs(frames[start:stop]), steps=own, behind=behind)[0])
    made = torch.cat(made)
    if model.settings.classes:
        return made.argmax(1, keepdim=True).double().numpy()
    statistics = Normalisation.of(loaded.statistics)
    known = [loaded.channels["known"].index(name) for name in roles.makes] if loaded.channels else [0, 1, 2]
    return statistics.of_channels(known).to_units(made.numpy())


@pytest.mark.parametrize(("workers", "chunk", "chunks_per_shard"), [(1, 60, 1), (2, 7, 2)])
def test_shards_are_the_whole_series_run_by_run(trained, prepared, tmp_path, workers, chunk, chunks_per_shard):
    settings, folder = trained
    loaded = Checkpoint.load(folder / "whole" / "checkpoint.zarr")
    expected = at_once(loaded, prepared)
    asked = InferSettings("a", chunk=chunk, chunks_per_shard=chunks_per_shard)
    list(across_time(asked, {"prepared": prepared, "model": folder / "whole"}, tmp_path, LocalExecutor(workers)))
    found = store.open_volume(tmp_path / "prediction.zarr")
    assert list(found["channel"].values) == list(settings.model.targets or ("noisy", "clean", "label"))
    if settings.model.classes:
        assert (found["data"].values != expected).mean() < 0.01  # voxels between two classes
    else:
        np.testing.assert_allclose(found["data"].values, expected, rtol=0, atol=2e-5)
    times = series_of(prepared)[0]["time"].values
    lead = settings.model.lead
    np.testing.assert_array_equal(found["time"].values[: FRAMES - lead], times[lead:])


def test_stopped_and_continued_it_is_the_same_to_the_bit(trained, prepared, tmp_path):
    settings, folder = trained
    running = train(settings, {"prepared": prepared}, tmp_path)
    for progress in running:
        if progress.done == 2:
            break
    running.close()
    list(train(settings, {"prepared": prepared}, tmp_path))
    one, other = (Checkpoint.load(path / "checkpoint.zarr") for path in (folder / "whole", tmp_path))
    assert all(np.array_equal(array, other.weights[name]) for name, array in one.weights.items())
    assert (tmp_path / "history.jsonl").read_text() == (folder / "whole" / "history.jsonl").read_text()


def test_windows_stay_within_runs(prepared, tmp_path):
    """All frames of the longest run fit a window, one more does not."""
    model = TASKS["denoise"]
    list(train(dataclasses.replace(SMALL, model=model, window=18, steps=1), {"prepared": prepared}, tmp_path))
    with pytest.raises(InputError, match="18 frames of its split .of its longest period or run"):
        list(train(dataclasses.replace(SMALL, model=model, window=19, steps=1), {"prepared": prepared}, tmp_path))


def test_validation_is_of_the_targets(prepared, tmp_path):
    """Frames 40 to 49 lie in the last run; their error by hand."""
    settings = dataclasses.replace(SMALL, model=TASKS["denoise"])
    list(train(settings, {"prepared": prepared}, tmp_path))
    loaded, clean = Checkpoint.load(tmp_path / "checkpoint.zarr"), 1
    target = series_of(prepared)[1][40:50, [clean]].numpy()
    target = Normalisation.of(loaded.statistics).of_channels([clean]).to_units(target)
    told = json.loads((tmp_path / "history.jsonl").read_text().splitlines()[-1])["validation_mse"]
    assert told == pytest.approx(((at_once(loaded, prepared)[40:50] - target) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (ModelSettings("map", targets=("depth",)), "as targets not all"),
        (ModelSettings("denoise", targets=("clean", "label")), "wants one for each"),
        (ModelSettings("map", targets=("label",), classes=2, channels=3, layers=1), "set classes to 3"),
    ],
)
def test_channels_that_do_not_fit_are_refused(model, told, prepared, tmp_path):
    with pytest.raises(InputError, match=told):
        list(train(dataclasses.replace(SMALL, model=model), {"prepared": prepared}, tmp_path))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": TASKS["denoise"], "horizon": 2}, "no later frames to make"),
        ({"model": TASKS["both ways"], "recompute": 4}, "read both ways"),
    ],
)
def test_training_that_does_not_fit_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        dataclasses.replace(SMALL, **change)


def test_what_was_restored_is_scored_beside_the_input_and_gaussian_filters(prepared, tmp_path):
    """Errors on the test frames by hand, and the filter by scipy on the whole run that they lie in."""
    model, output = tmp_path / "model", tmp_path / "scores"
    output.mkdir()
    list(train(dataclasses.replace(SMALL, model=TASKS["denoise"]), {"prepared": prepared}, model))
    inputs = {"prepared": prepared, "model": model}
    list(across_time(InferSettings("a", chunk=9), inputs, tmp_path, LocalExecutor(1)))
    settings = EvaluateSettings(gaussian=GaussianWidths((0.0, 0.7), (0.0, 1.5)))
    list(evaluate(settings, {**inputs, "prediction": tmp_path}, output))
    scores = json.loads((output / "scores.json").read_text())

    loaded, frames = Checkpoint.load(model / "checkpoint.zarr"), series_of(prepared)[1].numpy()
    noisy, clean, _ = np.moveaxis(Normalisation.of(loaded.statistics).to_units(frames), 1, 0)
    run, test, validation = slice(35, 60), slice(50, 60), slice(40, 50)
    smooth = {
        (space, time): scipy.ndimage.gaussian_filter(noisy[run], (time, space, space, space))
        for space in (0.0, 0.7)
        for time in (0.0, 1.5)
    }

    def errors(when):
        own = slice(when.start - run.start, when.stop - run.start)
        return {width: ((field[own] - clean[when]) ** 2).mean() for width, field in smooth.items()}

    chosen, best = min(errors(validation), key=errors(validation).get), min(errors(test), key=errors(test).get)
    assert scores["input.mse"] == pytest.approx(((noisy - clean)[test] ** 2).mean())
    assert scores["gaussian.widths"]["clean"] == list(chosen)
    assert scores["gaussian.mse"] == pytest.approx(errors(test)[chosen])
    assert scores["best_gaussian.mse"] == pytest.approx(errors(test)[best])
    assert scores["validation.gaussian.mse"] == pytest.approx(errors(validation)[chosen])
    assert scores["validation.input.mse"] == pytest.approx(((noisy - clean)[validation] ** 2).mean())
    made = store.open_volume(tmp_path / "prediction.zarr")["data"].values[test, 0]
    assert scores["model.mse"] == pytest.approx(((made - clean[test]) ** 2).mean())
    list(report(ReportSettings(), {**inputs, "scores": output, "prediction": tmp_path}, output))
    page = (output / "section.html").read_text()
    assert "what was read, with its noise" in page
    assert "Gaussian filter of it, widths best in hindsight" in page


def test_scores_that_do_not_fit_are_refused(prepared, tmp_path):
    for name, settings, told in (
        ("map", EvaluateSettings(gaussian=GaussianWidths()), "leave gaussian out"),
        ("labels", EvaluateSettings(score=ScoreSettings(peak=2.0)), "labels, which have no PSNR"),
    ):
        model, made = tmp_path / name, tmp_path / f"{name}-made"
        list(train(dataclasses.replace(SMALL, model=TASKS[name], steps=1), {"prepared": prepared}, model))
        inputs = {"prepared": prepared, "model": model}
        list(across_time(InferSettings("a", chunk=60), inputs, made, LocalExecutor(1)))
        with pytest.raises(InputError, match=told):
            list(evaluate(settings, {**inputs, "prediction": made}, tmp_path))


def test_forecasts_begin_anew_with_each_run_in_scores_too(prepared):
    """Baselines know nothing of the run before; the first frame of a run is not scored."""
    spans = {"test": [Span("a", 10, 40)], "validation": [Span("a", 41, 50)], "train": [Span("a", 0, 10)]}
    splits = within_runs(prepared, spans)
    assert splits["test"] == [Span("a", 10, 17, 0), Span("a", 17, 35, 17), Span("a", 35, 40, 35)]
    truth = Truth(prepared, "a")
    found = hindcast(truth, splits["test"], lambda first: {"average": ExponentialAverage(0.5), "own": Counted(first)})
    numbers, data = [], truth.frames(0, FRAMES)
    for number, frame, forecasts in found:
        numbers.append(number)
        np.testing.assert_array_equal(frame, data[number])
        begun = max(start for start in RUNS if start <= number)
        average = data[begun]
        for earlier in data[begun + 1 : number]:
            average = average + 0.5 * (earlier - average)
        np.testing.assert_allclose(forecasts["average"], average)
        assert forecasts["own"].item() == number
    assert numbers == [t for t in range(10, 40) if t not in RUNS]


class Counted:
    """Forecasts the number of the next frame."""

    def __init__(self, first):
        self.number = first

    def update(self, _):
        self.number += 1

    def forecast(self):
        return np.full((1, 1, 1, 1), float(self.number))
