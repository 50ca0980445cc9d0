"""Waves and exchange with values that do not commute, on both executors: a wrong order shows at once."""

import os
import subprocess
import sys

import pytest

from cluster import run_waves
from cluster.actor import Worker
from cluster.executor import WorkerLost


class Say:
    """The map `state -> state + word`: strings tell the order of everything that was composed."""

    def __init__(self, word):
        self.word = word

    def __call__(self, carry):
        return (carry or "") + self.word


class Teller:
    """Two exchange points a shard; writes what entered each into a file, as the forecast does with its frames."""

    def __init__(self, folder, fail=None):
        self.folder, self.fail = folder, fail

    def program(self, shard):
        if shard == self.fail:
            raise LookupError(f"shard {shard} cannot be read")
        first = yield Say(f"a{shard}.")
        second = yield Say(f"b{shard}.")
        (self.folder / str(shard)).write_text(f"{first or ''}|{second or ''}")
        (self.folder / f"entering-{shard + 1}").write_text(f"{Say(f'a{shard}.')(first)}|{Say(f'b{shard}.')(second)}")
        return shard

    def entering_carry(self, shard, point):
        if shard == 0:
            return None
        return (self.folder / f"entering-{shard}").read_text().split("|")[point]

    def process(self):
        return os.getpid()

    def vanish(self):
        os._exit(1)


def teller(folder, fail=None):
    return lambda: Teller(folder, fail)


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_every_shard_receives_all_before_it_in_order(executor, tmp_path, shards):
    with executor.group(teller(tmp_path), threads=1, most=shards) as group:
        assert group.size == min(3, shards)
        waves = list(run_waves(group, range(shards), exchanges=2))
    assert [shard for wave in waves for shard in wave] == list(range(shards))
    for shard in range(shards):
        before = ["".join(f"{letter}{earlier}." for earlier in range(shard)) for letter in "ab"]
        assert (tmp_path / str(shard)).read_text() == "|".join(before)


def test_a_run_continues_from_stored_carries(executor, tmp_path):
    with executor.group(teller(tmp_path), threads=1, most=2) as group:
        list(run_waves(group, range(2), exchanges=2))
    with executor.group(teller(tmp_path), threads=1, most=3) as group:
        list(run_waves(group, range(2, 5), exchanges=2))
    assert (tmp_path / "4").read_text() == "a0.a1.a2.a3.|b0.b1.b2.b3."


def test_a_failing_shard_is_reported_as_it_failed(executor, tmp_path):
    with (
        executor.group(teller(tmp_path, fail=4), threads=1, most=9) as group,
        pytest.raises(LookupError, match="shard 4 cannot be read"),
    ):
        list(run_waves(group, range(6), exchanges=2))


class Forgetful(Teller):
    def entering_carry(self, shard, point):
        del point
        raise FileNotFoundError(f"the carry that enters shard {shard} is gone")


def test_a_carry_that_cannot_be_read_is_an_error_and_not_a_zero(executor, tmp_path):
    """On Ray a call whose argument failed never runs; its worker must not take that for 'nothing came before'."""
    with (
        executor.group(lambda: Forgetful(tmp_path), threads=1, most=3) as group,
        pytest.raises(FileNotFoundError, match="the carry that enters shard 0 is gone"),
    ):
        list(run_waves(group, range(3), exchanges=2))
    assert not list(tmp_path.iterdir())


def test_without_a_carry_a_worker_refuses_to_go_on(tmp_path):
    worker = Worker(teller(tmp_path))
    worker.begin(0)
    with pytest.raises(RuntimeError, match="no carry arrived"):
        worker.resume()


class Stillborn:
    def __init__(self):
        raise ModuleNotFoundError("no module named chronovox here")


def test_a_worker_that_cannot_start_says_why(ray_executor):
    with (
        ray_executor.group(Stillborn, threads=1, most=1) as group,
        pytest.raises(RuntimeError, match="(?s)could not start.*no module named chronovox here"),
    ):
        group.wait([group.call(0, "ask", "anything")])


def count(stop):
    yield from range(stop)
    if stop == 3:
        raise LookupError("three is too many")


def test_stream(executor):
    assert list(executor.stream(count, 4, threads=1)) == [0, 1, 2, 3]
    with pytest.raises(LookupError, match="three is too many"):
        list(executor.stream(count, 3, threads=1))


def test_ray_workers_are_processes_of_their_own_and_end_with_the_group(ray_executor, tmp_path):
    import psutil

    with ray_executor.group(teller(tmp_path), threads=1, most=3) as group:
        pids = group.wait([group.call(worker, "ask", "process") for worker in range(3)])
        assert len({*pids, os.getpid()}) == 4
    gone, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=20)
    assert not alive, gone


def test_a_lost_worker_is_named_and_not_waited_for(ray_executor, tmp_path):
    with (
        ray_executor.group(teller(tmp_path), threads=1, most=2) as group,
        pytest.raises(WorkerLost, match="run the same command again to continue"),
    ):
        group.wait([group.call(0, "ask", "vanish")])


PRETENDED = """
import os, ray
from cluster.ray_executor import RayExecutor

class Seer:
    def sees(self):
        return os.environ["CUDA_VISIBLE_DEVICES"]

ray.init("local", num_cpus=2, num_gpus=2, include_dashboard=False, logging_level="error")
with RayExecutor().group(Seer, threads=1, most=8) as group:
    print(sorted(group.wait([group.call(worker, "ask", "sees") for worker in range(group.size)])))
ray.shutdown()
"""


def test_each_worker_sees_a_gpu_of_its_own():
    """On pretended GPUs; in a process of its own, which owns its Ray."""
    done = subprocess.run([sys.executable, "-c", PRETENDED], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines()[-1:] == ["['0', '1']"], done.stderr
