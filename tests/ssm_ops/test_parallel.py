"""Jobs on torch's own threads, or on threads of ours where torch's cannot be started."""

import multiprocessing
import threading
import time

import pytest
import torch

from ssm_ops import parallel
from ssm_ops.parallel import Threads, granted

CPU = torch.device("cpu")


@pytest.fixture(params=["torch's threads", "own threads"])
def threads(request, monkeypatch):
    if request.param == "own threads":
        monkeypatch.setattr(parallel, "_team", lambda: None)
    elif parallel._team() is None:
        pytest.skip("torch runs on another OpenMP than GNU's")
    return Threads(3, CPU)


def test_every_job_runs_once_and_several_at_a_time(threads):
    done, together = [], threading.Barrier(3, timeout=60)

    def work(job: int) -> None:
        if job < 3:
            together.wait()  # passes only if three threads are here
        done.append((job, threading.get_ident()))

    threads.run(work, range(20))
    assert sorted(job for job, _ in done) == list(range(20))
    assert len({thread for _, thread in done}) == 3


def test_what_a_job_raises_is_raised(threads):
    done = []

    def work(job: int) -> None:
        if job == 5:
            raise ValueError(f"job {job}")
        time.sleep(0.002)
        done.append(job)

    with pytest.raises(ValueError, match="job 5"):
        threads.run(work, range(1000))
    assert len(done) < 900  # nobody goes on for long
    threads.run(done.append, [100])
    assert 100 in done


def test_threads_have_the_caller_s_gradient_mode(threads):
    modes, together = [], threading.Barrier(3, timeout=60)

    def work(_: int) -> None:
        together.wait()
        modes.append(torch.is_grad_enabled())

    with torch.no_grad():
        threads.run(work, range(3))
    threads.run(work, range(3))
    assert modes == [False] * 3 + [True] * 3


def test_torch_works_with_one_thread_within():
    before = torch.get_num_threads()
    with granted(CPU) as threads:
        assert threads.count == before
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_a_forked_process_does_not_wait_for_threads_that_it_does_not_have():
    Threads(2, CPU).run(lambda _: None, range(4))  # torch's threads are there
    child = multiprocessing.get_context("fork").Process(target=_in_a_fork)
    child.start()
    child.join(timeout=60)
    ended = child.exitcode
    if ended is None:
        child.kill()
        child.join(timeout=60)
    assert ended == 0


def _in_a_fork():
    done = []
    Threads(2, CPU).run(done.append, range(4))
    assert sorted(done) == [0, 1, 2, 3]
