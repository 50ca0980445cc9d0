"""Stages of other packages: an example package is installed, checked, completed by the schema, and run."""

import importlib.metadata
import json
import shutil
import sys
import tomllib
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from pipeline.storage import store
from tests.synthetic import write_recipe
from workflows.catalog import Kinds
from workflows.cli import app
from workflows.language.load import RecipeError, load
from workflows.plan import plan

EXAMPLE = Path(__file__).with_name("example_package")
MODULE = "chronovox_threshold"

RECIPE = """\
name: warm
stages:
  raw: {stage: ingest, source: a.nc, variable: warmth}
  warm: {stage: threshold, inputs: {raw: raw}, least: 280.3}
  prepared:
    stage: preprocess
    inputs: {a: warm}
    splits:
      train: {series: a, first: 2000-01-01, last: 2000-01-10}
      validation: {series: a, first: 2000-01-11, last: 2000-01-13}
      test: {series: a, first: 2000-01-14}
"""


def install(folder, *, name=None, version=None, code=None, offers=None):
    """What an installer does with the example: the module and the metadata beside it. With another name, version, code
    or other entry points, if given."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    name, version = name or project["name"], version or project["version"]
    shutil.copy(EXAMPLE / f"{MODULE}.py", folder)
    if code is not None:
        (folder / f"{MODULE}.py").write_text(code)
    for old in folder.glob(f"{name.replace('-', '_')}-*.dist-info"):
        shutil.rmtree(old)
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = {group: offers or own for group, own in project["entry-points"].items()}
    lines = [line for group, own in groups.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in own.items()))]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    importlib.invalidate_caches()


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder for packages that are found for the time of a test."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop(MODULE, None)


@pytest.fixture
def recipe(tmp_path):
    write_recipe(tmp_path, frames=20)
    (tmp_path / "warm.yaml").write_text(RECIPE)
    return tmp_path / "warm.yaml"


def command(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.exception
    return done.stdout


def test_it_is_checked_completed_and_run_beside_the_others(recipe, packages, tmp_path):
    install(packages)
    assert command("check", recipe) == "raw: ingest\nwarm: threshold from raw\nprepared: preprocess from warm\n"

    schema = json.loads(command("schema"))
    validator = jsonschema.Draft202012Validator(schema)
    written = YAML(typ="safe").load(RECIPE)
    assert schema["$defs"]["threshold_stage"]["properties"]["least"]["description"].startswith("What is less becomes")
    assert validator.is_valid(json.loads(json.dumps(written, default=str)))
    written["stages"]["warm"]["most"] = 1
    assert not validator.is_valid(json.loads(json.dumps(written, default=str)))

    command("run", recipe, "--executor", "local", "--runs", tmp_path / "runs")
    raw, warm, prepared = plan(load(recipe), tmp_path / "runs" / "warm")
    assert prepared.finished
    before, after = (store.open_volume(one.folder / "raw.zarr")["data"].values for one in (raw, warm))
    assert 0.1 < np.mean(before < 280.3) < 0.9, "the threshold divides"
    np.testing.assert_array_equal(after, np.where(before < 280.3, 0, before))

    manifest = json.loads((warm.folder / "manifest.json").read_text())
    assert (manifest["package"], manifest["versions"]["chronovox-threshold"]) == ("chronovox-threshold", "0.1")
    assert json.loads((raw.folder / "manifest.json").read_text())["package"] == "chronovox"


def test_a_fingerprint_has_the_name_of_the_package_and_not_its_version(recipe, packages, tmp_path):
    def prints():
        return {one.stage.name: one.fingerprint for one in plan(load(recipe), tmp_path)}

    install(packages)
    first = prints()
    install(packages, version="0.2")
    assert prints() == first
    shutil.rmtree(packages / "chronovox_threshold-0.2.dist-info")
    install(packages, name="another-threshold")
    assert {name for name, one in prints().items() if one != first[name]} == {"warm", "prepared"}


def test_a_package_is_imported_only_where_a_recipe_needs_it(recipe, packages, tmp_path):
    install(packages, code="import nowhere_to_be_found\n")
    assert load(tmp_path / "blobs.yaml").stages
    with pytest.raises(
        RecipeError,
        match=r"warm\.yaml:4: stages\.warm\.stage: the stage kind 'threshold' of the package chronovox-threshold 0\.1 "
        r"cannot be imported \(chronovox_threshold:KIND\): ModuleNotFoundError: .*nowhere_to_be_found",
    ):
        load(recipe)


@pytest.mark.parametrize(
    ("offers", "kind", "message"),
    [
        ({"train": f"{MODULE}:KIND"}, "train", "'train' is offered by chronovox and by chronovox-threshold; uninstall"),
        ({"other": f"{MODULE}:KIND"}, "other", "offers the kind 'threshold' as 'other'"),
        ({"other": f"{MODULE}:threshold"}, "other", "offers a function as 'other'"),
    ],
)
def test_what_is_refused(packages, offers, kind, message):
    install(packages, offers=offers)
    assert Kinds()["ingest"].name == "ingest", "what nobody else offers can be had"
    with pytest.raises(RecipeError, match=message):
        Kinds()[kind]


def test_two_packages_with_one_name(recipe, packages):
    install(packages)
    install(packages, name="another-threshold")
    with pytest.raises(RecipeError, match=r"'threshold' is offered by another-threshold and by chronovox-threshold"):
        load(recipe)


def test_settings_must_refuse_unknown_keys(packages):
    code = (EXAMPLE / f"{MODULE}.py").read_text().replace("ThresholdSettings(Settings)", "ThresholdSettings")
    install(packages, code=code)
    with pytest.raises(RecipeError, match=r"must be a dataclass that derives from pipeline\.volume\.Settings"):
        Kinds()["threshold"]
