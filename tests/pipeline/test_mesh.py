"""Training on meshes of processes: the losses and weights of one worker, and the same bits when it is continued."""

import dataclasses
import json

import numpy as np
import pytest

from cluster import LocalExecutor
from pipeline import checkpoint
from pipeline.mesh import share_of
from pipeline.network.settings import ModelSettings
from pipeline.progress import Progress
from pipeline.train import train_as_member
from pipeline.training.settings import TrainSettings
from pipeline.volume import InputError
from workflows.model_stages import on_a_mesh

SMALL = TrainSettings(
    model=ModelSettings(channels=3, states=4), steps=6, window=24, burn_in=4, batch=2, validate_every=3,
    checkpoint_every=3, threads=1, learning_rate=3e-3, warm_up=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def prepared(finished_run):
    return {"prepared": finished_run["prepared"]}


def train(settings, prepared, folder, *, stop_after=None):
    folder.mkdir(exist_ok=True)
    told = []
    running = on_a_mesh(settings, prepared, folder, LocalExecutor(silence=60.0))
    for progress in running:
        told.append(progress)
        if progress.done == stop_after:
            running.close()
    return told


def mesh(data, time, **others):
    return dataclasses.replace(SMALL, data_parallel=data, time_parallel=time, **others)


def reached(folder):
    """Losses, validation errors, weights."""
    records = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    weights = checkpoint.Checkpoint.load(folder / "checkpoint.zarr").weights
    return [record.get("loss", record.get("validation_mse")) for record in records], weights


def difference(folder, other):
    (losses, weights), (their_losses, their_weights) = reached(folder), reached(other)
    assert len(losses) == len(their_losses)
    start = np.linalg.norm(np.concatenate([w.ravel() for w in their_weights.values()]))
    gap = np.linalg.norm(np.concatenate([(weights[n] - their_weights[n]).ravel() for n in their_weights]))
    return max(np.max(np.abs(np.divide(losses, their_losses) - 1)), gap / start)


@pytest.fixture(scope="module")
def alone(prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    told = train(SMALL, prepared, folder)
    assert [progress.done for progress in told] == list(range(7))
    return folder


@pytest.mark.slow
def test_two_along_time_give_the_losses_and_weights_of_one_worker(prepared, alone, tmp_path):
    told = train(mesh(1, 2, recompute=5), prepared, tmp_path / "two")
    assert [progress.done for progress in told] == list(range(7))
    assert isinstance(told[0], Progress)
    assert difference(tmp_path / "two", alone) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("data", "time"), [(1, 2), (2, 1)])
def test_a_mesh_stopped_and_continued_is_the_same_to_the_bit(prepared, alone, tmp_path, data, time):
    settings = mesh(data, time)
    train(settings, prepared, tmp_path / "whole")
    assert difference(tmp_path / "whole", alone) < 1e-5
    train(settings, prepared, tmp_path / "broken", stop_after=5)
    assert train(settings, prepared, tmp_path / "broken")[0].done == 3
    assert (tmp_path / "whole" / "history.jsonl").read_text() == (tmp_path / "broken" / "history.jsonl").read_text()
    (_, whole), (_, broken) = reached(tmp_path / "whole"), reached(tmp_path / "broken")
    assert all(whole[name].tobytes() == broken[name].tobytes() for name in whole)


@pytest.mark.slow
@pytest.mark.parametrize(("data", "time"), [(1, 2), (2, 1)])
def test_a_mesh_goes_back_as_one_worker_does(prepared, tmp_path, data, time):
    """The first step is far too large; the ones after it went back are not. Stopped after that or not."""
    wild = {"learning_rate": 1e30, "clip": 1e30, "backoff": 1e-33, "checkpoint_every": 2}
    settings = mesh(data, time, **wild)
    told = train(settings, prepared, tmp_path / "whole")
    (line,) = [progress.line for progress in told if progress.line]
    assert line.endswith("back to step 0, the learning rate times 1e-33, other windows (1 of 3 times)")
    train(dataclasses.replace(SMALL, **wild), prepared, tmp_path / "one")
    ours, theirs = (rollback_taken_out(tmp_path / name) for name in ("whole", "one"))
    assert [step for step, _ in ours] == [step for step, _ in theirs]
    np.testing.assert_allclose([loss for _, loss in ours], [loss for _, loss in theirs], rtol=1e-5)
    train(settings, prepared, tmp_path / "broken", stop_after=5)
    assert train(settings, prepared, tmp_path / "broken")[0].done == 4
    assert (tmp_path / "whole" / "history.jsonl").read_text() == (tmp_path / "broken" / "history.jsonl").read_text()
    (_, whole), (_, broken) = reached(tmp_path / "whole"), reached(tmp_path / "broken")
    assert all(whole[name].tobytes() == broken[name].tobytes() for name in whole)


def rollback_taken_out(folder):
    """The step and the number of each record, but for the one record that tells of going back."""
    records = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [record["diverged_at"] for record in records if "rollback" in record] == [2]
    return [(r["step"], r.get("loss", r.get("validation_mse"))) for r in records if "rollback" not in r]


@pytest.mark.slow
@pytest.mark.parametrize(("data", "time", "batch"), [(1, 3, 1), (2, 2, 3), (3, 1, 4)])
@pytest.mark.parametrize("recompute", [None, 4])
def test_uneven_meshes(prepared, tmp_path, data, time, batch, recompute):
    """23 frames over 3 workers, 3 windows over 2 rows."""
    train(dataclasses.replace(SMALL, batch=batch), prepared, tmp_path / "one")
    train(mesh(data, time, batch=batch, recompute=recompute), prepared, tmp_path / "many")
    assert difference(tmp_path / "many", tmp_path / "one") < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("choice", [{"transition": "kernel"}, {"transition": "pointwise", "selective": True}])
def test_other_transitions_on_a_mesh(prepared, tmp_path, choice):
    model = ModelSettings(channels=3, states=4, **choice)
    train(dataclasses.replace(SMALL, model=model), prepared, tmp_path / "one")
    train(mesh(2, 2, model=model), prepared, tmp_path / "many")
    assert difference(tmp_path / "many", tmp_path / "one") < 1e-5


@pytest.mark.slow
def test_a_user_s_mistake_on_a_mesh_is_still_one(prepared, tmp_path):
    with pytest.raises(InputError, match="a window of 200 frames does not fit the 90 frames of its split"):
        train(mesh(1, 2, window=200), prepared, tmp_path / "long")
    with pytest.raises(InputError, match=r"training diverged at step 2.*; lower learning_rate"):
        train(mesh(1, 2, learning_rate=1e30, clip=1e30, steps=20, backoff=1.0), prepared, tmp_path / "wild")


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen",
    [
        {"recompute": 5},
        pytest.param({"recompute": 5, "truncate": 1}, marks=pytest.mark.slow),
        pytest.param({"batch": 3}, marks=pytest.mark.slow),
    ],
)
def test_one_worker_with_the_same_settings(prepared, alone, tmp_path, chosen):
    """Recomputed: as it was. Truncated, or another batch: something else."""
    train(dataclasses.replace(SMALL, **chosen), prepared, tmp_path / "one")
    gap = difference(tmp_path / "one", alone)
    assert (gap < 1e-5) == (chosen == {"recompute": 5}), gap


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"batch": 0}, "batch is 0; give at least 1"),
        ({"recompute": 0}, "recompute is 0; give at least 1"),
        ({"data_parallel": 2}, "data_parallel is 2 and batch 1.*raise batch to at least 2"),
        ({"time_parallel": 100}, "time_parallel is 100 and window 100, of which 99 .* set time_parallel to at most 99"),
        ({"truncate": 2}, "truncate is 2 chunks and recompute, the frames of a chunk, is not given"),
        ({"truncate": 2, "recompute": 5, "time_parallel": 2}, "Leave truncate out, or set time_parallel to 1"),
        (
            {"model": ModelSettings(mixer="gru"), "time_parallel": 2},
            "'gru', of which a part of a window waits",
        ),
    ],
)
def test_settings_that_do_not_fit_together(wrong, words):
    with pytest.raises(ValueError, match=words):
        TrainSettings(**wrong)


def test_truncation_and_meshes_are_off_by_default():
    default = TrainSettings()
    assert (default.batch, default.recompute, default.truncate, default.workers) == (1, None, None, 1)


def test_a_mesh_of_another_size_is_refused(prepared, tmp_path):
    from pipeline.mesh import Alone

    with pytest.raises(ValueError, match="settings of 2 x 1 workers for a mesh of 1 x 1"):
        next(train_as_member(Alone(), mesh(2, 1), prepared, tmp_path))


def test_shares_are_all_there_and_even():
    for count in range(1, 30):
        for size in range(1, count + 1):
            shares = [share_of(count, rank, size) for rank in range(size)]
            assert [one for share in shares for one in share] == list(range(count))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1
