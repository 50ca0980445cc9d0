"""A worker's place among those that train one model together: rows of a mesh have windows of their own, columns share
one, cut along time. Who passes carries and sums between them is not told here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from ssm_ops import Affine, TimeExchange
from ssm_ops.carry import Carry


@runtime_checkable
class Member(Protocol):
    """One worker of a mesh; all of them make the same calls in the same order.

    Attributes:
        data_rank, data_size: Its row, and how many there are.
        time_rank, time_size: Its place along time, and how many there are.
        exchange: The workers of its row.
    """

    data_rank: int
    data_size: int
    time_rank: int
    time_size: int
    exchange: TimeExchange

    def total(self, share: Tensor) -> Tensor:
        """The sum of all workers' shares, the same bits at each of them."""
        ...


@dataclass(frozen=True)
class Alone:
    """The only worker."""

    data_rank: int = 0
    data_size: int = 1
    time_rank: int = 0
    time_size: int = 1

    def exchange(self, summary: Affine, *, backward: bool = False) -> Carry:
        del summary, backward

    def total(self, share: Tensor) -> Tensor:
        return share


def leads(member: Member) -> bool:
    """Whether this is the worker that writes what all have reached."""
    return member.data_rank == member.time_rank == 0


def share_of(count: int, rank: int, size: int) -> range:
    """The part of `count` things in a row that one of `size` workers takes; sizes differ by one at most."""
    return range(count * rank // size, count * (rank + 1) // size)
