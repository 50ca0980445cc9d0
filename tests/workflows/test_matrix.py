"""A matrix: the recipe with all stages written by hand, fingerprints included; every mistake is one message."""

import pytest
from ruamel.yaml import YAML

from tests.synthetic import write_recipe
from workflows.language.load import RecipeError, load
from workflows.language.matrix import Matrix
from workflows.plan import plan

WRITTEN_ONCE = """\
name: blobs
matrix:
  fold:
    - test: &early {series: b, first: 2000-02-01, last: 2000-02-20}
      validation: &late {series: b, first: 2000-03-01, last: 2000-03-20}
      train: [&a {series: a}]
    - {test: *late, validation: *early, train: [*a], name: second}
  seed: [3, 1]
stages:
  report: {stage: report, inputs: {scores: scores, prediction: forecast, prepared: prepared, model: model}}
  raw_a: {stage: ingest, source: a.nc, variable: warmth}
  raw_b: {stage: ingest, source: b.nc, variable: warmth}
  prepared:
    stage: preprocess
    inputs: {a: raw_a, b: raw_b}
    splits: {train: "${fold.train}", validation: "${fold.validation}", test: "${fold.test}"}
  model: {stage: train, inputs: {prepared: prepared}, seed: "${seed}", threads: 1}
  forecast: {stage: infer, inputs: {prepared: prepared, model: model}, series: ["${fold.test.series}"]}
  scores: {stage: evaluate, inputs: {prediction: forecast, prepared: prepared, model: model}}
  seeds: {stage: gather, inputs: {all: scores}, title: "from ${fold.validation.first}, ${fold.test.series}"}
  all: {stage: gather, inputs: {one: scores, another: scores-1-3}}
"""

FOLDS = {
    1: ("{series: b, first: 2000-02-01, last: 2000-02-20}", "{series: b, first: 2000-03-01, last: 2000-03-20}"),
    2: ("{series: b, first: 2000-03-01, last: 2000-03-20}", "{series: b, first: 2000-02-01, last: 2000-02-20}"),
}


def by_hand():
    """The same, every stage written out."""
    lines = ["name: blobs", "stages:"]
    lines += [f"  raw_{one}: {{stage: ingest, source: {one}.nc, variable: warmth}}" for one in "ab"]
    for fold, (test, validation) in FOLDS.items():
        splits = f"{{train: [{{series: a}}], validation: {validation}, test: {test}}}"
        inputs = f"prepared: prepared-{fold}"
        lines.append(f"  prepared-{fold}: {{stage: preprocess, inputs: {{a: raw_a, b: raw_b}}, splits: {splits}}}")
        for seed in (3, 1):
            own = f"{fold}-{seed}"
            lines.append(f"  model-{own}: {{stage: train, inputs: {{{inputs}}}, seed: {seed}, threads: 1}}")
            made = f"{inputs}, model: model-{own}"
            lines.append(f"  forecast-{own}: {{stage: infer, inputs: {{{made}}}, series: [b]}}")
            made += f", prediction: forecast-{own}"
            lines.append(f"  scores-{own}: {{stage: evaluate, inputs: {{{made}}}}}")
            lines.append(f"  report-{own}: {{stage: report, inputs: {{{made}, scores: scores-{own}}}}}")
        scores = f"{{all-3: scores-{fold}-3, all-1: scores-{fold}-1}}"
        title = f"from 2000-0{4 - fold}-01, b"
        lines.append(f"  seeds-{fold}: {{stage: gather, inputs: {scores}, title: '{title}'}}")
    every = [f"one-{own}: scores-{own}" for own in ("1-3", "1-1", "2-3", "2-1")]
    lines.append(f"  all: {{stage: gather, inputs: {{{', '.join(every)}, another: scores-1-3}}}}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def recipe(tmp_path):
    written = write_recipe(tmp_path, frames=8)
    written.write_text(WRITTEN_ONCE)
    return written


def test_all_stages_are_those_written_by_hand(recipe, tmp_path):
    repeated = load(recipe)
    recipe.write_text(by_hand())
    written = load(recipe)
    assert repeated.stages == written.stages
    assert list(repeated.stages["all"].inputs) == list(written.stages["all"].inputs), "in this order"
    one, other = ({stage.folder for stage in plan(workflow, tmp_path)} for workflow in (repeated, written))
    assert one == other
    assert len(one) == 2 + 2 + 4 * 4 + 2 + 1


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ("[3, 0]", "3 0"),
        ("[true, 2]", "1 2"),
        ("[a, b_2]", "a b_2"),
        ("[0.5, 1]", "1 2"),
        ("[a, -1]", "1 2"),
        ("[[3], {a: 1}]", "1 2"),
    ],
)
def test_names_have_words_or_numbers_of_values(values, labels):
    assert Matrix(YAML(typ="rt").load(f"key: {values}")).labels["key"] == labels.split()


def test_changes_reach_all_repetitions_and_the_matrix(recipe):
    workflow = load(recipe, ["model.steps=7", "matrix.seed=[3]"])
    assert {name: stage.settings.steps for name, stage in workflow.stages.items() if stage.kind.name == "train"} == {
        "model-1-3": 7,
        "model-2-3": 7,
    }
    with pytest.raises(RecipeError, match=r"--set model-1-3\.steps=7: no stage 'model-1-3'; did you mean 'model'\?"):
        load(recipe, ["model-1-3.steps=7"])


WRONG = [
    ("${seed}", "${sed}", r":17: stages\.model\.seed: the matrix has no key 'sed'; did you mean 'seed'\?"),
    ("${seed}", "${seed", r":17: stages\.model\.seed: '\$\{seed' is no mention; write \$\{KEY\} or \$\{KEY\.NAME\}"),
    ("${seed}", "one ${seed}", r":17: stages\.model-1-3\.seed: input should be a valid integer \(it is 'one 3'\)"),
    ("seed: [3, 1]", "seed: [3, x]", r":17: stages\.model-1-x\.seed: input should be a valid integer \(it is 'x'\)"),
    (
        "${fold.train}",
        "${fold.trian}",
        r":16: .*train: \$\{fold\.trian\}: value 1 of 'fold' has no 'trian'; did you .* 'train'",
    ),
    (
        "${fold.train}",
        "${fold.name}",
        r":16: .*train: \$\{fold\.name\}: value 1 of 'fold' has no 'name'; known are test",
    ),
    ("${fold.train}", "${fold.train.x}", r":16: .*: value 1 of 'fold' has no 'x'; none is known here"),
    (
        'title: "from',
        'title: "${fold} from',
        r":20: .*title: \$\{fold\} is \{.*\}, and only texts and numbers fit within a text",
    ),
    (
        "{series: a}]",
        "{seris: a}]",
        r":6: stages\.prepared-1\.splits\.train\.0\.seris: unknown key 'seris'; did you mean 'series'",
    ),
    ("last: 2000-02-20", "last: [2]", r":4: stages\.prepared-1\.splits\.test\.last: "),
    (
        "{series: a}]",
        "{series: c}]",
        r":6: stages\.prepared-1\.splits\.train\.0\.series: no series 'c'; known are a, b",
    ),
    ("threads: 1", "thraeds: 1", r":17: stages\.model-1-3\.thraeds: unknown key 'thraeds'; did you mean 'threads'"),
    (
        "model: model}, series",
        "model: modle}, series",
        r":18: stages\.forecast-1\.inputs\.model: no stage 'modle'; did you mean 'model'\?",
    ),
    (
        "{all: scores}",
        "{all: model}",
        r":20: stages\.seeds-1\.inputs\.all-3: 'model-1-3' is a stage of kind train; expected one of kind evaluate",
    ),
    (
        "prediction: forecast, prepared",
        "prediction: seeds, prepared",
        r":10: .*prediction: 'seeds-1' is a stage of kind gather",
    ),
    (
        "{prepared: prepared}",
        "{prepared: scores}",
        r":17: .*inputs: the inputs form a cycle: .*-1-3.*; take one out",
    ),
    (
        "model: model}, series",
        'model: "model-${seed}"}, series',
        r":18: .*model: inputs name stages as they are written; a repetition is",
    ),
    (
        "  model: {stage",
        "  model-1-3: {stage: ingest, source: a.nc}\n  model: {stage",
        r":18: stages\.model: two stages, .* 'model-1-3'; rename",
    ),
    (
        "  all: {",
        '  "all-${seed}": {',
        r":21: stages\.all-\$\{seed\}: is no name for a stage",
    ),
    ('seed: "${seed}"', "seed: ${seed}", r":17: not YAML: .*; within braces put \$\{\.\.\.\} in quotes"),
    ("{prepared: prepared}", '{"${seed}": prepared}', r":17: .*'\$\{seed\}' is a name, and names cannot be mentions"),
    ("seed: [3, 1]", "seed: [3, 1, 3]", r":8: matrix\.seed\.2: has 3 twice; give each value once"),
    ("seed: [3, 1]", "seed: []", r":8: matrix\.seed: is \[\]; give a list of values"),
    ("seed: [3, 1]", "seed: 3", r":8: matrix\.seed: is 3; give a list of values"),
    (
        "seed: [3, 1]",
        'seed: ["${fold}"]',
        r":8: matrix\.seed\.0: '\$\{fold\}' mentions a key within the matrix; write the value out",
    ),
    (
        "seed: [3, 1]",
        "seed: [3, 1]\n  rate: [1]",
        r":9: matrix\.rate: no stage mentions \$\{rate\}; mention it in a setting, or take it out",
    ),
    (
        "seed: [3, 1]",
        "seed: [3, 1]\n  a-b: [1]",
        r":9: matrix\.a-b: 'a-b' is no name for a key; use letters, digits and _",
    ),
    (
        "seed: [3, 1]",
        f"seed: {list(range(130))}",
        r":2: matrix: the recipe has 1047 stages, and 1000 at most; give fewer values",
    ),
]


@pytest.mark.parametrize(("right", "wrong", "message"), WRONG, ids=[wrong[:40] for _, wrong, _ in WRONG])
def test_mistakes(recipe, right, wrong, message):
    text = recipe.read_text()
    assert right in text
    recipe.write_text(text.replace(right, wrong, 1))
    with pytest.raises(RecipeError, match=r"blobs\.yaml" + message):
        load(recipe)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ("", r":7: .*chunk: the recipe has no matrix, and so no 'size'; none is known here"),
        ("matrix: [1]\n", r":2: matrix: must map names to lists of values"),
        ("matrix:\n", r":2: matrix: must map names to lists of values"),
        ("matrx: {size: [1]}\n", r":2: matrx: unknown key 'matrx'; did you mean 'matrix'\?"),
    ],
)
def test_no_matrix(recipe, matrix, message):
    stages = "stages:\n  raw:\n    stage: ingest\n    source: a.nc\n    chunk: ${size}\n"
    recipe.write_text(f"name: blobs\n{matrix}{stages}" if matrix else f"name: blobs\n\n{stages}")
    with pytest.raises(RecipeError, match=r"blobs\.yaml" + message):
        load(recipe)
