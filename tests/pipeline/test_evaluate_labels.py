"""Scores of labels: against counts by hand, without the voxels that have no truth, and through all stages."""

import json
import re
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cluster import LocalExecutor
from pipeline.dataset import Truth
from pipeline.evaluate import EvaluateSettings, evaluate
from pipeline.evaluation.labels import error_rate, label_scores, labels_of, most_frequent, scores_of
from pipeline.infer import InferSettings
from pipeline.label_figures import colours_of
from pipeline.network.settings import ModelSettings
from pipeline.preprocess import Normalise, PreprocessSettings, preprocess
from pipeline.regions import Region
from pipeline.report import ReportSettings, report
from pipeline.scores import confusion, difference_interval, mean_interval, with_mean_dice
from pipeline.scoring import Place, ScoreSettings
from pipeline.splits import Period, Span, Splits
from pipeline.storage import arrays, store
from pipeline.train import train
from pipeline.training.settings import TrainSettings
from pipeline.volume import AXES, InputError
from tests.written import write_volume
from workflows.model_stages import across_time


def image(*labels):
    return np.array(labels, np.float64).reshape(1, 1, 1, -1)


def test_scores_by_hand():
    """Label 3 is made and never true: it has a Dice of 0, and no part in the mean."""
    one = label_scores(image(0, 1, 1, 2, 3), image(0, 1, 2, 2, 0), 5)
    found = one.pooled()
    assert found["error_rate"] == pytest.approx(2 / 5, rel=1e-15)
    assert found["accuracy"] == pytest.approx(3 / 5, rel=1e-15)
    dice, recall = ([found[f"{name}_{label}"] for label in range(5)] for name in ("dice", "recall"))
    np.testing.assert_allclose(dice, [2 / 3, 2 / 3, 2 / 3, 0, np.nan], rtol=1e-15)
    np.testing.assert_allclose(recall, [1 / 2, 1, 1 / 2, np.nan, np.nan], rtol=1e-15)
    assert with_mean_dice(found)["mean_dice"] == pytest.approx(2 / 3, rel=1e-15)
    both = (one + label_scores(image(4), image(4), 5)).pooled()
    assert both["error_rate"] == pytest.approx(1 / 5, rel=1e-15), "frames count alike, however many voxels they have"
    assert with_mean_dice(both)["mean_dice"] == pytest.approx((3 * 2 / 3 + 1) / 4, rel=1e-15)
    counts = confusion(image(0, 1, 1, 2, 3), image(0, 1, 2, 2, 0), 5)
    expected = np.zeros((5, 5), int)
    for true, made in ((0, 0), (0, 3), (1, 1), (2, 1), (2, 2)):
        expected[true, made] = 1
    np.testing.assert_array_equal(counts, expected)


def test_voxels_without_truth_do_not_count():
    made, truth = image(0, 1, 2, 2, 1), image(0, 0, np.nan, 2, np.nan)
    cut = image(0, 1, 2), image(0, 0, 2)
    assert label_scores(made, truth, 3).pooled() == pytest.approx(label_scores(*cut, 3).pooled(), nan_ok=True)
    np.testing.assert_array_equal(confusion(made, truth, 3), confusion(*cut, 3))
    inside = {"region right": Place(inside=np.array([[[False, False, True, True, True]]]))}
    assert scores_of(made, truth, inside, 3).means()["region right"]["error_rate"] == 0
    nothing = label_scores(made, np.full_like(truth, np.nan), 3).pooled()
    assert np.isnan(list(nothing.values())).all()
    assert np.isnan(with_mean_dice(nothing)["mean_dice"])
    assert np.isnan(error_rate(made, np.full_like(truth, np.nan)))


def test_most_frequent_labels():
    """Equally frequent are 0 and 1 in the second voxel; the third has no label, and 2 is the most frequent of all."""
    spans = [iter([image(2, 1, np.nan), image(2, 0, np.nan)]), iter([image(1, np.nan, np.nan), image(2, 0, np.nan)])]
    found = most_frequent(spans, 3)
    assert found["training_mode"].ravel().tolist() == [2, 0, 2]
    assert found["commonest"].ravel().tolist() == [2, 2, 2]
    found = most_frequent([iter([image(2, 1), image(0, 1), image(2, 0)])], 3)
    assert found["training_mode"].ravel().tolist() == [2, 1]
    assert found["commonest"].ravel().tolist() == [0, 0], "two of each; the least"


def test_every_label_has_a_colour():
    for classes in (2, 10, 11, 40):
        colours = colours_of(classes)(np.arange(classes))
        assert len({tuple(colour) for colour in colours}) == classes


FRAMES, TRAIN, VALIDATION, TEST = 60, slice(0, 36), slice(36, 46), slice(46, 60)
CLASSES = 3


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A field, and labels of it of which some voxels have none in some frames, the last test frame none at all; and
    what a model of three steps makes of it. The labels, and the stages' folders."""
    folder, draw = tmp_path_factory.mktemp("labelled"), np.random.default_rng(5)
    field = draw.standard_normal((FRAMES, 1, 2, 6, 8)) + np.linspace(-2, 2, 8)
    labels = np.digitize(field, [-1, 1]).astype(np.float64)
    labels[draw.random(labels.shape) < 0.2] = np.nan
    labels[FRAMES - 1] = np.nan
    coordinates = {"time": np.arange(FRAMES), "channel": ("channel", np.array(["field", "label"], object))}
    data = np.concatenate([field, labels], 1).astype(np.float32)
    write_volume({None: xr.Dataset({"data": (AXES, data)}, coordinates)}, folder / "raw" / "raw.zarr", {None: 16})
    splits = Splits(*(Period("a", own.start, own.stop - 1) for own in (TRAIN, VALIDATION, TEST)))
    settings = PreprocessSettings(splits, Normalise("channel", "channel"), missing="mask")
    inputs = {name: folder / name for name in ("prepared", "model", "prediction")}
    list(preprocess(settings, {"a": folder / "raw"}, inputs["prepared"]))
    model = ModelSettings("map", targets=("label",), classes=CLASSES, channels=3, states=4, layers=1)
    steps = TrainSettings(model=model, steps=3, window=10, burn_in=2, warm_up=0, validate_every=3, threads=1)
    list(train(steps, {"prepared": inputs["prepared"]}, inputs["model"]))
    learned = {name: inputs[name] for name in ("prepared", "model")}
    list(across_time(InferSettings("a", chunk=16), learned, inputs["prediction"], LocalExecutor(1)))
    return labels, inputs


def test_labels_are_scored_through_all_stages(labelled, tmp_path):
    truth, inputs = labelled
    settings = EvaluateSettings(score=ScoreSettings({"left": Region(width=(0, 3))}, levels=True))
    list(evaluate(settings, inputs, tmp_path))
    scores = json.loads((tmp_path / "scores.json").read_text())

    made = store.read_frames(inputs["prediction"] / "prediction.zarr", None, 0, FRAMES).astype(np.float64)
    counts = np.stack([(truth[TRAIN] == label).sum(0) for label in range(CLASSES)])
    forecasts = {
        "model": made,
        "training_mode": np.broadcast_to(counts.argmax(0), truth.shape),
        "commonest": np.full_like(truth, counts.sum((1, 2, 3, 4)).argmax()),
    }

    def rates(name, when, part=np.s_[:]):
        own = [(forecasts[name][t][part], truth[t][part]) for t in range(when.start, when.stop)]
        known = [(one[~np.isnan(true)], true[~np.isnan(true)]) for one, true in own]
        return np.array([np.mean(one != true) if true.size else np.nan for one, true in known])

    for name, own in forecasts.items():
        assert scores[f"{name}.error_rate"] == pytest.approx(np.nanmean(rates(name, TEST)))
        assert scores[f"{name}.accuracy"] == pytest.approx(1 - np.nanmean(rates(name, TEST)))
        for part, where in (("region left", np.s_[..., :3]), ("level 1", np.s_[:, 1])):
            assert scores["parts"][part][name]["error_rate"] == pytest.approx(np.nanmean(rates(name, TEST, where)))
        table = [
            [int(((own[TEST] == column) & (truth[TEST] == row)).sum()) for column in range(CLASSES)]
            for row in range(CLASSES)
        ]
        assert scores["confusion"][name] == table
        sums = np.array(table)
        dice = 2 * sums.diagonal() / (sums.sum(0) + sums.sum(1))
        assert [scores[f"{name}.dice_{label}"] for label in range(CLASSES)] == pytest.approx(dice.tolist())
        assert scores[f"{name}.mean_dice"] == pytest.approx(dice.mean())
        assert scores[f"validation.{name}.error_rate"] == pytest.approx(rates(name, VALIDATION).mean())
    told = arrays.read_attributes(inputs["model"] / "checkpoint.zarr")["best_error"]
    assert scores["validation.model.cross_entropy"] == told

    one, other = rates("model", TEST), rates("training_mode", TEST)
    assert scores["intervals"]["all"]["model"] == pytest.approx(asdict(mean_interval(one)))
    assert scores["differences"]["all"]["training_mode"] == pytest.approx(asdict(difference_interval(one, other)))
    by_time = pd.read_csv(tmp_path / "scores_by_time.csv", index_col="time")
    np.testing.assert_allclose(by_time["model.error_rate"], one)
    frame, true = made[TEST.start], truth[TEST.start]
    sizes = [np.sum((frame == k) & ~np.isnan(true)) + np.sum(true == k) for k in range(CLASSES)]
    dice = [2 * np.sum((frame == k) & (true == k)) / size for k, size in enumerate(sizes)]
    assert by_time["model.mean_dice"].iloc[0] == pytest.approx(np.mean(dice))
    assert not (tmp_path / "spectra.csv").exists()

    list(report(ReportSettings(), {**inputs, "scores": tmp_path}, tmp_path))
    page = re.sub('src="[^"]*"', "", (tmp_path / "section.html").read_text())
    for told in ("most frequent label of the voxel in training", "mean Dice", "Which label was taken for which"):
        assert told in page
    assert "MSE" not in page
    assert "Spectra" not in page


def test_labels_beyond_the_classes_are_refused(labelled):
    truth = Truth(labelled[1]["prepared"], "a", ["label"])
    with pytest.raises(InputError, match="labels from 0 to 2 and the model 2 classes, 0 to 1"):
        list(labels_of(truth, Span("a", 46, 60), 2))
