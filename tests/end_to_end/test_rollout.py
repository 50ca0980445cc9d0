"""A recipe with a rollout: from archives to a page; killed for real it goes on; a longer horizon takes over."""

import json
from shutil import copytree

import pytest
import xarray as xr

from cluster import LocalExecutor
from tests.end_to_end.test_kill import finish, kill_when, start
from tests.export.stores import exported
from tests.rolled import results
from tests.synthetic import Silent, write_recipe
from workflows.events import Started
from workflows.language.load import RecipeError, load
from workflows.plan import REPORT
from workflows.report.page import write_report
from workflows.run import run

STAGES = """\
  ahead:
    stage: rollout
    inputs: {prepared: prepared, model: model}
    series: b
    every: 1
    split: test
    horizon: 2
    chunk: 5
  months:
    stage: rollout
    inputs: {prepared: prepared, model: model}
    series: b
    horizon: 12
    chunk: 5
  page:
    stage: report
    inputs: {scores: scores, prediction: forecast, prepared: prepared, model: model, rollout: ahead}
"""


def with_stages(recipe, change=("", "")):
    longer = recipe.with_name("ahead.yaml")
    longer.write_text((recipe.read_text() + STAGES).replace(*change))
    return longer


@pytest.mark.slow
def test_a_recipe_rolls_out_and_its_page_shows_it(finished_run, tmp_path):
    copytree(finished_run["model"].parents[2], tmp_path / "own")
    runs, recipe = tmp_path / "own" / "runs", tmp_path / "own" / "blobs.yaml"
    folders = run(load(with_stages(recipe)), runs, LocalExecutor(), Silent())
    one, ahead = (json.loads((folders[stage] / "scores.json").read_text()) for stage in ("scores", "ahead"))
    names = {"model", "persistence", "training_mean", "exponential_average"}  # the months of a year tell of no cycle
    assert ahead["exponential_average.rate"] == one["exponential_average.rate"]
    assert ahead["leads"]["1"]["scores"].keys() == names
    for name in names:  # one frame ahead it is what infer and evaluate do
        of_lead = {f"{name}.{score}": value for score, value in ahead["leads"]["1"]["scores"][name].items()}
        assert of_lead == pytest.approx({key: one[key] for key in of_lead}, rel=1e-5, abs=1e-5)
    assert [ahead["leads"][lead]["starts"] for lead in "12"] == [70, 69]
    assert not (folders["ahead"] / "rollout.zarr").exists()
    assert "Further ahead" in (folders["page"] / "section.html").read_text()
    assert "Further ahead" not in (folders["report"] / "section.html").read_text()
    assert (folders["page"].parent / REPORT).read_text().count("Further ahead") == 1
    (folders["page"] / "section.html").unlink()  # without a page of a stage the run's has the curves itself
    alone = write_report(folders["page"].parent).read_text()
    assert alone.count("Further ahead") == 1
    assert "<h1>ahead</h1>" in alone

    display = Silent()
    again = run(load(with_stages(recipe, ("horizon: 12", "horizon: 20"))), runs, LocalExecutor(), display)
    assert display.names(Started) == ["months"]
    lines = display.lines()
    assert f"the first 12 of 20 frames from each start are those of {folders['months'].name}" in lines
    assert json.loads((again["months"] / "manifest.json").read_text())["continued_from"] == 12
    exported(again["months"] / "rollout.zarr", tmp_path / "months.nc")
    with xr.open_dataset(tmp_path / "months.nc", decode_times=xr.coders.CFDatetimeCoder(use_cftime=True)) as found:
        assert found["warmth"].dims == ("time", "lat", "lon")
        assert found["warmth"].attrs["units"] == "K"
        assert [found["time"].values[place].isoformat()[:10] for place in (0, -1)] == ["2000-05-11", "2000-05-30"]
        assert 275 < float(found["warmth"].mean()) < 290


WRONG = [
    ("model: model, rollout: ahead}", "model: model, rolout: ahead}", "unknown input 'rolout'; did you mean 'rollout'"),
    ("rollout: ahead}", "rollout: scores}", "'scores' is a stage of kind evaluate; expected one of kind rollout"),
    (
        "model: model}\n    series: b\n    every",
        "model: model, m: raw_a}\n    series: b\n    every",
        "expected one of kind train",
    ),
    ("series: b\n    every", "series: c\n    every", "no series 'c'"),
    ("    every: 1\n", "    evry: 1\n", "unknown key 'evry'; did you mean 'every'"),
    ("    every: 1\n", "    every: 1\n    members: 2\n", "members is 2 and perturbation 0.0: all would be alike; give"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG)
def test_mistakes_in_a_recipe(tmp_path, old, new, message):
    recipe = write_recipe(tmp_path, frames=8)
    with pytest.raises(RecipeError, match=message):
        load(with_stages(recipe, (old, new)))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_in_a_rollout_and_run_again(tmp_path):
    recipe = with_stages(write_recipe(tmp_path, steps=5))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(recipe, whole, "--executor", "local")
    lines = 0
    for _ in range(2):
        lines += 40

        def written(most=lines):
            return any(path.read_bytes().count(b"\n") >= most for path in broken.glob("blobs/ahead-*/scores.jsonl"))

        kill_when(start(recipe, broken, "--executor", "local"), written)
    finish(recipe, broken, "--executor", "local")
    for stage in ("ahead", "months"):
        (one,), (other,) = (list(folder.glob(f"blobs/{stage}-*")) for folder in (whole, broken))
        assert results(one) == results(other)
    (ahead,) = broken.glob("blobs/ahead-*")
    assert json.loads((ahead / "manifest.json").read_text())["continued_from"] > 0
