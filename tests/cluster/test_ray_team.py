"""Teams on Ray Train: the same as processes of this machine; failures are told, and nothing is left of them."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import ray

from cluster.mail import WorkerLost
from cluster.ray_executor import RayExecutor
from cluster.resources import ResourceError
from pipeline import checkpoint
from tests.cluster import team
from tests.synthetic import write_recipe

COMMAND = Path(sys.executable).with_name("chronovox")
RAYS_OWN = {"_AutoscalingCoordinatorActor"}
"""One of a cluster, detached, without resources; Ray Train starts it and leaves it."""


def run(executor, function, *arguments, folder, data=1, time=2):
    return list(executor.team(function, *arguments, data=data, time=time, threads=1, folder=folder))


def left_behind():
    """Placement groups and actors that are still there after a while."""
    from ray._private.state import actors

    deadline = time.monotonic() + 20
    while True:
        places = [one for one in ray.util.placement_group_table().values() if one["state"] != "REMOVED"]
        alive = [one["ActorClassName"] for one in actors().values() if one["State"] != "DEAD"]
        found = places + [name for name in alive if name not in RAYS_OWN]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def test_more_workers_than_the_cluster_has_are_refused_at_once(ray_executor, tmp_path):
    ray_executor._start(3)
    with pytest.raises(ResourceError, match="training asks for 2 x 4 = 8 workers, the cluster has 3 slots of 1 CPU"):
        run(RayExecutor(), team.tells_its_place, data=2, time=4, folder=tmp_path)


@pytest.mark.slow
def test_a_team_works_and_leaves_nothing(ray_executor, tmp_path):
    place, total, *entering = run(ray_executor, team.everything, time=3, folder=tmp_path)
    assert place == (0, 1, 0, 3)
    assert total == [3.0, 3.0, 10101.0]
    assert entering[0] == [-1, 1, 4]
    assert left_behind() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("raises", LookupError, "rank 1 cannot read its frames"),
        ("dies", WorkerLost, "run the same command again to continue"),
    ],
)
def test_what_fails_is_told_and_nothing_is_left(ray_executor, tmp_path, how, error, words):
    with pytest.raises(error, match=words):
        run(ray_executor, team.fails, 1, how, folder=tmp_path)
    assert left_behind() == []


@pytest.mark.slow
def test_a_run_that_is_dropped_ends_its_workers(ray_executor, tmp_path):
    running = ray_executor.team(team.counts_for_ever, data=2, time=1, threads=1, folder=tmp_path)
    pid, size = next(running)
    assert size == 2
    worker = psutil.Process(pid)
    running.close()
    assert left_behind() == []
    assert not psutil.wait_procs([worker], timeout=30)[1]


MESH = ("--set", "model.time_parallel=2", "--set", "model.data_parallel=2", "--set", "model.batch=3")


def start(recipe, folder, *options):
    return subprocess.Popen(
        [COMMAND, "run", recipe, "--runs", folder, *MESH, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_recipe_on_a_mesh_interrupted_and_run_again(tmp_path):
    """On Ray and without it the same mesh makes the same bits, stopped by Ctrl-C and continued or not."""
    recipe = write_recipe(tmp_path, steps=30)
    local = start(recipe, tmp_path / "local", "--executor", "local")
    _, err = local.communicate(timeout=240)
    assert local.returncode == 0, err

    first, deadline = start(recipe, tmp_path / "ray"), time.monotonic() + 120
    while not list((tmp_path / "ray").glob("blobs/model-*/step-000000[12]?.zarr")):
        assert first.poll() is None, first.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    below = psutil.Process(first.pid).children(recursive=True)
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=120)
    assert first.returncode == 130, err
    assert "run the same command again to continue" in err
    _, alive = psutil.wait_procs(below, timeout=30)
    assert not alive

    second = start(recipe, tmp_path / "ray")
    _, err = second.communicate(timeout=240)
    assert second.returncode == 0, err
    (one,), (other,) = (list((tmp_path / where).glob("blobs/model-*")) for where in ("local", "ray"))
    assert (one / "history.jsonl").read_text() == (other / "history.jsonl").read_text()
    ours, theirs = (checkpoint.Checkpoint.load(folder / "checkpoint.zarr").weights for folder in (one, other))
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)
    assert not list(other.glob(".team*"))
