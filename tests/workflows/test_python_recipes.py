"""Recipes in Python, and workflows written as YAML: the same workflow, fingerprints included."""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.network.settings import ModelSettings
from pipeline.splits import Period, Splits
from pipeline.volume import Settings
from tests.synthetic import write_recipe
from tests.workflows.test_load import OWN_FILES, RECIPES
from workflows import Recipe, RecipeError, dump, load
from workflows.language.dump import written
from workflows.plan import plan

IN_YAML = """\
name: blobs
matrix: {seed: [0, 1], rate: [0.1, 1.0e-5]}
stages:
  raw_a: {stage: ingest, source: a.nc, variable: warmth, chunk: 8}
  raw_b: {stage: ingest, source: [b.nc], variable: [warmth], select: {lat: "30:50"}}
  prepared:
    stage: preprocess
    inputs: {a: raw_a, b: raw_b}
    splits:
      train: [{series: a, last: 2000-03-30}]
      validation: {series: a, first: 2000-04-01, last: 2000}
      test: {series: b}
    reshape: {coarsen: {height: 2, trim: true}, crop: {width: [1, 9]}}
  model:
    stage: train
    inputs: {prepared: prepared}
    model: {channels: 3, states: 4, rate: "${rate}"}
    curriculum: [{first_step: 3, window: 30}]
    start: {}
    seed: ${seed}
  forecast: {stage: infer, inputs: {prepared: prepared, model: model}, series: [b]}
  scores: {stage: evaluate, inputs: {prediction: forecast, prepared: prepared, model: model}, gaussian: {time: [0, 2]}}
  seeds: {stage: gather, inputs: {all: scores}, title: "yes: 2000-01-01"}
"""

IN_PYTHON = """\
from pathlib import Path

from pipeline.network.settings import ModelSettings
from pipeline.training.least_squares import LeastSquares
from workflows import Recipe

import my_periods  # a module beside this file

recipe = Recipe("blobs")
raw_a = recipe.stage("raw_a", "ingest", source=Path("a.nc"), variable="warmth", chunk=8)
raw_b = recipe.stage("raw_b", "ingest", source=["b.nc"], variable=("warmth",), select={"lat": "30:50"})
prepared = recipe.stage(
    "prepared",
    "preprocess",
    {"a": raw_a, "b": raw_b},
    splits=my_periods.SPLITS,
    reshape={"coarsen": {"height": 2, "trim": True}, "crop": {"width": (1, 9)}},
)
scores = {}
for seed in range(2):
    for number, rate in enumerate([0.1, 1e-5], start=1):
        own = f"{seed}-{number}"
        model = recipe.stage(
            f"model-{own}",
            "train",
            {"prepared": prepared},
            model=ModelSettings(channels=3, states=4, rate=rate),
            curriculum=[{"first_step": 3, "window": 30}],
            start=LeastSquares(),
            seed=seed,
        )
        made = {"prepared": prepared, "model": model}
        forecast = recipe.stage(f"forecast-{own}", "infer", made, series=["b"])
        scores[f"all-{own}"] = recipe.stage(
            f"scores-{own}", "evaluate", {"prediction": forecast, **made}, gaussian={"time": [0, 2.0]}
        )
recipe.stage("seeds", "gather", scores, title="yes: 2000-01-01")
workflow = recipe.workflow()
"""

PERIODS = """\
from datetime import date

from pipeline.splits import Period, Splits
from pipeline.volume import Settings

SPLITS = {
    "train": [Period("a", last="2000-03-30")],
    "validation": {"series": "a", "first": date(2000, 4, 1), "last": 2000},
    "test": Period("b"),
}
"""


def prints(workflow):
    return {one.stage.name: one.fingerprint for one in plan(workflow, Path())}


@pytest.fixture
def twins(tmp_path):
    """The same recipe in both languages."""
    write_recipe(tmp_path, frames=8)
    for name, text in (("blobs.yaml", IN_YAML), ("blobs.py", IN_PYTHON), ("my_periods.py", PERIODS)):
        (tmp_path / name).write_text(text)
    yield tmp_path / "blobs.yaml", tmp_path / "blobs.py"
    sys.modules.pop("my_periods", None)


def test_one_written_by_hand_is_its_twin_in_yaml(twins):
    here, path = os.getcwd(), list(sys.path)
    in_yaml, in_python = map(load, twins)
    assert in_yaml == in_python
    assert prints(in_yaml) == prints(in_python)
    assert len(in_yaml.stages) == 3 + 4 * 3 + 1
    assert (os.getcwd(), sys.path) == (here, path), "as they were"


def test_changes_reach_recipes_in_python(twins):
    changed = load(twins[1], ["model-0-1.model.layers=3", "prepared.splits.train.0.last=2000-03-29", "name=trial"])
    assert changed == replace(load(twins[0]), name="trial", stages=changed.stages)
    assert changed.stages["model-0-1"].settings.model == ModelSettings(channels=3, states=4, layers=3, rate=0.1)
    assert changed.stages["prepared"].settings.splits.train == (Period("a", last="2000-03-29"),)
    assert load(twins[1], ["seeds.title=Other"]).stages["prepared"] == load(twins[0]).stages["prepared"]


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_comes_back_from_yaml(recipe, tmp_path):
    workflow = load(recipe, [f"{stage}.source={recipe}" for stage in OWN_FILES.get(recipe.stem, ())])
    (tmp_path / "again.yaml").write_text(dump(workflow))
    again = load(tmp_path / "again.yaml")
    assert again == workflow
    assert list(again.stages) == list(workflow.stages)
    assert prints(again) == prints(workflow)


def test_what_is_written_is_short_and_comes_back_to_the_type(twins, tmp_path):
    workflow = load(twins[0])
    text = dump(workflow)
    (tmp_path / "again.yaml").write_text(text)
    assert load(tmp_path / "again.yaml") == workflow
    assert prints(load(tmp_path / "again.yaml")) == prints(workflow)
    assert "weight_decay" not in text, "a default"
    recipe = Recipe("x", tmp_path)
    recipe.stage("raw", "ingest", source="a.nc", variable="${seed}")
    with pytest.raises(RecipeError, match=r"stages\.raw\.variable: '\$\{seed\}' cannot be written in YAML"):
        dump(recipe.workflow())


def test_zero_is_not_zero_point_zero():
    """Fingerprints tell them apart."""

    @dataclass(frozen=True)
    class Own(Settings):
        least: int | float = 0

    assert written(Own(0)) == {}
    assert repr(dict(written(Own(0.0)))) == "{'least': 0.0}"


def test_values_may_be_of_numpy(tmp_path):
    recipe = Recipe("x", tmp_path)
    splits = {name: {"series": "a", "first": np.int64(3)} for name in ("train", "validation", "test")}
    (tmp_path / "a.npy").touch()
    raw = recipe.stage("raw", "ingest", source=tmp_path / "a.npy")
    prepared = recipe.stage("prepared", "preprocess", {"a": raw}, splits=splits)
    model = recipe.stage("model", "train", {"prepared": prepared}, steps=np.int64(3), clip=np.float32(0.5))
    assert (model.settings.steps, model.settings.clip) == (3, 0.5)
    assert prepared.settings.splits == Splits(*[Period("a", 3)] * 3)
    with pytest.raises(RecipeError, match=r"stages\.raw2\.source: is of type set, which no recipe can hold"):
        recipe.stage("raw2", "ingest", source={"a.npy"})


def test_a_function_makes_it_too(tmp_path):
    (tmp_path / "a.nc").touch()
    (tmp_path / "r.py").write_text(
        "from workflows import Recipe\n\n\ndef workflow():\n    recipe = Recipe('x')\n"
        "    recipe.stage('raw', 'ingest', source='a.nc')\n    return recipe.workflow()\n"
    )
    assert load(tmp_path / "r.py").stages["raw"].settings.source == str(tmp_path / "a.nc")


WRONG = [
    ("steps=3", "stpes=3", r"r\.py:5: stages\.model\.stpes: unknown key 'stpes'; did you mean 'steps'\?"),
    ("steps=3", "steps='3'", r"r\.py:5: stages\.model\.steps: input should be a valid integer \(it is '3'\)"),
    ("steps=3", "steps=0", r"r\.py:5: stages\.model\.steps: steps is 0; give at least 1"),
    ("steps=3", "steps=int('x')", r"r\.py:5: ValueError: invalid literal .*; raised by: recipe\.stage\("),
    ("steps=3", "steps=3, **1", r"r\.py:5: TypeError: .*; raised by: recipe\.stage\("),
    ("steps=3)", "steps=3", r"r\.py:5: not Python: '\(' was never closed"),
    ("'train', {", "'trian', {", r"r\.py:5: stages\.model\.stage: no stage kind 'trian'; did you mean 'train'\?"),
    ("'train', {", "3, {", r"r\.py:5: stages\.model\.stage: no stage kind 3; known are ingest"),
    ("'model'", "'raw'", r"r\.py:5: stages\.raw: there is a stage of this name; give each its own"),
    ("'model'", "'a model'", r"r\.py:5: stages\.a model: is no name for a stage"),
    ("source='a.nc'", "source='c.nc'", r"r\.py:3: stages\.raw\.source: c\.nc: no file or folder .*c\.nc"),
    (
        "{'prepared': 'prepared'}",
        "{'prepared': 'preparde'}",
        r"r\.py:6: .*no stage 'preparde'; did you mean 'prepared'",
    ),
    ("{'prepared': 'prepared'}", "{'prepared': 'raw'}", r"r\.py:6: .*'raw' is a stage of kind ingest; expected"),
    ("{'prepared': 'prepared'}", "['prepared']", r"r\.py:5: stages\.model\.inputs: must map roles to names of stages"),
    ("series='raw'", "series='b'", r"r\.py:6: stages\.prepared\.splits\.train\.series: no series 'b'; known are raw"),
    ("Recipe('x')", "Recipe('a/b')", r"r\.py:2: name: is 'a/b'; give a word"),
    ("recipe.workflow()", "recipe", r"r\.py: workflow is a Recipe; write workflow = recipe\.workflow\(\)"),
    ("workflow =", "w =", r"r\.py: nothing in it is called workflow; end it with workflow = recipe\.workflow\(\)"),
    ("recipe.stage('raw'", "Recipe('y').workflow()\nrecipe.stage('raw'", r"r\.py:3: it has no stages; add one"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), WRONG, ids=[wrong for _, wrong, _ in WRONG])
def test_mistakes(tmp_path, right, wrong, message):
    (tmp_path / "a.nc").touch()
    text = (
        "from workflows import Recipe\n"
        "recipe = Recipe('x')\n"
        "recipe.stage('raw', 'ingest', source='a.nc')\n"
        "recipe.stage('prepared', 'preprocess', {'raw': 'raw'}, splits=dict.fromkeys(('train', 'validation', 'test'), "
        "dict(series='raw')))\n"
        "recipe.stage('model', 'train', {'prepared': 'prepared'}, steps=3)\n"
        "workflow = recipe.workflow()\n"
    )
    (tmp_path / "r.py").write_text(text)
    load(tmp_path / "r.py")
    assert right in text
    (tmp_path / "r.py").write_text(text.replace(right, wrong, 1))
    with pytest.raises(RecipeError, match=message):
        load(tmp_path / "r.py")
