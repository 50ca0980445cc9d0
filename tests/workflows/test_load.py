"""Recipes: every mistake is one message with the line, the key and the nearest right name."""

from pathlib import Path

import pytest

from tests.synthetic import write_recipe
from workflows.language.load import RecipeError, load

RECIPES = Path(__file__).parents[2] / "workflows" / "recipes"


OWN_FILES = {
    "denoise_fmri": ["raw"],
    "fmri_leave_one_run_out": ["raw", "brain"],
    "long_window": ["raw"],
    "moving_digits": ["raw_train", "raw_validation", "raw_test"],
    "winds_forecast": ["raw"],
}
"""Stages whose source a user brings; loading asks only whether it is there."""


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_loads(recipe):
    workflow = load(recipe, [f"{stage}.source={recipe}" for stage in OWN_FILES.get(recipe.stem, ())])
    assert workflow.name == recipe.stem


def test_the_climate_recipe_tests_only_on_years_that_differ_from_all_it_learned_from():
    splits = load(RECIPES / "climate_forecast.yaml").stages["prepared"].settings.splits
    spans = {name: (period.series, period.first, period.last) for name, (period,) in splits.items()}
    assert spans == {"train": ("a1b", 1860, 1979), "validation": ("a1b", 1980, 2099), "test": ("e1", 2000, 2099)}


@pytest.fixture
def recipe(tmp_path):
    return write_recipe(tmp_path, frames=8)


WRONG = [
    ("steps: 15", "stpes: 15", r":16: stages\.model\.stpes: unknown key 'stpes'; did you mean 'steps'\?"),
    (
        "channels: 3",
        "chanels: 3",
        r":15: stages\.model\.model\.chanels: unknown key 'chanels'; did you mean 'channels'\?",
    ),
    ("stages:", "stagse:", r":2: stagse: unknown key 'stagse'; did you mean 'stages'\?"),
    ("steps: 15", "steps: many", r":16: stages\.model\.steps: input should be a valid integer.* \(it is 'many'\)"),
    ("steps: 15", "steps: '15'", r":16: stages\.model\.steps: input should be a valid integer"),
    ("steps: 15", "steps: 1.5", r":16: stages\.model\.steps: input should be a valid integer"),
    ("steps: 15", "steps: 0", r":16: stages\.model\.steps: steps is 0; give at least 1"),
    (
        "layers: 2",
        "layers: 2, transition: kernal",
        r":15: stages\.model\.model\.transition: transition is 'kernal'; give one of propagator, kernel, pointwise",
    ),
    (
        "layers: 2",
        "layers: 2, transition: kernel, selective: true",
        r":15: stages\.model\.model\.selective: selective with transition 'kernel'",
    ),
    ("layers: 2", "layers: 2, selective: 1", r":15: .*selective: input should be a valid boolean \(it is 1\)"),
    ("steps: 15", "steps: [1", r":\d+: not YAML"),
    ("steps: 15", "steps: 15\n    steps: 16", r":17: not YAML: found duplicate key"),
    ("source: a.nc", "source: c.nc", r":3: stages\.raw_a\.source: c\.nc: no file .*c\.nc"),
    ("source: a.nc, ", "", r":3: stages\.raw_a: the key 'source' is missing"),
    ("stage: train", "stage: trian", r":13: stages\.model\.stage: no stage kind 'trian'; did you mean 'train'\?"),
    (
        "{prepared: prepared}",
        "{prepared: raw_a}",
        r":14: .*'raw_a' is a stage of kind ingest; expected one of kind preprocess",
    ),
    ("{prepared: prepared}", "{prepared: preparde}", r":14: .*no stage 'preparde'; did you mean 'prepared'\?"),
    ("{prepared: prepared}", "{}", r":14: stages\.model\.inputs: the input 'prepared' is missing"),
    (
        "{prepared: prepared}",
        "{prepare: prepared}",
        r":14: .*the input 'prepared' is missing; a train stage needs prepared",
    ),
    (
        "first: 2000-02-01",
        "start: 2000-02-01",
        r":11: .*test\.start: unknown key 'start'; known are series, first, last",
    ),
    ("series: b, chunk", "series: c, chunk", r":22: stages\.forecast\.series: no series 'c'; known are a, b"),
    ("series: b, chunk", "series: [b, c], chunk", r":22: stages\.forecast\.series\.1: no series 'c'; known are a, b"),
    (
        "series: b, chunk",
        "series: [a, a], chunk",
        r":22: stages\.forecast\.series: series is \['a', 'a'\]; give at least one",
    ),
    ("series: b, chunk", "series: [b, 3], chunk", r":22: stages\.forecast\.series\.1: input should be a valid string"),
    ("{series: b, first", "{series: c, first", r":11: stages\.prepared\.splits\.test\.series: no series 'c'"),
    (
        "test: {series: b, first",
        "test: [{series: a}, {series: c}]  # {series: b, first",
        r":11: stages\.prepared\.splits\.test\.1\.series: no series 'c'",
    ),
    (
        "test: {series: b, first: 2000-02-01, last: 2000-04-10}",
        "test: [{series: b, start: 2000-02-01}]",
        r":11: stages\.prepared\.splits\.test\.0\.start: unknown key 'start'; known are series, first, last",
    ),
    (
        "test: {series: b, first: 2000-02-01, last: 2000-04-10}",
        "test: []",
        r":11: stages\.prepared\.splits\.test: test is an empty list; give at least one period",
    ),
    (
        "scores: {stage: evaluate,",
        "scores: {stage: evaluate, score: {regions: {tropics: {latitud: [0, 1]}}},",
        r":23: stages\.scores\.score\.regions\.tropics\.latitud: unknown key 'latitud'; did you mean 'latitude'\?",
    ),
    (
        "model: model}}\n  report",
        "model: model, brain: prepared}}\n  report",
        r":23: stages\.scores\.inputs\.brain: 'prepared' is a stage of kind preprocess; expected one of kind ingest",
    ),
    ("name: blobs", "name: a/b", r":1: name: is 'a/b'; give a word"),
    # what newcomers do
    ("    steps: 15", "\tsteps: 15", r":16: not YAML: found character .*; indent with spaces, not tabs"),
    ("    steps: 15", "     steps: 15", r":16: not YAML: .*; indent the keys of one mapping alike"),
    ("steps: 15", "steps:15", r":16: not YAML: .*; is a space missing behind a colon\?"),
    ("variable: warmth", "variable: warm: th", r":3: not YAML: .*; put a text with a colon in quotes"),
    ("variable: warmth", "variable: %warmth", r":3: not YAML: .*; put the text in quotes"),
    ("layers: 2", "layers: 2, drift: yes", r":15: .*drift: input .* boolean \(it is 'yes'\); write true or false"),
    ("steps: 15", "steps: '15'", r":16: .*steps: input .* integer \(it is '15'\); write it without quotes"),
    ("steps: 15", "steps: 1e3", r":16: .*steps: input .* integer \(it is 1000\.0\); write 1000"),
    ("steps: 15", "steps:", r":16: .*steps: input should be a valid integer \(it is empty\)"),
    ("steps: 15", "15: steps", r":12: stages\.model\.15: unknown key '15'; known are model, start, steps"),
    ("series: b, chunk", "series: 7, chunk", r":22: .*series: input .* string \(it is 7\); put it in quotes"),
    (
        "{series: b, first: 2000-02-01, last: 2000-04-10}",
        "b",
        r":11: .*test: input should be a mapping with keys such as series, first, last \(it is 'b'\)",
    ),
    ("stage: train", "stage: Train", r":13: .*no stage kind 'Train'; did you mean 'train'\?"),
    ("stage: train", "stage: [train]", r":12: stages\.model: must be a mapping with a key stage: one of ingest"),
    ("stage: train", "kind: train", r":12: stages\.model: lacks a key stage: one of ingest, preprocess"),
    ("  report: {", "report: {", r":24: report: unknown key 'report'; is it a stage\? Indent it below stages"),
    ("source: a.nc", "source: $DATA/a.nc", r":3: .*; a variable is mentioned as \$\{env\.DATA\}, and declared"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), WRONG, ids=[wrong for _, wrong, _ in WRONG])
def test_mistakes(recipe, right, wrong, message):
    text = recipe.read_text()
    assert right in text
    recipe.write_text(text.replace(right, wrong, 1))
    with pytest.raises(RecipeError, match=r"blobs\.yaml" + message):
        load(recipe)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("{a: raw_a, b: raw_b}", "{a: prepared, b: raw_b}", r"7: .*prepared\.inputs: .* cycle: prepared -> prepared;"),
        (
            "{a: raw_a, b: raw_b}",
            "{a: model, b: raw_b}",
            r"inputs: the inputs form a cycle: prepared -> model",
        ),
        ("{a: raw_a, b: raw_b}", "{a: scores, b: raw_b}", r"the inputs form a cycle: .*scores.*; take one out"),
    ],
)
def test_a_cycle_is_named(recipe, right, wrong, message):
    recipe.write_text(recipe.read_text().replace(right, wrong, 1))
    with pytest.raises(RecipeError, match=message):
        load(recipe)


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "just words"])
def test_not_a_recipe(tmp_path, content):
    (tmp_path / "r.yaml").write_text(content)
    with pytest.raises(RecipeError, match=r"r\.yaml: a recipe is a mapping with the keys name and stages"):
        load(tmp_path / "r.yaml")


@pytest.mark.parametrize("content", ["stages:\n", "name: a\nstages:\n  m:\n", "name: a\nstages: 3\n"])
def test_changes_to_a_recipe_that_is_not_whole(tmp_path, content):
    (tmp_path / "r.yaml").write_text(content)
    with pytest.raises(RecipeError):
        load(tmp_path / "r.yaml", ["m.steps=1"])


def test_no_such_recipe(tmp_path):
    (tmp_path / "blobs.yaml").touch()
    with pytest.raises(RecipeError, match=r"blob\.yaml: No such file or directory; did you mean 'blobs\.yaml'\?"):
        load(tmp_path / "blob.yaml")
    with pytest.raises(RecipeError, match=r"recipe of this name that comes with Chronovox is .*climate_forecast\.yaml"):
        load(Path("climate_forecast"))
    with pytest.raises(RecipeError, match="No such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(RecipeError, match=r"not a text file|not YAML"):
        load(tmp_path / "r.yaml")


def test_changes(recipe):
    workflow = load(recipe, ["forecast.chunk=5", "model.model.layers=3", "prepared.splits.test.last=2000-04-01"])
    assert workflow.stages["forecast"].settings.chunk == 5
    assert workflow.stages["model"].settings.model.layers == 3
    assert workflow.stages["prepared"].settings.splits.test.last == "2000-04-01"


def test_changes_within_lists_and_what_they_made(recipe):
    recipe.write_text(
        recipe.read_text()
        .replace("validation: {series: a", "validation: [{series: b}, {series: a")
        .replace("04-20}", "04-20}]")
    )
    changes = ["prepared.splits.validation.1.last=2000-04-18", "model.start={ridge: 1.0}", "model.start.level=0.5"]
    workflow = load(recipe, [*changes, "name=trial"])
    assert workflow.name == "trial"
    assert workflow.stages["prepared"].settings.splits.validation[1].last == "2000-04-18"
    start = workflow.stages["model"].settings.start
    assert (start.ridge, start.level) == (1.0, 0.5)


def test_a_boolean_with_an_anchor(recipe):
    recipe.write_text(recipe.read_text().replace("layers: 2", "layers: 2, drift: &yes true, norm: *yes"))
    model = load(recipe).stages["model"].settings.model
    assert (model.drift, model.norm) == (True, True)


def test_a_change_leaves_alone_what_shares_its_anchor(recipe):
    text = recipe.read_text().replace("train: {series", "train: &t {series")
    recipe.write_text(text.replace("validation: {series: a, first: 2000-04-01, last: 2000-04-20}", "validation: *t"))
    splits = load(recipe, ["prepared.splits.validation.last=2000-04-20"]).stages["prepared"].settings.splits
    assert (splits.validation.last, splits.train.last) == ("2000-04-20", "2000-03-30")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("forecast.chnk=5", "unknown key 'chnk'; did you mean 'chunk'"),
        ("forcast.chunk=5", "no stage 'forcast'; did you mean 'forecast'"),
        ("forecast.chunk", "write STAGE.KEY=VALUE"),
        ("chunk=5", "write STAGE.KEY=VALUE"),
        ("forecast.chunk=[", "the value is not YAML"),
        ("prepared.splits.test.last=2000-02-31", "the value is not YAML"),
        ("forecast.chunk=\x07", "the value is not YAML"),
        ("forecast.chunk.deep=1", "'chunk' has no keys of its own"),
        (
            "model.steps=x",
            r"^--set model\.steps=x: stages\.model\.steps: input should be a valid integer \(it is 'x'\)$",
        ),
        ("model.curriculum.0.window=3", r"^--set model\.curriculum\.0\.window=3: .*curriculum: input should be a list"),
        ("forecast.series=[b, c]", r"^--set forecast\.series=\[b, c\]: .*no series 'c'"),
        ("environment.DATA=x", "set the variable itself, as in `DATA=x chronovox"),
    ],
)
def test_wrong_changes(recipe, change, message):
    with pytest.raises(RecipeError, match=message):
        load(recipe, [change])


def test_a_change_beyond_a_list(recipe):
    recipe.write_text(recipe.read_text().replace("series: b, chunk", "series: [a, b], chunk"))
    assert load(recipe, ["forecast.series.1=a", "forecast.series.0=b"]).stages["forecast"].settings.series == ("b", "a")
    with pytest.raises(RecipeError, match=r"^--set forecast\.series\.2=c: '2' is no number from 0 to 1"):
        load(recipe, ["forecast.series.2=c"])
