"""Layouts and exchanges with values that do not commute, on both executors: a wrong order shows at once."""

import os
import subprocess
import sys
from functools import partial

import pytest

from cluster import Done, LocalExecutor, Lost, Place, Started, Tally, WorkerLost, walk_all
from cluster.actor import Waiting, Worker
from cluster.exchange import EXCHANGES
from tests.cluster.teller import FaultOnce, Teller, Telling, hang, vanish


def run(executor, job, exchange="chain"):
    """Everything that a walk tells, with its shards committed."""
    events = []
    for event in walk_all(executor, job, job.layout, exchange):
        if isinstance(event, Done):
            job.commit(event.place)
        events.append(event)
    return events


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("workers", range(1, 10))
def test_every_shard_receives_all_before_it_in_order(workers, exchange, tmp_path):
    job = Telling(tmp_path, (19,))
    events = run(LocalExecutor(workers), job, exchange)
    assert job.told() == job.expected()
    assert sorted(e.place.index for e in events if isinstance(e, Done)) == list(range(19))


@pytest.mark.parametrize(
    "exchange", ["chain", *[pytest.param(e, marks=pytest.mark.slow) for e in ("tree", "all-gather")]]
)
def test_on_ray(exchange, ray_executor, tmp_path):
    job = Telling(tmp_path, (7, 2))
    events = run(ray_executor, job, exchange)
    assert job.told() == job.expected()
    assert len({e.answer for e in events if isinstance(e, Done)} - {os.getpid()}) == 3


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("lengths", [(5, 1, 3), (4, 4), (1, 1, 1, 1, 1), (0, 6), (0, 0)])
def test_strands_of_any_length_side_by_side_or_in_turn(lengths, together, asks, tmp_path):
    job = Telling(tmp_path, lengths, together, asks)
    run(LocalExecutor(3), job, "chain")
    assert job.told() == job.expected()


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("workers", [1, 2, 3, 7, 8])
def test_the_bytes_moved_are_those_predicted(workers, exchange, tmp_path):
    job = Telling(tmp_path, (17, 4), together=True)
    events = run(LocalExecutor(workers), job, exchange)
    (started,) = (e for e in events if isinstance(e, Started))
    assert sum(e.sent_bytes for e in events if isinstance(e, Tally)) == started.choice.moved_bytes
    assert (started.choice.moved_bytes > 0) == (workers > 1)


def test_a_run_continues_from_stored_carries_on_another_number_of_workers(executor, tmp_path):
    job = Telling(tmp_path, (3, 2))
    run(LocalExecutor(2), job)
    longer = Telling(tmp_path, (8, 2))
    events = run(executor, longer)
    assert longer.told() == longer.expected()
    assert {e.place for e in events if isinstance(e, Done)} == {Place(0, index) for index in range(3, 8)}


class Fails:
    def __init__(self, place):
        self.place = place

    def __call__(self, phase, place):
        if phase == "a" and place == self.place:
            raise LookupError(f"shard {place.index} cannot be read")


def test_a_failing_shard_is_reported_as_it_failed(executor, tmp_path):
    with pytest.raises(LookupError, match="shard 4 cannot be read"):
        run(executor, Telling(tmp_path, (6,), fault=Fails(Place(0, 4))))


class Forgetful(Teller):
    def entering_carry(self, place, point):
        del point
        raise FileNotFoundError(f"the carry that enters shard {place.index} is gone")


def test_a_carry_that_cannot_be_read_is_an_error_and_not_a_zero(executor, tmp_path):
    job = Telling(tmp_path, (3,))
    job.worker = lambda: partial(Forgetful, tmp_path)
    with pytest.raises(FileNotFoundError, match="the carry that enters shard 0 is gone"):
        run(executor, job)
    assert not list(tmp_path.iterdir())


def test_a_worker_says_what_it_waits_for(tmp_path):
    from cluster.ray_executor import _in_words

    job = Telling(tmp_path, (4,))
    layout = job.layout(2)
    alone = Worker(job.worker(), 1)
    events = alone.walk(layout, "chain", lambda *_: None, seconds=1)
    waiting = next(event for event in events if isinstance(event, Waiting))
    with pytest.raises(WorkerLost, match="waited 0 s for the carry that enters shard 1 of strand 0 from worker 0"):
        alone.mail.wait(waiting.keys, 0.1, lambda: _in_words(waiting.keys, layout))


class Stillborn:
    def __init__(self):
        raise ModuleNotFoundError("no module named chronovox here")


@pytest.mark.slow
def test_a_worker_that_cannot_start_says_why(ray_executor, tmp_path):
    job = Telling(tmp_path, (3,))
    job.worker = lambda: Stillborn
    with pytest.raises(RuntimeError, match="(?s)could not start.*no module named chronovox here"):
        run(ray_executor, job)


def count(stop):
    yield from range(stop)
    if stop == 3:
        raise LookupError("three is too many")


def test_stream(executor):
    assert list(executor.stream(count, 4, threads=1)) == [0, 1, 2, 3]
    with pytest.raises(LookupError, match="three is too many"):
        list(executor.stream(count, 3, threads=1))


@pytest.mark.slow
def test_ray_workers_are_processes_of_their_own_and_end_with_the_group(ray_executor, tmp_path):
    import psutil

    pids = {e.answer for e in run(ray_executor, Telling(tmp_path, (3,))) if isinstance(e, Done)}
    assert len({*pids, os.getpid()}) == 4
    gone, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=20)
    assert not alive, gone


@pytest.mark.parametrize("phase", [pytest.param(p, marks=pytest.mark.slow) for p in ("begin", "b", "written")] + ["a"])
def test_a_lost_worker_costs_what_was_not_committed(phase, ray_executor, tmp_path):
    job = Telling(tmp_path, (7,), fault=FaultOnce(tmp_path, phase, Place(0, 4), vanish))
    events = run(ray_executor, job)
    assert job.told() == job.expected()
    assert [type(e) for e in events].count(Lost) == 1


@pytest.mark.slow
def test_a_worker_that_is_lost_again_and_again_is_not_tried_for_ever(ray_executor, tmp_path):
    job = Telling(tmp_path, (2,), fault=lambda *_: vanish())
    with pytest.raises(WorkerLost, match="run the same command again to continue"):
        run(ray_executor, job)


@pytest.mark.slow
def test_a_silent_worker_counts_as_lost(tmp_path):
    from cluster.ray_executor import RayExecutor

    executor = RayExecutor(workers=2, silence=3)
    try:
        job = Telling(tmp_path, (4,), fault=FaultOnce(tmp_path, "a", Place(0, 1), hang))
        run(executor, job)
        assert job.told() == job.expected()
    finally:
        executor.close()


PRETENDED = """
import os, sys, pathlib, ray, time
from cluster import Done, walk_all
from cluster.ray_executor import RayExecutor
from tests.cluster.teller import Teller, Telling

class Seer(Teller):
    def program(self, place):
        yield from super().program(place)
        return lambda _: os.environ["CUDA_VISIBLE_DEVICES"]

ray.init("local", num_cpus=2, num_gpus=2, include_dashboard=False, logging_level="error")
job = Telling(pathlib.Path(sys.argv[1]), (4,))
job.worker = lambda: lambda: Seer(job.folder)
print(sorted({event.answer for event in walk_all(RayExecutor(), job, job.layout) if isinstance(event, Done)}))
deadline = time.monotonic() + 20
while ray.available_resources().get("GPU") != 2 and time.monotonic() < deadline:
    time.sleep(0.1)
print(ray.available_resources().get("GPU"))
print({one["state"] for one in ray.util.placement_group_table().values()})
try:
    list(walk_all(RayExecutor(workers=3), job, job.layout))
except ValueError as error:
    print(error)
ray.shutdown()
"""


@pytest.mark.slow
def test_each_worker_sees_a_gpu_of_its_own_and_gives_it_back(tmp_path):
    """On pretended GPUs; in a process of its own, which owns its Ray."""
    command = [sys.executable, "-c", PRETENDED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    devices, free, places, refused = done.stdout.splitlines()[-4:]
    assert devices == "['0', '1']", done.stderr
    assert (free, places) == ("2.0", "{'REMOVED'}")
    assert "3 workers were asked for, the cluster has 2 GPUs" in refused
