"""Everything that can break does, by a table of (phase, shard, attempt): the same bits, or a message and then the same
bits; and nothing of ours is left."""

import operator
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
import xarray as xr

from cluster import LocalExecutor
from pipeline import storage, stream
from pipeline.filter import FilterJob, FilterSettings, FilterWorker
from pipeline.stream import Clock, StoreError
from tests.pipeline.test_filter import BOUNDARY, VELOCITY, write_input
from tests.synthetic import Silent
from workflows.across import across_workers
from workflows.commands.filtering import choose_cut, run_filter
from workflows.display import Pace

COMMAND = Path(sys.executable).with_name("chronovox")
SETTINGS = FilterSettings(0.1, 0.2, VELOCITY, BOUNDARY)
SHAPE, SHARD = (45, 2, 1, 12, 10), 4
PATIENCE = 120.0


def vanish():
    os.kill(os.getpid(), signal.SIGKILL)


def bug():
    raise LookupError("a bug in one chunk")


class Faults(Clock):
    """A clock that does a deed when a phase of a shard comes for the n-th time, all workers and restarts counted.

    Args:
        table: {(phase, shard, attempt): deed}.
        folder: Where attempts are counted.
    """

    def __init__(self, table, folder):
        super().__init__()
        self.table, self.folder = table, folder

    @contextmanager
    def __call__(self, activity, what=None):
        shard = getattr(what, "index", what)
        with super().__call__(activity, what):
            for attempt in range(1, 9):
                deed = self.table.get((activity, shard, attempt))
                if deed is not None and self._nth(activity, shard) == attempt:
                    deed()
            yield

    def _nth(self, activity, shard):
        for attempt in range(1, 99):
            try:
                (self.folder / f"{activity}-{shard}-{attempt}").touch(exist_ok=False)
            except FileExistsError:
                continue
            return attempt
        raise AssertionError


class Faulty(FilterWorker):
    def __init__(self, sequence, table, folder):
        super().__init__(sequence, Faults(table, folder))


def filter_job(folder, table=None):
    job = FilterJob(SETTINGS, folder / "in.zarr", folder / "out.zarr", shard=SHARD)
    if table is not None:
        (folder / "attempts").mkdir(exist_ok=True)
        job.worker = lambda: partial(Faulty, job.sequence, table, folder / "attempts")
    return job


def run(job, executor, display=None):
    run_filter(job, executor, display or Silent(), cut="time")
    return bits(job.destination)


def bits(path):
    return xr.open_zarr(path, consolidated=False, decode_cf=False)["data"].values.tobytes()


@pytest.fixture
def whole(tmp_path):
    """The bits of a run that nothing disturbed; its input lies in `tmp_path`."""
    write_input(tmp_path / "in.zarr", SHAPE)
    undisturbed = FilterJob(SETTINGS, tmp_path / "in.zarr", tmp_path / "whole.zarr", shard=SHARD)
    return run(undisturbed, LocalExecutor(2))


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["reading", "waiting for reads", "computing", "waiting for writes", "writing"])
def test_a_worker_killed_in_any_phase(phase, whole, tmp_path, ray_executor):
    job = filter_job(tmp_path, {(phase, 4, 1): vanish, (phase, 7, 2): vanish})
    assert run(job, ray_executor) == whole


@pytest.mark.slow
def test_a_worker_that_raises_on_one_chunk(whole, tmp_path, ray_executor):
    with pytest.raises(LookupError, match="a bug in one chunk") as raised:
        run(filter_job(tmp_path, {("computing", 5, 1): bug}), ray_executor)
    assert raised.value.__notes__ == ["while at frames 20 to 23"]
    assert run(filter_job(tmp_path), ray_executor) == whole


def test_the_same_in_one_process(whole, tmp_path):
    with pytest.raises(LookupError, match="a bug in one chunk") as raised:
        run(filter_job(tmp_path, {("computing", 5, 1): bug}), LocalExecutor(2))
    assert raised.value.__notes__ == ["while at frames 20 to 23"]
    assert not (tmp_path / "out.zarr").exists()
    assert run(filter_job(tmp_path), LocalExecutor(3)) == whole


class Failing:
    """A function that raises the first so many times."""

    def __init__(self, function, times):
        self.function, self.left = function, times

    def __call__(self, *arguments, **more):
        self.left -= 1
        if self.left >= 0:
            raise OSError(5, "the disk is away")
        return self.function(*arguments, **more)


@pytest.mark.parametrize("what", ["store.read_frames", "store.write_frames", "rows.Rows.write"])
def test_a_store_that_fails_twice_and_then_works(what, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(stream.Retrying, "sleep", lambda *_: None, raising=False)
    job = filter_job(tmp_path)
    job.prepare()
    failing = Failing(operator.attrgetter(what)(storage), 2)
    monkeypatch.setattr(f"pipeline.storage.{what}", lambda *given, **more: failing(*given, **more))
    screen, pace = Silent(), Pace()
    assert run(job, LocalExecutor(2), screen) == whole
    for _, event in screen.events:
        pace.hear(event)
    assert "stores tried again 2 times" in pace.told()


def test_a_store_that_stays_away(whole, tmp_path, monkeypatch):
    job = filter_job(tmp_path)
    job.prepare()
    with monkeypatch.context() as broken:
        broken.setattr(storage.store, "write_frames", Failing(storage.store.write_frames, 99))
        with pytest.raises(StoreError, match=r"writing frames 0 to 3 of .*failed 4 times.*the disk is away; what was"):
            run(job, LocalExecutor(2))
    assert run(filter_job(tmp_path), LocalExecutor(2)) == whole


@pytest.mark.slow
def test_a_node_that_goes(whole, tmp_path):
    """Three nodes of one slot each; one is removed while its worker works. In a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.node_that_goes", tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1 lost, 2 workers afterwards"
    assert bits(tmp_path / "out.zarr") == whole


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_everything_and_the_same_command_continues(sent, code, tmp_path):
    write_input(tmp_path / "in.zarr", (400, 2, 1, 64, 64))
    command = [COMMAND, "scan", "in.zarr", "out.zarr", "--decay", "0.1", "--workers", "2", "--memory", "505MB"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ledger, deadline = tmp_path / "out.zarr.part" / "committed.json", time.monotonic() + PATIENCE
    while not ledger.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    below = psutil.Process(process.pid).children(recursive=True)
    begun = time.monotonic()
    process.send_signal(sent)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert time.monotonic() - begun < 10
    assert errors.strip().endswith("run the same command again to continue")
    assert "Traceback" not in errors
    assert not psutil.wait_procs(below, timeout=10)[1]
    assert not (tmp_path / "out.zarr").exists()
    subprocess.run(command, cwd=tmp_path, check=True, timeout=PATIENCE, capture_output=True)
    subprocess.run(
        [*command[:2], "in.zarr", "whole.zarr", *command[4:], "--executor", "local"],
        cwd=tmp_path,
        check=True,
        timeout=PATIENCE,
        capture_output=True,
    )
    assert bits(tmp_path / "out.zarr") == bits(tmp_path / "whole.zarr")


@pytest.mark.slow
def test_nothing_is_left_after_a_cancelled_walk(whole, tmp_path, ray_executor):
    """No actor, no placement group, no object; the slots are free."""
    import ray

    job = filter_job(tmp_path)
    job.prepare()
    steps = across_workers(job, ray_executor, lambda workers: choose_cut(job, workers, "time"))
    while sum(job.ledger.done()) < 2:
        next(steps)
    assert len(_references()) < 40  # the driver holds handles and streams of small answers, no carry
    steps.close()
    deadline = time.monotonic() + 20
    total = ray.cluster_resources()["CPU"]
    while ray.available_resources().get("CPU") != total and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ray.available_resources()["CPU"] == total
    assert {one["state"] for one in ray.util.placement_group_table().values()} == {"REMOVED"}
    assert not _references()
    assert run(filter_job(tmp_path), LocalExecutor(2)) == whole


def _references():
    """What the driver holds in the object store."""
    import gc

    import ray

    gc.collect()
    return ray._private.worker.global_worker.core_worker.get_all_reference_counts()
