"""Workers that train together, over torch.distributed: carries along time, sums over all. gloo on CPUs, NCCL on GPUs.

The workers form a mesh of `data` rows and `time` columns. A row shares a window, cut along time; rows have windows of
their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from cluster.mail import CONTINUE, WorkerLost
from ssm_ops import Affine


class TimeChain:
    """The ranks of one run of time, seen by one of them: a carry goes from rank to rank (`ssm_ops.TimeExchange`).

    Complex numbers travel as pairs of real ones. With gloo everything travels through the memory of the CPU.

    Args:
        group: The processes of the run, in the order of time.
        seconds: How long a neighbour may be waited for. NCCL waits on the device, as long as its group was set up for.
    """

    def __init__(self, group: dist.ProcessGroup, *, seconds: float):
        self._group, self._seconds, self._wire = group, seconds, wire(group)
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)

    def __call__(self, summary: Affine, *, backward: bool = False) -> Tensor | None:
        """The carry from the rank before, in time or, backward, against it; passes on the one to the rank behind.

        Raises:
            WorkerLost: A neighbour is gone, or did not get as far within the time limit.
        """
        step = -1 if backward else 1
        before, after = self.rank - step, self.rank + step
        what = "gradient to the carry" if backward else "carry"
        carry = self._receive(summary.offset, before, what) if 0 <= before < self.size else None
        if 0 <= after < self.size:
            self._send(summary(carry), after, what)
        return carry

    def _receive(self, like: Tensor, source: int, what: str) -> Tensor:
        room = torch.empty(like.shape, dtype=like.dtype, device=self._wire or like.device)
        what = f"{self._name()} waited for the {what} of rank {source}"
        within(self._seconds, lambda: dist.irecv(as_real(room), group=self._group, group_src=source), what)
        return room.to(like.device)

    def _send(self, carry: Tensor, target: int, what: str) -> None:
        parcel = carry.detach().to(self._wire or carry.device).resolve_conj().contiguous()
        what = f"{self._name()} had a {what} for rank {target}"
        within(self._seconds, lambda: dist.isend(as_real(parcel), group=self._group, group_dst=target), what)

    def _name(self) -> str:
        return f"rank {self.rank} of {self.size} along time"


@dataclass(frozen=True)
class Member:
    """One worker of a mesh.

    Attributes:
        data_rank, data_size: Its row, and how many there are.
        time_rank, time_size: Its place along time, and how many there are.
        exchange: The ranks of its row.
        seconds: How long the others may be waited for.
        wire: Where tensors lie that are sent, if not where they are.
    """

    data_rank: int
    data_size: int
    time_rank: int
    time_size: int
    exchange: TimeChain
    seconds: float
    wire: torch.device | None

    @staticmethod
    def of_mesh(*, data: int, time: int, seconds: float) -> Member:
        """This process's place in a mesh over all processes of the initialised torch.distributed, time running fastest.

        All processes call it together.
        """
        kind = "cuda" if dist.get_backend() == "nccl" else "cpu"
        mesh = init_device_mesh(kind, (data, time), mesh_dim_names=("data", "time"))
        chain = TimeChain(mesh.get_group("time"), seconds=seconds)
        return Member(mesh.get_local_rank("data"), data, chain.rank, time, chain, seconds, wire(None))

    def total(self, share: Tensor) -> Tensor:
        """The sum of all workers' shares, the same bits at each of them.

        Raises:
            WorkerLost: A worker is gone, or did not get as far within the time limit.
        """
        parcel = share.detach().to(self.wire or share.device, copy=True)
        size = self.data_size * self.time_size
        name = f"worker {self.data_rank * self.time_size + self.time_rank} of {size}"
        within(self.seconds, lambda: dist.all_reduce(parcel, async_op=True), f"{name} waited for the sum over all")
        return parcel.to(share.device)


def as_real(tensor: Tensor) -> Tensor:
    """The same memory as real numbers."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def wire(group: dist.ProcessGroup | None) -> torch.device | None:
    """Where tensors must lie that the group sends, if it matters."""
    return torch.device("cpu") if dist.get_backend(group) == "gloo" else None


def within(seconds: float, start: Callable[[], Any], what: str) -> None:
    """Starts a call of torch.distributed and waits for its end."""
    begun = time.monotonic()
    try:
        start().wait(timedelta(seconds=seconds))
    except RuntimeError as error:
        waited = time.monotonic() - begun
        reason = f"nothing came within {seconds:.0f} s" if waited >= 0.9 * seconds else "the connection is gone"
        raise WorkerLost(f"{what}: {reason}; {CONTINUE}") from error
