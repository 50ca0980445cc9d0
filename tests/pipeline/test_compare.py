"""What models from several seeds are told of side by side: means, intervals, differences seed by seed, curves."""

import json

import numpy as np
import pandas as pd
import pytest

from pipeline.compare import CompareSettings, compare, paired
from pipeline.section import SECTION
from pipeline.volume import InputError

ERRORS = {"a": [1.0, 2.0, 3.0], "linear-b": [1.5, 2.4, 3.6]}


@pytest.fixture
def inputs(tmp_path):
    """Two models from three seeds, as their stages would leave them."""
    found = {"pace": tmp_path / "pace"}
    found["pace"].mkdir()
    cost = {"seconds_a_step": 0.5, "seconds_a_frame": 0.01, "parameters": 100, "carry_bytes": 2048}
    (found["pace"] / "pace.json").write_text(json.dumps(dict.fromkeys(ERRORS, cost)))
    for name, errors in ERRORS.items():
        for seed, error in enumerate(errors):
            scores, model = (tmp_path / f"{kind}-{name}-{seed}" for kind in ("scores", "model"))
            scores.mkdir()
            model.mkdir()
            whole = {"model.mse": error, "persistence.mse": 4.0, "validation.model.mse": 2 * error, "units": "K"}
            (scores / "scores.json").write_text(json.dumps(whole | {"parts": {}}))
            steps = [{"step": step, "loss": 1.0} for step in range(1, 5)]
            checks = [{"step": step, "validation_mse": 10.0 / step} for step in (2, 4)]
            taken = [{"step": step, "seconds": 0.25, "waited": 0.0} for step in range(1, 5)]
            (model / "history.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (*steps, *checks)))
            (model / "timing.jsonl").write_text("".join(json.dumps(one) + "\n" for one in taken))
            found |= {scores.name: scores, model.name: model}
    return found


def test_means_intervals_and_differences(inputs, tmp_path):
    list(compare(CompareSettings(notes={"a": "two channels"}), inputs, tmp_path))
    found = json.loads((tmp_path / "compared.json").read_text())
    assert found["seeds"] == ["0", "1", "2"]
    assert found["baselines"] == {"persistence": 4.0}
    first, other = (found["models"][name] for name in ERRORS)
    assert first["test"]["mse"] == ERRORS["a"]
    assert other["validation"]["mean"]["mean"] == pytest.approx(5.0)
    assert (first["steps"], first["seconds"]) == (4, [1.0] * 3)
    assert first["curves"]["0"] == {"steps": [2, 4], "seconds": [0.5, 1.0], "errors": [5.0, 2.5]}
    differences = np.subtract(ERRORS["linear-b"], ERRORS["a"])
    half = 4.302653 * differences.std(ddof=1) / 3**0.5  # Student's, two degrees of freedom
    less = other["test"]["less_first"]
    assert (less["mean"], less["low"], less["high"]) == pytest.approx((0.5, 0.5 - half, 0.5 + half), rel=1e-6)
    rows = pd.read_csv(tmp_path / "compared.csv").set_index("model")
    assert rows.loc["linear-b", "test_less_first"] == pytest.approx(0.5)
    assert rows.loc["a", "test_1"] == 2.0
    page = (tmp_path / SECTION).read_text()
    assert '<span class="clear">0.5</span>' in page
    assert "a<small>two channels</small>" in page
    assert "data:image/png;base64," in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i | {"other-a-0": i["pace"]}, "'other-a-0' has another name than model-NAME-SEED"),
        (lambda i: {k: v for k, v in i.items() if k != "model-a-0"}, "no input model-a-0 beside the other of its pair"),
        (
            lambda i: {k: v for k, v in i.items() if not k.endswith("-linear-b-2")},
            "linear-b has no seed 2, which others have; compare the same seeds of all",
        ),
    ],
)
def test_inputs_that_make_no_pairs(inputs, change, message):
    with pytest.raises(InputError, match=message):
        paired(change(inputs))


def test_other_units_and_labels_are_refused(inputs, tmp_path):
    path = inputs["scores-a-1"] / "scores.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"units": "m"}))
    with pytest.raises(InputError, match="the evaluations have different units, K, m; compare on the same data"):
        list(compare(CompareSettings(), inputs, tmp_path))
    path.write_text(json.dumps({key: value for key, value in told.items() if "model" not in key}))
    with pytest.raises(InputError, match="scores-a-1 has no mean squared error on validation frames"):
        list(compare(CompareSettings(), inputs, tmp_path))
