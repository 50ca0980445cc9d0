"""A job over the workers of an executor: shards committed as they are done, told as progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import cluster
from cluster import Done, Executor, Layout, Lost, Place, Started, Tally, lay_out, walk_all
from cluster.cost import readable
from pipeline.device import threads_kept
from pipeline.ledger import Ledger
from pipeline.progress import Progress, Steps


class Job(cluster.Job, Protocol):
    """What a stage hands over: shards of strands, and who computes them.

    Attributes:
        lengths: Shards of each strand.
        ledger: What is committed.
    """

    lengths: Sequence[int]
    ledger: Ledger

    def describe(self, place: Place) -> str:
        """A shard in words."""
        ...


def across_workers(
    job: Job, executor: Executor, layout: Callable[[int], Layout] | None = None, exchange: str = "auto"
) -> Steps:
    """Does what is not committed of a job; by default strands over the workers first, time cut for what is left."""

    def strands_first(workers: int) -> Layout:
        return lay_out(job.lengths, workers, done=job.ledger.done())

    layout = layout or strands_first
    if exchange == "auto":
        exchange = job.ledger.exchange or "auto"
    done, total = sum(job.ledger.done()), sum(job.lengths)
    yield Progress(done, total, f"{total} shards")
    if done == total:
        return
    seconds: Counter[str] = Counter()
    predicted = moved = 0
    try:
        with threads_kept():
            for event in walk_all(executor, job, layout, exchange):
                if isinstance(event, Started):
                    predicted, moved, seconds = event.choice.moved_bytes, 0, Counter()
                    if event.choice.members > 1:
                        job.ledger.keep_exchange(event.choice.name)
                    workers = f"{event.workers} worker{'s' if event.workers > 1 else ''}"
                    told = "; ".join(filter(None, (workers, event.layout.why, str(event.choice))))
                    yield Progress(done, total, workers, line=told)
                elif isinstance(event, Lost):
                    yield Progress(done, total, "starting anew", line=f"{event.why}; going on from what is committed")
                elif isinstance(event, Done):
                    job.ledger.commit(event.place.strand, event.place.index)
                    done += 1
                    yield Progress(done, total, job.describe(event.place))
                elif isinstance(event, Tally):
                    moved += event.sent_bytes
                    seconds.update(event.report | {"waiting for carries": event.waited, "all": event.seconds})
    finally:
        job.ledger.flush()
    told = f"; {readable(moved)} moved between workers, {readable(predicted)} were predicted" if predicted else ""
    yield Progress(done, total, "done", line=shares(seconds) + told)


def shares(seconds: Counter[str]) -> str:
    """What the workers did, of their time. Readers and writers work beside the computation, so it may be over 100 %."""
    return ", ".join(f"{name} {seconds[name] / seconds['all']:.0%}" for name in ACTIVITIES if name in seconds)


ACTIVITIES = (
    "reading",
    "computing",
    "writing",
    "waiting for reads",
    "waiting for carries",
    "waiting for writes",
)
