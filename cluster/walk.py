"""From a job to its answer: workers, layout and exchange are chosen, and chosen anew when a worker was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from cluster.actor import Doing, Done, Owner, Pulse, Tally
from cluster.cost import Choice, choose
from cluster.executor import Executor
from cluster.layout import Layout
from cluster.mail import WorkerLost

LOSSES = 3
"""Losses of workers in a row, with no shard done between them, that are borne."""


class Job(Protocol):
    """What is to be done, and how far it is.

    Attributes:
        most: Workers that it can use.
        threads: CPU threads of a worker.
        states: Bytes of the carry of each exchange point.
        work: Seconds that one shard of all strands takes a worker at least; 0 if that is not known.
    """

    most: int
    threads: int
    states: Sequence[int]
    work: float

    def worker(self) -> Callable[[], Owner]:
        """A picklable call that makes the owner of a worker, wherever it runs."""
        ...


@dataclass(frozen=True)
class Started:
    """Workers have found their places."""

    workers: int
    layout: Layout
    choice: Choice


@dataclass(frozen=True)
class Lost:
    """A worker was lost; the work goes on from what is committed."""

    why: str


def walk_all(
    executor: Executor, job: Job, layout: Callable[[int], Layout], exchange: str = "auto"
) -> Iterator[Started | Done | Doing | Pulse | Tally | Lost]:
    """Does all shards of a job that are not committed; the caller commits each `Done` before it asks for the next.

    A lost worker costs what was not committed: all workers start anew from there, as many as there is room for then.

    Args:
        layout: From a number of workers to who owns which of the shards that are not committed yet.
        exchange: Of `cluster.exchange.EXCHANGES`, or `auto`.

    Raises:
        WorkerLost: Workers were lost again and again without a shard done in between.
    """
    losses = 0
    while True:
        try:
            with executor.group(job.worker(), threads=job.threads, most=job.most, fewer=losses > 0) as group:
                plan = layout(group.size)
                largest = max(job.states, default=0)
                choice = choose(plan, job.states, group.hop(largest), exchange, work=job.work)
                yield Started(group.size, plan, choice)
                for event in group.walk(plan, choice.name):
                    losses = 0
                    yield event
            return
        except WorkerLost as lost:
            losses += 1
            if losses > LOSSES:
                raise
            yield Lost(str(lost))
