"""Teams of processes on this machine: places, exchange, exact gradients; failures are told and nobody is left."""

import time
from pathlib import Path

import psutil
import pytest
import torch

from cluster import LocalExecutor
from cluster.mail import WorkerLost
from ssm_ops import scan
from tests.cluster import team
from tests.cluster.teller import Telling
from tests.ssm_ops.cases import inputs, transition


def run(function, *arguments, data=1, time=2, silence=60.0):
    executor = LocalExecutor(silence=silence)
    return list(executor.team(function, *arguments, data=data, time=time, threads=1, folder=Path()))


def children():
    return [
        one for one in psutil.Process().children(recursive=True) if "resource_tracker" not in " ".join(one.cmdline())
    ]


@pytest.mark.parametrize(
    "exchange", ["tree", *[pytest.param(e, marks=pytest.mark.slow) for e in ("chain", "all-gather")]]
)
def test_walking_workers_may_send_their_messages_over_torch_distributed(exchange, tmp_path):
    job = Telling(tmp_path, (8, 3))
    *_, tally = run(team.walks, tmp_path, job.lengths, exchange, time=3)
    assert job.told() == job.expected()
    assert tally.sent_bytes > 0


@pytest.mark.slow
def test_three_along_time():
    place, total, *rest = run(team.everything, time=3)
    assert place == (0, 1, 0, 3)
    assert total == [3.0, 3.0, 10101.0]
    for forward, backward in zip(rest[:6:2], rest[1:6:2], strict=True):
        assert forward == [-1, 1, 4]  # 3 * 1 + 1
        assert backward == [4, 1, -1]  # 3 * 1 + 1, from the right
    for family, found in zip(("drifting", "pointwise"), rest[6:], strict=True):
        base, x = transition(family, team.BOUNDARY), inputs((5, 8), sum(team.LENGTHS)).requires_grad_()
        leaves = {n: v.requires_grad_() for n, v in vars(base).items() if isinstance(v, torch.Tensor)}
        states, _ = scan(x, type(base)(**leaves), boundary=team.BOUNDARY, backend="spectral")
        (states.real * (1 + states.real)).sum().backward()
        whole = (states.detach(), x.grad, *(leaf.grad for leaf in leaves.values()))
        expected = [torch.view_as_real(t) if t.is_complex() else t for t in whole]
        for one, other in zip(expected, found, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("raises", LookupError, "rank 1 cannot read its frames"),
        ("dies", WorkerLost, "run the same command again to continue"),
    ],
)
def test_what_fails_is_told_at_once_and_nobody_is_left(how, error, words):
    before, begun = children(), time.monotonic()
    with pytest.raises(error, match=words):
        run(team.fails, 1, how)
    assert time.monotonic() - begun < 30
    assert children() == before


@pytest.mark.slow
def test_waiting_has_a_limit():
    words = "rank 1 of 2 along time waited for the carry of rank 0: nothing came within 1 s"
    with pytest.raises(WorkerLost, match=words):
        run(team.fails, 0, "sleeps", silence=1.0)


@pytest.mark.slow
def test_waiting_for_a_sum_has_a_limit():
    with pytest.raises(WorkerLost, match="worker 1 of 2 waited for the sum over all: nothing came within 1 s"):
        run(team.fails, 0, "misses the sum", silence=1.0)


def test_a_run_that_is_dropped_ends_its_workers():
    before = children()
    running = LocalExecutor(silence=60.0).team(team.counts_for_ever, data=2, time=1, threads=1, folder=Path())
    pid, size = next(running)
    assert size == 2
    assert psutil.pid_exists(pid)
    running.close()
    assert children() == before
