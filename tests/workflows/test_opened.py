"""A run opened in Python."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import workflows
from pipeline.volume import InputError


def test_a_run_gives_its_volumes_and_scores(finished_run):
    run = workflows.open_run(str(finished_run["report"].parent))
    assert list(run) == list(finished_run)
    forecast = run["forecast"].open()
    stored = xr.open_zarr(finished_run["forecast"] / "prediction.zarr", consolidated=False)
    assert forecast["data"].chunks is not None
    np.testing.assert_array_equal(forecast["data"].values, stored["data"].values)
    assert (forecast["time"].values == stored["time"].values).all()
    assert run["prepared"].series == ("a", "b")
    assert run["prepared"].open("b").sizes == run["forecast"].open().sizes
    assert run["scores"].scores == json.loads((finished_run["scores"] / "scores.json").read_text())
    assert run.report == finished_run["report"].parent / "report.html"
    assert run["model"].manifest["kind"] == "train"
    table = run.table()
    assert table["finished"].all()
    assert (table["peak"] > 1e8).all()
    assert "forecast" in run._repr_html_()
    assert "infer" in repr(run)
    assert (run.events["event"] == "finished").sum() == len(run)


def test_the_readme_s_python_runs(finished_run, tmp_path, monkeypatch):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    _, opened = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "climate_forecast").symlink_to(finished_run["report"].parent)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(opened, names)
    assert names["forecast"]["data"].ndim == 5
    assert names["errors"]["model.mse"] > 0


def test_what_is_not_there_is_said(finished_run, tmp_path):
    run = workflows.open_run(finished_run["report"].parent)
    with pytest.raises(InputError, match=r"is not there; give the folder of a run"):
        workflows.open_run(tmp_path / "none")
    with pytest.raises(InputError, match=r"has no events\.jsonl"):
        workflows.open_run(tmp_path)
    with pytest.raises(InputError, match="series None of stage prepared: there are a, b; name one of these"):
        run["prepared"].open()
    with pytest.raises(InputError, match="stage scores of kind evaluate has no volumes"):
        run["scores"].open()
    with pytest.raises(InputError, match="stage model of kind train has no scores"):
        _ = run["model"].scores
    with pytest.raises(KeyError, match="no stage 'forecasts'; the stages of blobs are raw_a"):
        run["forecasts"]
