"""What the workers of a team do in tests; each in a process of its own, so that it must be importable."""

from __future__ import annotations

import os
import time

import torch

from ssm_ops import Affine, time_parallel_scan
from tests.ssm_ops.cases import inputs, transition

LENGTHS = (4, 1, 4)
BOUNDARY = ("reflect", "periodic")


def tells_its_place(member):
    yield member.data_rank, member.data_size, member.time_rank, member.time_size
    total = member.total(torch.tensor([1.0, 10.0**member.data_rank, 100.0**member.time_rank]))
    yield total.tolist()


def composes(member, dtype):
    """The carry that enters each, of maps that do not commute; put together by the sum over all."""
    for backward in (False, True):
        own = Affine(torch.tensor([2.0 + member.time_rank], dtype=dtype), torch.tensor([1.0], dtype=dtype))
        entering = member.exchange(own, backward=backward)
        places = torch.zeros(member.time_size, dtype=torch.float64)
        places[member.time_rank] = -1.0 if entering is None else entering.real.item()
        yield member.total(places).tolist()


def scans(member, family):
    """The states, and the gradients to the input and the transition, put together by the sum over all."""
    base = transition(family, BOUNDARY)
    x = inputs((5, 8), sum(LENGTHS)).requires_grad_()
    leaves = {name: value.requires_grad_() for name, value in vars(base).items() if isinstance(value, torch.Tensor)}
    before = sum(LENGTHS[: member.time_rank])
    own = x[before : before + LENGTHS[member.time_rank]]
    states, _ = time_parallel_scan(own, type(base)(**leaves), boundary=BOUNDARY, exchange=member.exchange)
    whole = torch.zeros(x.shape, dtype=states.dtype)
    whole[before : before + len(own)] = states.detach()
    (states.real * (1 + states.real)).sum().backward()
    shares = [
        torch.view_as_real(t) if t.is_complex() else t for t in (whole, x.grad, *(v.grad for v in leaves.values()))
    ]
    yield [member.total(share) for share in shares]


def everything(member):
    """Several trials in one team: processes take seconds to start."""
    yield from tells_its_place(member)
    for dtype in (torch.float32, torch.complex64, torch.complex128):
        yield from composes(member, dtype)
    for family in ("drifting", "pointwise"):
        yield from scans(member, family)


def fails(member, rank, how):
    yield "begun"
    if member.time_rank == rank:
        if how == "raises":
            raise LookupError(f"rank {rank} cannot read its frames")
        if how == "dies":
            os._exit(3)
        time.sleep(30)
    if how == "misses the sum":
        member.total(torch.ones(1))
    member.exchange(Affine(torch.ones(1), torch.ones(1)))
    member.total(torch.ones(1))


def counts_for_ever(member):
    while True:
        yield os.getpid(), int(member.total(torch.ones(1)).item())


def walks(member, folder, lengths, exchange):
    """A walk whose messages go over torch.distributed; yields what the first worker tells."""
    import torch.distributed as dist

    from cluster.actor import Waiting, Worker
    from cluster.torch_mail import TorchMail
    from tests.cluster.teller import Telling

    job = Telling(folder, lengths, together=True)
    worker = Worker(job.worker(), member.time_rank)
    mail = TorchMail(dist.group.WORLD, worker.mail)
    for event in worker.walk(job.layout(member.time_size), exchange, mail.deliver, seconds=30):
        if isinstance(event, Waiting):
            worker.mail.wait(event.keys, 30, lambda: "a message")
        else:
            yield event
    mail.close(30)
