"""The published schema: it is what the code makes, knows every setting, and refuses what `load` refuses."""

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

import workflows
from tests.synthetic import write_recipe
from workflows.catalog import Kinds
from workflows.language.load import RecipeError, load
from workflows.language.schema import as_json, recipe_schema

FOLDER = Path(workflows.__file__).parent
PUBLISHED = FOLDER / "recipe.schema.json"
MODELINE = "# yaml-language-server: $schema=../recipe.schema.json\n"


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(PUBLISHED.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def as_editors_read(text):
    """YAML to JSON; dates are texts."""
    return json.loads(json.dumps(YAML(typ="safe").load(text), default=str))


def test_it_is_what_the_settings_are():
    made = as_json(recipe_schema(Kinds(plugins=False)))
    assert made == PUBLISHED.read_text(), "write it anew: chronovox schema > workflows/recipe.schema.json"


@pytest.mark.parametrize("recipe", sorted((FOLDER / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_recipes_are_valid_and_name_it(validator, recipe):
    assert list(validator.iter_errors(as_editors_read(recipe.read_text()))) == []
    assert recipe.read_text().startswith(MODELINE)
    assert (recipe.parent / MODELINE.strip().split("=")[1]).resolve() == PUBLISHED


def test_every_setting_says_what_it_is(validator):
    named = [
        (kind, name, one)
        for kind, definition in validator.schema["$defs"].items()
        for name, one in definition.get("properties", {}).items()
        if name != "stage"
    ]
    assert len(named) > 150
    assert [f"{kind}.{name}" for kind, name, one in named if not one.get("description")] == []
    train = validator.schema["$defs"]["train_stage"]["properties"]
    assert (train["steps"]["default"], train["curriculum"]["default"]) == (150, [])
    assert train["steps"]["description"] == "Training steps; `batch` windows each."


MENTIONS = [
    ("steps: 15", "steps: ${n}"),
    ("layers: 2}", 'layers: "${n}"}'),
    ("{channels: 3, states: 4, layers: 2}", "${n}"),
    ("layers: 2}", 'layers: 2, targets: ["${n}"], patch_taps: "${n}"}'),
    ("train: {series: a, first: 2000-01-01, last: 2000-03-30}", 'train: [{series: "a${n}", first: "${n.m}"}]'),
    ("inputs: {a: raw_a, b: raw_b}", 'inputs: {a: raw_a, b: raw_b}\n    anomalies: "mon${n}"'),
    ("stage: train", "stage: ${n}"),
    ("source: a.nc,", 'source: "${env.DATA}/a.nc", select: "${n}",'),
]


@pytest.mark.parametrize(("right", "mention"), MENTIONS, ids=[mention for _, mention in MENTIONS])
def test_mentions_may_stand_for_values(validator, tmp_path, right, mention):
    text = write_recipe(tmp_path, frames=8).read_text()
    assert right in text
    text = "environment: {DATA: , YEARS: 12}\nmatrix: {n: [1]}\n" + text.replace(right, mention, 1)
    assert list(validator.iter_errors(as_editors_read(text))) == []


WRONG = [
    ("steps: 15", "stpes: 15"),
    ("channels: 3", "chanels: 3"),
    ("last: 2000-04-10", "latest: 2000-04-10"),
    ("stages:", "stagse:"),
    ("name: blobs", "nmae: blobs"),
    ("name: blobs", "name: my blobs"),
    ("name: blobs", "name: blobs\nmatrix: {n: 3}"),
    ("name: blobs", "name: blobs\nmatrix: {n: []}"),
    ("name: blobs", "name: blobs\nmatrix: {env: [1]}"),
    ("name: blobs", "name: blobs\nenvironment: [DATA]"),
    ("name: blobs", "name: blobs\nenvironment: {my-data: x}"),
    ("steps: 15", "steps: many"),
    ("steps: 15", "steps: '15'"),
    ("steps: 15", "steps: 1.5"),
    ("steps: 15", "steps: true"),
    ("steps: 15", "steps:"),
    ("layers: 2", "layers: 2, drift: yes"),
    ("layers: 2", "layers: 2, patch_taps: 2"),
    ("layers: 2", "layers: 2, task: forcast"),
    ("layers: 2", "layers: 2, targets: a"),
    ("{series: a, first: 2000-01-01, last: 2000-03-30}", "a"),
    ("{series: a, first: 2000-01-01, last: 2000-03-30}", "{first: 2000-01-01}"),
    ("source: a.nc, ", ""),
    ("source: a.nc, ", "source: [1], "),
    ("chunk: 8", "chunk: {time: long}"),
    ("stage: train", "stage: trian"),
    ("stage: train", "kind: train"),
    ("stage: train", "stage: [train]"),
    ("{prepared: prepared}", "{}"),
    ("{prepared: prepared}", "{prepare: prepared}"),
    ("{prepared: prepared}", "{prepared: prepared, more: raw_a}"),
    ("{prepared: prepared}", "[prepared]"),
    ("{prepared: prepared}", '{prepared: "${n}"}'),
    ("inputs: {prepared: prepared}\n    model", "model"),
    ("{stage: ingest, source: a.nc,", "{stage: ingest, inputs: {a: raw_b}, source: a.nc,"),
    ("{a: raw_a, b: raw_b}", "{}"),
    ("  model:\n", "  a model:\n"),
    ("series: b, chunk", "chunk"),
]


@pytest.mark.parametrize(("right", "wrong"), WRONG, ids=[wrong for _, wrong in WRONG])
def test_mistakes_are_refused_by_both(validator, tmp_path, right, wrong):
    recipe = write_recipe(tmp_path, frames=8)
    text = recipe.read_text()
    assert right in text
    assert validator.is_valid(as_editors_read(text))
    recipe.write_text(text.replace(right, wrong, 1))
    assert not validator.is_valid(as_editors_read(recipe.read_text()))
    with pytest.raises(RecipeError):
        load(recipe)
