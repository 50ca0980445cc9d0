"""Variables of the environment: read where they are declared, nowhere else; fingerprints depend on values alone."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.synthetic import write_recipe
from workflows.cli import app
from workflows.language.environment import Taken
from workflows.language.load import RecipeError, load
from workflows.plan import plan

DECLARED = 'environment: {DATA: "", STEPS: 15, LAST: 2000-03-30, SEEDS: }\n'


@pytest.fixture
def recipe(tmp_path):
    written = write_recipe(tmp_path, frames=8)
    text = written.read_text().replace("a.nc", '"${env.DATA}a.nc"').replace("steps: 15", "steps: ${env.STEPS}")
    written.write_text(DECLARED + text.replace("last: 2000-03-30", 'last: "${env.LAST}"'))
    return written


def prints(recipe):
    return {one.stage.name: one.fingerprint for one in plan(load(recipe), Path())}


def test_values_and_defaults(recipe, monkeypatch):
    monkeypatch.setenv("DATA", f"{recipe.parent}/")
    monkeypatch.setenv("LAST", "2000-03-28")
    monkeypatch.setenv("UNASKED", "never")
    workflow = load(recipe)
    assert workflow.stages["raw_a"].settings.source == str(recipe.parent / "a.nc")
    assert workflow.stages["model"].settings.steps == 15
    assert workflow.stages["prepared"].settings.splits.train.last == "2000-03-28"
    assert {name: one.value for name, one in workflow.environment.items() if not one.is_default} == {
        "DATA": f"{recipe.parent}/",
        "LAST": "2000-03-28",
    }
    assert workflow.environment["STEPS"] == Taken(15, is_default=True)
    assert "SEEDS" not in workflow.environment, "declared, not set, and mentioned nowhere"


def test_fingerprints_depend_on_values_alone(recipe, monkeypatch):
    before = prints(recipe)
    monkeypatch.setenv("DATA", f"{recipe.parent}/")  # the same file by another name
    monkeypatch.setenv("STEPS", "15")
    monkeypatch.setenv("UNASKED", "other")
    assert prints(recipe) == before
    recipe.write_text(
        recipe.read_text().removeprefix(DECLARED).replace("${env.DATA}", "").replace("${env.STEPS}", "15")
    )
    recipe.write_text(recipe.read_text().replace('"${env.LAST}"', "2000-03-30"))
    assert prints(recipe) == before, "written out"
    recipe.write_text("environment: {STEPS: }\n" + recipe.read_text().replace("steps: 15", "steps: ${env.STEPS}"))
    monkeypatch.setenv("STEPS", "16")
    assert {name for name, one in prints(recipe).items() if one != before[name]} == {
        "model",
        "forecast",
        "scores",
        "report",
    }


@pytest.mark.parametrize(
    ("declared", "given", "taken"),
    [
        ("", "15", 15),
        ("'14'", "15", "15"),
        ("14", "15", 15),
        ("14", "", 14),
        ("14", "[1, {a: b}]", [1, {"a": "b"}]),
        ("text", "007", "007"),
        ("", "007", 7),
        ("[1, 2]", None, [1, 2]),
    ],
)
def test_what_a_variable_is_read_as(recipe, monkeypatch, declared, given, taken):
    """In a matrix, whose values may be anything, and which a variable may give as a whole."""
    text = recipe.read_text().replace("steps: ${env.STEPS}", 'steps: 3\n    seed: "${n}"')
    recipe.write_text(
        f"environment: {{DATA: '', LAST: '', N: {declared}}}\nmatrix: {{n: ['${{env.N}}']}}\n" + text[len(DECLARED) :]
    )
    if given is not None:
        monkeypatch.setenv("N", given)
    if type(taken) is int:
        assert load(recipe).stages[f"model-{taken}"].settings.seed == taken
    else:
        with pytest.raises(RecipeError, match=r"seed: input should be a valid integer \(it is ") as refused:
            load(recipe)
        assert f"(it is {taken!r})" in str(refused.value)


def test_a_variable_may_be_all_values_of_a_key(recipe, monkeypatch):
    text = recipe.read_text().replace("steps: ${env.STEPS}", 'steps: "${steps}"')
    recipe.write_text(text.replace("stages:", "matrix: {steps: '${env.SEEDS}'}\nstages:", 1))
    monkeypatch.setenv("SEEDS", "[3, 4]")
    assert [name for name in load(recipe).stages if name.startswith("model")] == ["model-3", "model-4"]


WRONG = [
    ("${env.STEPS}", "${env.SEEDS}", r":17: stages\.model\.steps: the variable SEEDS is not set .* `SEEDS=VALUE chron"),
    ("${env.STEPS}", "${env.STEP}", r":17: .*declares no variable 'STEP'; did you mean 'STEPS'\?"),
    ("${env.STEPS}", "${env.HOME}", r":17: .*declares no variable 'HOME'; known are DATA, STEPS, LAST, SEEDS"),
    (DECLARED, "", r":3: stages\.raw_a\.source: the recipe declares no variable 'DATA'; declare it at the top, env"),
    ("${env.STEPS}", "${STEPS}", r":17: .*no matrix, and so no 'STEPS'; a variable of the environment is \$\{env\.ST"),
    ("${env.STEPS}", "${env}", r":17: .*\$\{env\} is no mention; write \$\{env\.VARIABLE\}"),
    ("${env.STEPS}", "${env.BROKEN}", r":17: .*\$\{env\.BROKEN\} is '\[1', which is not YAML; set it otherwise"),
    ("${env.STEPS}", "${env.SLY}", r":17: .*the variable SLY is '\$\{env\.HOME\}', which mentions something"),
    ("${env.STEPS}", "x${env.LIST}", r":17: .*\$\{env\.LIST\} is \[1\], and only texts and numbers fit within a text"),
    ("{prepared: prepared}", '{prepared: "${env.DATA}"}', r":15: .*inputs name stages as they are written"),
    ("{prepared: prepared}", '{"${env.DATA}": prepared}', r":15: .*is a name, and names cannot be mentions"),
    ("name: blobs", 'name: "${env.DATA}"', r":2: name: is '\$\{env\.DATA\}'; give a word"),
    ("LAST: 2000-03-30", "2-3: 1", r":1: environment\.2-3: '2-3' is no name for a variable"),
    ("LAST: 2000-03-30", 'LAST: "${env.DATA}"', r":1: environment\.LAST: .* mentions something within a default"),
    (DECLARED, "environment: [DATA]\n", r":1: environment: must map names of variables to defaults"),
    ("environment", "enviroment", r":1: enviroment: unknown key 'enviroment'; did you mean 'environment'\?"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), WRONG, ids=[wrong[:40] for _, wrong, _ in WRONG])
def test_mistakes(recipe, monkeypatch, right, wrong, message):
    monkeypatch.setenv("BROKEN", "[1")
    monkeypatch.setenv("SLY", "${env.HOME}")
    text = recipe.read_text()
    assert right in text
    text = text.replace(right, wrong, 1)
    text = (
        text.replace("SEEDS: }", "SEEDS: , BROKEN: , SLY: , LIST: [1]}", 1)
        if "env." in wrong[:8] or "LIST" in wrong
        else text
    )
    recipe.write_text(text)
    with pytest.raises(RecipeError, match=r"blobs\.yaml" + message):
        load(recipe)


def test_check_tells_what_was_taken(recipe, monkeypatch):
    monkeypatch.setenv("STEPS", "7")
    done = CliRunner().invoke(app, ["check", str(recipe)])
    assert done.stdout.splitlines()[:4] == [
        "environment: DATA= (default)",
        "environment: LAST=2000-03-30 (default)",
        "environment: STEPS=7",
        "raw_a: ingest",
    ]
