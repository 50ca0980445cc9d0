"""Several scores side by side, against a plain computation; Student's interval against its table and closed form."""

import itertools
import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest

from pipeline.gather import GatherSettings, gather
from pipeline.scores import student_interval
from pipeline.scores.student import quantile
from pipeline.volume import InputError

DICE = np.random.default_rng(3)
FORECASTS = ("model", "persistence", "exponential_average")
PARTS = ("all", "validation", "region brain")
T = {3: 4.302653, 4: 3.182446}
"""Student's 97.5 % points for so many inputs, as tables have them."""


def write_scores(folder, errors, units="K", **more):
    """A `scores.json` with errors by part and forecast, and other scores beside them."""
    folder.mkdir()
    scores = {f"{name}.mse": value for name, value in errors["all"].items()} | {"model.rmse": 1.0, "units": units}
    scores |= {f"validation.{name}.mse": value for name, value in errors["validation"].items()}
    parts = {part: own for part, own in errors.items() if part.startswith("region")} | more
    scores["parts"] = {
        part: {name: {"mse": value, "mae": 9.0} for name, value in own.items()} for part, own in parts.items()
    }
    (folder / "scores.json").write_text(json.dumps(scores))
    return folder


@pytest.mark.parametrize("count", [3, 4])
def test_means_and_paired_differences(count, tmp_path):
    errors = {part: {name: 1 + DICE.random(count) for name in FORECASTS} for part in PARTS}
    inputs = {}
    for number in range(count):
        own = {part: {name: values[number] for name, values in found.items()} for part, found in errors.items()}
        more = {"level 3": dict.fromkeys(FORECASTS, 1.0)} if number < 2 else {}  # not in all
        inputs[f"fold-{number}"] = write_scores(tmp_path / str(number), own, **more)
    list(gather(GatherSettings(), inputs, tmp_path))
    summary = json.loads((tmp_path / "summary.json").read_text())
    table = pd.read_csv(tmp_path / "summary.csv", index_col=["part", "forecast"])
    assert list(table.index) == list(itertools.product(PARTS, FORECASTS))
    assert summary["inputs"] == list(inputs)
    for part, name in table.index:
        row, own = table.loc[part, name], errors[part][name]
        np.testing.assert_allclose(row[list(inputs)].astype(float), own)
        expected = {"mean": own} | ({"difference": errors[part]["model"] - own} if name != "model" else {})
        for kind, values in expected.items():
            half = T[count] * math.sqrt(np.sum((values - values.mean()) ** 2) / (count - 1) / count)
            ends = [values.mean() - half, values.mean(), values.mean() + half]
            np.testing.assert_allclose([row[f"{kind}_low"], row[kind], row[f"{kind}_high"]], ends, rtol=1e-6, atol=1e-9)
            interval = summary["parts"][part][name][kind]
            np.testing.assert_allclose(
                [interval["low"], interval["mean"], interval["high"]], ends, rtol=1e-6, atol=1e-9
            )
    assert table.loc[("all", "model"), ["difference", "difference_low"]].isna().all()
    page = (tmp_path / "section.html").read_text()
    assert "Region brain" in page
    assert f"{errors['all']['model'].mean():.4f}" in page


def test_what_evaluate_writes_is_read(finished_run, tmp_path):
    """Scores gathered with themselves: their own mean, and no doubt."""
    twice = {name: shutil.copytree(finished_run["scores"], tmp_path / name) for name in ("one", "same")}
    list(gather(GatherSettings(), twice, tmp_path))
    found = json.loads((tmp_path / "summary.json").read_text())
    scores = json.loads((finished_run["scores"] / "scores.json").read_text())
    assert list(found["parts"]) == ["all", "validation"]
    for name, own in found["parts"]["all"].items():
        assert own["mean"] == pytest.approx(
            {"mean": scores[f"{name}.mse"], "low": scores[f"{name}.mse"]} | {"high": scores[f"{name}.mse"], "count": 2}
        )
    assert found["parts"]["all"].keys() > {"model", "persistence", "exponential_average", "best_exponential_average"}
    assert found["parts"]["validation"]["model"]["mse"] == [scores["validation.model.mse"]] * 2
    list(gather(GatherSettings(), {"alone": twice["one"]}, tmp_path))
    alone = json.loads((tmp_path / "summary.json").read_text())["parts"]["all"]["model"]["mean"]
    assert (alone["mean"], alone["low"]) == (scores["model.mse"], None)


def test_what_cannot_be_gathered(tmp_path):
    errors = {part: dict.fromkeys(FORECASTS, 1.0) for part in PARTS}
    kelvin, other = write_scores(tmp_path / "a", errors), write_scores(tmp_path / "b", errors, units="m")
    with pytest.raises(InputError, match="different units: one 'K', two 'm'; gather scores of the same data"):
        list(gather(GatherSettings(), {"one": kelvin, "two": other}, tmp_path))
    labels = write_scores(tmp_path / "c", errors | {"all": {}})
    with pytest.raises(InputError, match="of one, two some have no mean squared error of the model; gather those that"):
        list(gather(GatherSettings(), {"one": kelvin, "two": labels}, tmp_path))


def test_quantiles_of_student():
    for probability in (0.1, 0.5, 0.95, 0.999):
        assert quantile(probability, 1) == pytest.approx(math.tan(math.pi * probability / 2), rel=1e-12)
        assert quantile(probability, 2) == pytest.approx(probability * math.sqrt(2 / (1 - probability**2)), rel=1e-12)
    table = {
        (0.95, 3): 3.182446,
        (0.95, 11): 2.200985,
        (0.9, 6): 1.943180,
        (0.99, 30): 2.749996,
        (0.95, 1000): 1.962339,
    }
    for (probability, freedom), value in table.items():
        assert quantile(probability, freedom) == pytest.approx(value, abs=5e-7)


def test_an_interval_of_what_is_no_number():
    for values in ([], [1.0, math.nan], [math.inf]):
        with pytest.raises(InputError, match="give one or more finite numbers"):
            student_interval(np.array(values, float))
