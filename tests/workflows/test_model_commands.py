"""Models as safetensors and back: the same bytes, the same forecasts to the bit; and how mistakes end."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from pipeline.checkpoint import Checkpoint, to_arrays
from pipeline.model import Forecaster
from pipeline.network.settings import ModelSettings
from workflows.cli import app, exit_code


def run(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


def write_checkpoint(path):
    torch.manual_seed(3)
    settings = ModelSettings(channels=3, states=4, transition="pointwise", selective=True)
    model = Forecaster(settings, volume_channels=2, boundary=("reflect", "periodic", "reflect"), depth=3, masks=1)
    with torch.no_grad():
        model.decoder.weight.normal_(std=0.1)
    weights = to_arrays(model.state_dict())
    statistics = {"mean": np.random.default_rng(0).normal(size=(2, 3, 1, 1)), "count": np.ones((2, 1, 1, 1), np.int64)}
    best = {name: array * np.float32(1.1) for name, array in weights.items()}
    made = Checkpoint(7, model.description(), weights, {}, best, statistics, 0.25, {"periods": [{"series": "a"}]})
    made.save(path)
    return made


@pytest.fixture
def exported(tmp_path):
    made = write_checkpoint(tmp_path / "checkpoint.zarr")
    done = run("export-model", tmp_path, tmp_path / "model.safetensors")
    assert done.exit_code == 0, done.output
    assert "arrays, the best of 7 steps (validation error 0.25), 2 statistics" in done.stdout
    return made


def test_there_and_back_forecasts_to_the_bit(exported, tmp_path):
    done = run("import-model", tmp_path / "model.safetensors", tmp_path / "back.zarr")
    assert done.exit_code == 0, done.output
    back = Checkpoint.load(tmp_path / "back.zarr")
    frames = torch.randn(9, 3, 3, 5, 6)
    ours, theirs = back.best_model()(frames)[0], exported.best_model()(frames)[0]
    assert ours.numpy().tobytes() == theirs.numpy().tobytes()
    for name in ("best", "statistics"):
        found, expected = getattr(back, name), getattr(exported, name)
        assert {n: (a.dtype, a.shape, a.tobytes()) for n, a in found.items()} == {
            n: (a.dtype, a.shape, a.tobytes()) for n, a in expected.items()
        }
    for name in ("step", "description", "best_error", "learned_from"):
        assert getattr(back, name) == getattr(exported, name)
    again = tmp_path / "again.safetensors"
    assert run("export-model", tmp_path / "back.zarr", again).exit_code == 0
    assert again.read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_other_programs_find_weights_by_the_names_of_the_state(exported, tmp_path):
    found = load_file(tmp_path / "model.safetensors")
    assert {n.removeprefix("weights.") for n in found if n.startswith("weights.")} == set(exported.best)
    np.testing.assert_array_equal(found["weights.encoder.weight"], exported.best["encoder.weight"])
    np.testing.assert_array_equal(found["statistics.mean"], exported.statistics["mean"])


def form_of_tomorrow(path):
    save_file({"a": np.zeros(2)}, path, metadata={"chronovox_model": json.dumps({"form": 3})})


def without_its_step(path):
    save_file({"a": np.zeros(2)}, path, metadata={"chronovox_model": json.dumps({"form": 2})})


def with_half_its_json(path):
    save_file({"a": np.zeros(2)}, path, metadata={"chronovox_model": '{"form": 2, '})


def torn(path):
    path.write_bytes(path.read_bytes()[:-9])


def without_a_weight(path):
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    named = load_file(path)
    del named["weights.encoder.weight"]
    save_file(named, path, metadata=metadata)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (form_of_tomorrow, "is of form 3, and form 2 is read; export the model anew"),
        (without_its_step, "chronovox_model is damaged .KeyError, 'step'.; export the model anew"),
        (with_half_its_json, "chronovox_model is damaged .JSONDecodeError"),
        (torn, "cannot be read as a safetensors file"),
        (without_a_weight, "does not fit its own description.*encoder.weight"),
        (lambda path: save_file({"a": np.zeros(2)}, path), "has no chronovox_model in its metadata, only nothing"),
        (lambda path: path.unlink(), "cannot be read as a safetensors file: No such file"),
    ],
)
@pytest.mark.usefixtures("exported")
def test_a_file_that_is_no_model(tmp_path, spoil, words):
    spoil(tmp_path / "model.safetensors")
    refused(run("import-model", tmp_path / "model.safetensors", tmp_path / "back.zarr"), words)
    assert not (tmp_path / "back.zarr").exists()


def refused(done, words):
    import re

    assert exit_code(done.exception) == 2, done.exception
    assert re.search(words, str(done.exception), re.DOTALL), done.exception


@pytest.mark.usefixtures("exported")
def test_nothing_is_replaced_unasked(tmp_path):
    file = tmp_path / "model.safetensors"
    before = file.read_bytes()
    refused(run("export-model", tmp_path, file), "is there already; choose another name, or replace it")
    assert run("export-model", tmp_path, file, "--overwrite").exit_code == 0
    assert file.read_bytes() == before
    refused(run("import-model", file, tmp_path / "checkpoint.zarr"), "is there already; remove it")
    refused(run("export-model", tmp_path, tmp_path / "model.bin"), "ends in .bin; give a name that ends .safetensors")
    refused(run("export-model", tmp_path / "none", tmp_path / "b.safetensors"), "no file or folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.zarr", "model.safetensors"]
