"""Scores: baselines against closed forms, weights that sum to one, and a prediction that fits its truth."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from pipeline.baselines import ExponentialAverage, OrExpected, Persistence, TrainingMean
from pipeline.evaluate import EvaluateSettings, evaluate
from pipeline.scores import difference_interval, mean_interval
from pipeline.storage import store
from pipeline.storage.blocks import of_frames
from pipeline.volume import DATA, InputError


def test_baselines():
    mean = TrainingMean(lambda number: frames[number - 2])
    frames = [np.full((1, 1, 1, 1), value) for value in (1.0, 2.0, 4.0)]
    made = {
        "persistence": Persistence(),
        "mean": mean,
        "average": ExponentialAverage(0.5),
    }
    for frame in frames:
        for baseline in made.values():
            baseline.update(frame)
    assert {name: b.forecast().item() for name, b in made.items()} == {"persistence": 4, "mean": 2, "average": 2.75}


def test_what_a_baseline_has_not_met_is_expected():
    persistence = OrExpected(Persistence(), lambda number: np.full((1, 1, 1, 2), 10.0 * number))
    found = []
    for last in ([1.0, np.nan], [2.0, np.nan], [np.nan, 3.0]):
        persistence.update(np.array(last).reshape(1, 1, 1, 2))
        found.append(persistence.forecast().ravel().tolist())
    assert found == [[1, 10], [2, 20], [2, 3]]


def test_scores_are_recomputed_by_hand(finished_run):
    scores = json.loads((finished_run["scores"] / "scores.json").read_text())
    truth = store.read_frames(finished_run["raw_b"] / "raw.zarr", None, 0, 130).astype(np.float64)
    forecast = store.read_frames(finished_run["forecast"] / "prediction.zarr", None, 0, 130).astype(np.float64)
    frames = np.arange(30, 100)
    assert scores["model.mse"] == pytest.approx(np.mean((forecast[frames - 1] - truth[frames]) ** 2), rel=1e-5)
    assert scores["persistence.mse"] == pytest.approx(np.mean((truth[frames - 1] - truth[frames]) ** 2), rel=1e-5)
    assert scores["persistence.mae"] == pytest.approx(np.mean(np.abs(truth[frames - 1] - truth[frames])), rel=1e-5)
    by_time = pd.read_csv(finished_run["scores"] / "scores_by_time.csv", index_col="time")
    assert by_time.index[0] == "2000-02-01 00:00:00"
    assert len(by_time) == 70
    assert by_time["model.mse"].mean() == pytest.approx(scores["model.mse"])
    np.testing.assert_allclose(
        by_time["model.bias"], (forecast[frames - 1] - truth[frames]).mean(axis=(1, 2, 3, 4)), atol=1e-4
    )
    assert scores["intervals"]["all"]["model"] == pytest.approx(asdict(mean_interval(by_time["model.mse"].values)))
    pair = by_time["model.mse"].values, by_time["persistence.mse"].values
    assert scores["differences"]["all"]["persistence"] == pytest.approx(asdict(difference_interval(*pair)))
    assert scores["parts"] == {}, "one channel is the whole"
    spectra = pd.read_csv(finished_run["scores"] / "spectra.csv")
    expected = store.read_frames(finished_run["raw_a"] / "raw.zarr", None, 0, 90).astype(np.float64).mean(axis=0)
    for name, field in (("truth", truth[frames]), ("model", forecast[frames - 1]), ("persistence", truth[frames - 1])):
        assert spectra[name].sum() == pytest.approx(np.mean((field - expected) ** 2), rel=1e-4), "Parseval"
    assert set(spectra["frames"]) == {70}
    assert scores["best_exponential_average.mse"] <= scores["exponential_average.mse"]


def test_a_gap_in_the_prediction_is_no_score(finished_run, tmp_path):
    inputs = {"prepared": finished_run["prepared"], "model": finished_run["model"], "prediction": tmp_path}
    like = store.open_volume(finished_run["forecast"] / "prediction.zarr", chunked=True)
    store.create_volumes({None: like}, tmp_path / "prediction.zarr", {None: of_frames(like[DATA].shape, 10)})
    with pytest.raises(RuntimeError, match="gaps in frame 29, which was never written"):
        list(evaluate(EvaluateSettings(), inputs, tmp_path))


def test_a_prediction_of_another_series(finished_run, tmp_path):
    inputs = {"prepared": finished_run["prepared"], "model": finished_run["model"], "prediction": tmp_path}
    like = store.open_volume(finished_run["forecast"] / "prediction.zarr", chunked=True).assign_attrs(series="a")
    store.create_volumes({None: like}, tmp_path / "prediction.zarr", {None: of_frames(like[DATA].shape, 10)})
    with pytest.raises(
        InputError, match="prediction is of series 'a', the test split of series 'b'; set series to 'b'"
    ):
        list(evaluate(EvaluateSettings(), inputs, tmp_path))
