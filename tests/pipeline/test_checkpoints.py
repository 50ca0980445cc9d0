"""Checkpoints: the last few stay, whoever is killed when; a damaged one is told, and the one before it used."""

import dataclasses
import shutil

import numpy as np
import pytest
import xarray as xr

from pipeline.checkpoint import Checkpoint
from pipeline.storage import atomic
from pipeline.training import checkpoints
from pipeline.training.checkpoints import Checkpoints
from pipeline.volume import InputError
from tests.pipeline.training_runs import TINY, left_by, records, stopped, trained


class Killed(BaseException):
    pass


def kill(*_, **__):
    raise Killed


def one(step, value=0.0):
    arrays = {"encoder.weight": np.full((2, 3), value, np.float32), "decoder.bias": np.arange(4.0, dtype=np.float32)}
    return Checkpoint(step, {"depth": 1}, arrays, {}, arrays, {"mean": np.zeros(1)}, 0.5, norms=np.arange(3.0))


@pytest.fixture(scope="module")
def averaged(finished_run, tmp_path_factory):
    """A training with averaged weights that nothing interrupted."""
    folder = tmp_path_factory.mktemp("averaged") / "whole"
    trained(dataclasses.replace(TINY, ema=0.9), finished_run["prepared"], folder)
    return folder


@pytest.mark.slow
def test_averaged_weights_are_the_model_and_continue_to_the_bit(finished_run, averaged, tmp_path):
    settings, prepared = dataclasses.replace(TINY, ema=0.9), finished_run["prepared"]
    stopped(settings, prepared, tmp_path / "broken", at=6)
    assert trained(settings, prepared, tmp_path / "broken")[0].done == 4
    assert left_by(tmp_path / "broken") == left_by(averaged)
    trained(TINY, prepared, tmp_path / "plain")
    plain, made = (Checkpoint.load(folder / "checkpoint.zarr") for folder in (tmp_path / "plain", averaged))
    assert {name: a.tobytes() for name, a in made.weights.items()} == {n: a.tobytes() for n, a in plain.weights.items()}
    assert made.best_error != plain.best_error
    assert records(averaged)[-1] == {"step": TINY.steps, "validation_mse": made.best_error}  # the last was the best
    for name, mean in made.average.items():
        np.testing.assert_array_equal(made.best[name], mean.astype(np.float32))


def test_the_store_is_one_that_xarray_opens(averaged):
    made = Checkpoint.load(averaged / "checkpoint.zarr")
    with xr.open_zarr(averaged / "checkpoint.zarr", consolidated=False) as opened:
        for group in ("weights", "optimiser", "best", "statistics", "average"):
            assert getattr(made, group)
            for name, array in getattr(made, group).items():
                np.testing.assert_array_equal(opened[f"{group}.{name}"].values, array)
        assert opened.attrs["step"] == TINY.steps


def test_weights_from_before_other_mixers_are_read(tmp_path):
    named = {"blocks.0.ssm.B": np.ones((2, 3), np.float32), "encoder.weight": np.zeros(4, np.float32)}
    dataclasses.replace(one(5), weights=named, best=named).save(tmp_path / "checkpoint.zarr")
    read = Checkpoint.load(tmp_path / "checkpoint.zarr")
    assert set(read.weights) == set(read.best) == {"blocks.0.mixer.B", "encoder.weight"}


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_last_few_stay(tmp_path, keep):
    folder = Checkpoints(tmp_path, keep)
    for step in range(0, 50, 10):
        folder.save(one(step))
        assert folder.steps() == list(range(0, step + 1, 10))[-keep:]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"step-{s:08d}.zarr" for s in range(50 - 10 * keep, 50, 10)
    ]


@pytest.mark.parametrize("where", ["write", "rename", "remove"])
def test_a_kill_between_loses_nothing(tmp_path, monkeypatch, where):
    folder = Checkpoints(tmp_path, 1)
    folder.save(one(1, 1.0))
    with monkeypatch.context() as patch:
        if where == "write":
            patch.setattr(checkpoints.Checkpoint, "save", kill)
        elif where == "rename":
            patch.setattr(checkpoints.os, "replace", removing_alone(checkpoints.os.replace))
        else:
            patch.setattr(checkpoints.shutil, "rmtree", part_of(shutil.rmtree))
        with pytest.raises(Killed):
            folder.save(one(2, 2.0))
    newest, told = folder.newest()
    assert (newest.step, told) == (1 if where == "write" else 2, "")
    folder.save(one(3, 3.0))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003.zarr"]


def removing_alone(replace):
    return lambda old, new: kill() if str(new).endswith(".removed") else replace(old, new)


def part_of(rmtree):
    """Removes a part of what is removed for good, and is killed."""

    def remove(path, **options):
        if str(path).endswith(".removed"):
            (path / "zarr.json").unlink()
            kill()
        rmtree(path, **options)

    return remove


def test_a_checkpoint_is_replaced_without_a_moment_without_it(tmp_path, monkeypatch):
    """Where names can be exchanged; there a kill right after leaves both."""
    folder = Checkpoints(tmp_path, 2)
    folder.save(one(1, 1.0))
    if not atomic._exchange(tmp_path, tmp_path):
        pytest.skip("this system cannot exchange names")
    seen = []
    exchange = atomic._exchange
    monkeypatch.setattr(atomic, "_exchange", lambda new, path: seen.append(path.exists()) or exchange(new, path))
    folder.go_back(one(1, 2.0))
    assert seen == [True]
    assert folder.newest()[0].weights["encoder.weight"][0, 0] == 2.0
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.zarr"]


def cut_short(path):
    (chunk,) = (file for file in (path / "weights.encoder.weight" / "c").rglob("*") if file.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-3])


def missing(path):
    shutil.rmtree(path / "weights.encoder.weight" / "c")


def other_values(path):
    """Whole and readable, but not what was written."""
    shutil.rmtree(path / "weights.encoder.weight")
    other = path.parent / "other"
    one(0, 9.0).save(other)
    shutil.move(other / "weights.encoder.weight", path)
    shutil.rmtree(other)


def no_description(path):
    (path / "zarr.json").write_text("{")


def another_step(path):
    text = (path / "zarr.json").read_text()
    (path / "zarr.json").write_text(text.replace('"step": 2', '"step": 3'))


DAMAGES = [
    (cut_short, "cannot be read as a checkpoint|the digest of weights.encoder.weight is"),
    (missing, "the digest of weights.encoder.weight is"),
    (other_values, "the digest of weights.encoder.weight is"),
    (no_description, "cannot be read as a checkpoint: JSONDecodeError"),
    (another_step, "the digest of its attributes is"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
def test_a_damaged_one_is_told_and_the_one_before_it_used(tmp_path, damage, words):
    folder = Checkpoints(tmp_path, 2)
    folder.save(one(1, 1.0)), folder.save(one(2, 2.0))
    damage(folder.path(2))
    with pytest.raises(InputError, match=words):
        Checkpoint.load(folder.path(2))
    newest, told = folder.newest()
    assert newest.step == 1
    assert "step-00000002.zarr" in told
    assert told.endswith("; step-00000001.zarr is used instead")
    damage(folder.path(1)) if damage is not another_step else shutil.rmtree(folder.path(1))
    newest, told = folder.newest()
    assert newest is None
    assert told.endswith("; none before is there, so training begins anew")


def test_training_goes_on_from_the_one_before(finished_run, averaged, tmp_path):
    settings, prepared = dataclasses.replace(TINY, ema=0.9), finished_run["prepared"]
    stopped(settings, prepared, tmp_path / "broken", at=10)
    shutil.rmtree(tmp_path / "broken" / "step-00000008.zarr" / "weights.encoder.weight")
    first, *_ = trained(settings, prepared, tmp_path / "broken")
    assert first.done == 4
    assert "step-00000008.zarr is damaged" in first.line
    assert "step-00000004.zarr is used instead" in first.line
    assert left_by(tmp_path / "broken") == left_by(averaged)


def test_the_one_that_is_gone_on_from_outlives_damaged_ones(tmp_path):
    for step in (10, 20, 30):
        one(step, 1.0).save(Checkpoints(tmp_path, 2).path(step))
    for step in (20, 30):
        cut_short(Checkpoints(tmp_path, 2).path(step))
    found, _ = Checkpoints(tmp_path, 2).newest()
    Checkpoints(tmp_path, 2).prune(needed=found.step)
    again, told = Checkpoints(tmp_path, 2).newest()
    assert again.step == 10
    assert "step-00000010.zarr is used instead" in told


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match="is no Zarr store; give a checkpoint that train wrote"):
        Checkpoint.load(tmp_path / "none.zarr")
