"""Mixers compared on one recipe's data: what is trained, what of the recipe's run is taken over, what is refused."""

import json
import math
from dataclasses import replace
from pathlib import Path
from shutil import copytree, rmtree

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.compare import Curve
from pipeline.network.settings import ModelSettings
from pipeline.network.sizing import of_size, with_mixer
from pipeline.section import SECTION
from pipeline.volume import InputError
from ssm_ops.mixers.catalogue import MIXERS
from workflows.cli import app, exit_code
from workflows.comparison import Comparison, of_equal_time
from workflows.foresight.models import parameters_on
from workflows.language.load import load
from workflows.plan import SUCCESS

PARALLEL = ("--set", "model.data_parallel=2", "--set", "model.batch=2")


def compared(recipe, *arguments):
    told = ["--runs", str(recipe.parent / "runs"), "--executor", "local"]
    return CliRunner().invoke(app, ["compare", str(recipe), *told, *arguments])


@pytest.fixture(scope="module")
def recipe(finished_run, tmp_path_factory):
    """The small recipe, and of its finished run the stages of data."""
    folder, own = tmp_path_factory.mktemp("compared"), finished_run["raw_a"].parent
    for name in ("a.nc", "b.nc", "blobs.yaml"):
        (folder / name).write_bytes((own.parents[1] / name).read_bytes())
    for stage in ("raw_a", "raw_b", "prepared"):
        copytree(finished_run[stage], folder / "runs" / "blobs" / finished_run[stage].name)
    return folder / "blobs.yaml"


def test_a_comparison_goes_on_from_the_data_of_the_recipes_run(recipe):
    asked = ("--mixers", "gru", "--seeds", "3", "--equal", "nothing", "--set", "model.steps=2")
    done = compared(recipe, *asked)
    assert done.exit_code == 0, done.output
    run = recipe.parent / "runs" / "blobs-compare"
    assert "raw_a, raw_b, prepared: taken from the run blobs" in done.output
    for stage in ("raw_a", "raw_b", "prepared"):
        assert next(run.glob(f"{stage}-*")).is_symlink()
    (own,) = json.loads(next(run.glob("compared-*/compared.json")).read_text())["models"].values()
    (scores,) = (json.loads(path.read_text()) for path in run.glob("scores-gru-3-*/scores.json"))
    assert own["test"]["mse"] == [scores["model.mse"]]
    again = compared(recipe, *asked).output
    assert "started" not in again
    assert again.count("prepared: finished before") == 2  # of the data, and of what is measured on them


@pytest.mark.slow
def test_models_of_equal_size_and_time(recipe):
    asked = ("--mixers", "convssm,gru", "--seeds", "4", "--equal", "both", "--rates", "1,0.001,1e30")
    asked = (*asked, "--set", "model.steps=4", "--set", "model.spike=null")
    done = compared(recipe, *asked)
    assert done.exit_code == 0, done.output
    assert "gru: a rate of 1e+30 is too high for it, training diverged" in done.output
    assert done.output.count("learning rate 0.001") == 2
    assert "learning rates chosen: convssm " in done.output
    run = recipe.parent / "runs" / "blobs-compare"
    folder = max(run.glob("compared-*"), key=lambda path: path.stat().st_mtime)
    found = json.loads((folder / "compared.json").read_text())
    assert list(found["models"]) == ["convssm", "gru"]
    counts = [own["parameters"] for own in found["models"].values()]
    assert counts[1] == pytest.approx(counts[0], rel=0.15)  # a very small one
    for name, own in found["models"].items():
        folders = [one.parent for one in run.glob(f"model-{name}-4-*/SUCCESS")]
        manifests = [json.loads((one / "manifest.json").read_text()) for one in folders]
        assert {one["settings"]["model"]["mixer"] for one in manifests} == {name}
        assert {one["settings"]["seed"] for one in manifests} == {4}
        tried = {
            one["settings"]["learning_rate"]: min(Curve.of(folder).errors)
            for one, folder in zip(manifests, folders, strict=True)
        }
        assert set(tried) == {1.0, 0.001}
        assert own["note"].endswith(f"rate {min(tried, key=tried.get):g}")
        assert {one["settings"]["steps"] for one in manifests} == {own["steps"]}
        scores = [json.loads((one / "scores.json").read_text()) for one in sorted(run.glob(f"scores-{name}-4-*"))]
        assert own["test"]["mse"] == [one["model.mse"] for one in scores]
        assert own["test"]["mean"]["mean"] == pytest.approx(np.mean(own["test"]["mse"]))
    first, other = (own["seconds_a_step"] * own["steps"] for own in found["models"].values())
    assert other == pytest.approx(first, rel=0.5 / min(own["steps"] for own in found["models"].values()) + 0.05)
    page = (folder / SECTION).read_text()
    assert f"{found['models']['gru']['test']['mean']['mean']:.4f}" in page
    assert "data:image/png;base64," in page
    assert (folder / "compared.csv").read_text().count("\n") == 3
    again = compared(recipe, *asked)
    assert again.output.count("started") == 2  # the two that diverged are tried again


@pytest.mark.parametrize("mixer", [name for name in MIXERS if name != "convssm"])
def test_models_are_made_as_large_as_the_recipes(recipe, finished_run, mixer):
    training = load(recipe).stages["model"].settings
    count = parameters_on(finished_run["prepared"], training)
    wanted = ModelSettings(channels=10, states=12)
    found = of_size(with_mixer(wanted, mixer), count(wanted), count)
    assert found.mixer == mixer
    assert count(found) == pytest.approx(count(wanted), rel=0.1)


@pytest.mark.parametrize(("steps", "every", "looks"), [(15, 5, 3), (60, 25, 3), (4, 1, 4)])
def test_as_many_steps_as_take_the_same_time(recipe, steps, every, looks):
    training = replace(load(recipe).stages["model"].settings, steps=steps, validate_every=every)
    paces = {"a": {"seconds_a_step": 0.2}, "b": {"seconds_a_step": 0.1}, "c": {"seconds_a_step": 0.35}}
    found = of_equal_time(dict.fromkeys(paces, training), paces, "a")
    assert found["a"] == training
    assert found["b"].steps == 2 * steps
    assert found["c"].steps == round(0.2 * steps / 0.35)
    for one in found.values():  # the last step is looked at whatever its number
        assert math.ceil(one.steps / one.validate_every) <= looks


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--mixers", "gruu"), "mixer is 'gruu', which is none; did you mean gru"),
        (("--mixers", "gru,gru"), "mixers are gru, gru; give at least one, each once"),
        (("--mixers", "gru", "--seeds", "1,1"), "seeds are 1, 1; give at least one, each once"),
        (("--mixers", "gru", "--seeds=-1"), "seed is -1; give 0 or more"),
        (("--mixers", "gru", "--rates", "0.1,0"), "learning_rate is 0.0; give a positive number"),
        (("--mixers", "gru", "--set", "model.start={}"), "stage 'model' has a start by least squares"),
        (("--mixers", "gru", "--set", "model.time_parallel=2"), "time_parallel is 2 with mixer 'gru'"),
        (("--mixers", "gru", *PARALLEL), "training 'gru' has 2 workers, and paces are those of one"),
        (("--mixers", "s5,gru", "--set", "forecast.carry_tolerance=0.1"), "has a carry tolerance, which gru cannot"),
    ],
)
def test_mistakes(recipe, arguments, message):
    done = compared(recipe, *arguments)
    assert isinstance(done.exception, InputError), done.output
    assert message in str(done.exception)
    assert exit_code(done.exception) == 2


def test_a_comma_too_many(recipe):
    done = compared(recipe, "--mixers", "gru,")
    assert done.exit_code == 2
    assert "comma with nothing beside it" in " ".join(done.output.replace("│", " ").split())


def test_a_stage_with_the_name_of_an_added_one_is_refused(recipe):
    other = recipe.with_name("pace.yaml")
    other.write_text(recipe.read_text().replace("  prepared:", "  pace:").replace(": prepared", ": pace"))
    with pytest.raises(InputError, match="stage 'pace' has the name of one that a comparison adds; rename it"):
        Comparison(load(other), ("gru",), (0,))


def test_links_to_what_is_gone_are_taken_away(recipe, tmp_path):
    comparison = Comparison(load(recipe), ("gru",), (0,))
    for stage in ("raw_a", "prepared"):
        (own,) = (recipe.parent / "runs" / "blobs").glob(f"{stage}-*")
        copytree(own, tmp_path / "blobs" / own.name)
    assert comparison.take_over(tmp_path) == ["raw_a", "prepared"]
    links = [path for path in (tmp_path / "blobs-compare").iterdir() if path.is_symlink()]
    assert len(links) == 2
    rmtree(links[0].resolve())
    (links[1].resolve() / SUCCESS).unlink()
    assert comparison.take_over(tmp_path) == []
    assert not any(link.is_symlink() for link in links)  # or the run could not make these stages


def test_a_rate_is_chosen_among_errors_that_are_numbers(recipe, tmp_path):
    comparison, folders = Comparison(load(recipe), ("gru",), (0,)), {}
    for rate, errors in {0.1: ["NaN", "3.0"], 0.2: ["2.0", "NaN"], 0.3: ["NaN"]}.items():
        folder = tmp_path / str(rate)
        folder.mkdir()
        records = [f'{{"step": {n}, "validation_mse": {error}}}\n' for n, error in enumerate(errors)]
        (folder / "history.jsonl").write_text("".join(records))
        (folder / "timing.jsonl").write_text("")
        folders[rate] = {"model-gru-0": folder}
    trainings = comparison.trainings(None)
    assert comparison.with_best_rates(trainings, folders | {0.4: {}})["gru"].learning_rate == 0.2
    with pytest.raises(InputError, match="gru diverged with each of the learning rates 0.3, 0.4; try smaller"):
        comparison.with_best_rates(trainings, {0.3: folders[0.3], 0.4: {}})


def test_a_recipe_with_several_trainings_is_refused(recipe):
    text = recipe.read_text().replace("seed: 0", "seed: ${seed}")
    several = recipe.with_name("several.yaml")
    several.write_text(
        text if "${seed}" in text else text.replace("stage: train\n", "stage: train\n    seed: ${seed}\n")
    )
    several.write_text(several.read_text().replace("stages:\n", "matrix: {seed: [0, 1]}\nstages:\n", 1))
    with pytest.raises(InputError, match="has 2 stages 'train' .model-0, model-1.; write one like that"):
        Comparison(load(Path(several)), ("gru",), (0,))
