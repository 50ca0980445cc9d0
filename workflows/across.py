"""A job over the workers of an executor: shards committed as they are done, told as progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import cluster
from cluster import Doing, Done, Executor, Layout, Place, Started, Tally, lay_out, walk_all
from cluster.cost import readable
from pipeline.device import threads_kept
from pipeline.ledger import Ledger
from pipeline.progress import Progress
from workflows.events import Lost, Pulse, Sent, Shard, Spread
from workflows.stage import Said


class Job(cluster.Job, Protocol):
    """What a stage hands over: shards of strands, and who computes them.

    Attributes:
        lengths: Shards of each strand.
        extents: Each strand's name, its frames, and the frames of its shards (the last may have fewer).
        ledger: What is committed.
        frame_bytes: Of a frame that is read, uncompressed.
        parts: Strands that a frame is divided over.
    """

    lengths: Sequence[int]
    extents: Sequence[tuple[str, int, int]]
    ledger: Ledger
    frame_bytes: int
    parts: int

    def describe(self, place: Place) -> str:
        """A shard in words."""
        ...


def across_workers(
    job: Job, executor: Executor, layout: Callable[[int], Layout] | None = None, exchange: str = "auto"
) -> Iterator[Said]:
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
    predicted = moved = frames = 0
    owners: dict[Place, int] = {}

    def rates() -> dict[str, int]:
        return {"frames": frames // job.parts, "size": frames * job.frame_bytes // job.parts}

    try:
        with threads_kept():
            for event in walk_all(executor, job, layout, exchange):
                if isinstance(event, Started):
                    predicted, moved, seconds = event.choice.moved_bytes, 0, Counter()
                    if event.choice.members > 1:
                        job.ledger.keep_exchange(event.choice.name)
                    yield spread(job, event)
                    workers = f"{event.workers} worker{'s' if event.workers > 1 else ''}"
                    told = "; ".join(filter(None, (workers, event.layout.why, str(event.choice))))
                    yield Progress(done, total, workers, line=told)
                elif isinstance(event, cluster.Lost):
                    yield Lost(event.why)
                    yield Progress(done, total, "starting anew", line=f"{event.why}; going on from what is committed")
                elif isinstance(event, Doing):
                    owners[event.place] = event.worker
                    yield Shard(event.place.strand, event.place.index, event.worker, event.what)
                elif isinstance(event, Done):
                    job.ledger.commit(event.place.strand, event.place.index)
                    done, frames = done + 1, frames + event.answer
                    yield Shard(event.place.strand, event.place.index, owners.pop(event.place), "done")
                    yield Progress(done, total, job.describe(event.place), **rates())
                elif isinstance(event, cluster.Pulse):
                    spent = event.report | {"waiting for carries": event.waited, "all": event.seconds}
                    yield Pulse(event.worker, event.usage, spent)
                elif isinstance(event, Tally):
                    moved += event.sent_bytes
                    yield Sent(event.worker, event.sent, event.sent_bytes)
                    seconds.update(event.report | {"waiting for carries": event.waited, "all": event.seconds})
    finally:
        job.ledger.flush()
    told = f"; {readable(moved)} moved between workers, {readable(predicted)} were predicted" if predicted else ""
    yield Progress(done, total, line=shares(seconds) + told, **rates())


def spread(job: Job, started: Started) -> Spread:
    """How the shards of a job were divided."""
    layout, choice = started.layout, started.choice
    return Spread(
        started.workers,
        tuple(job.lengths),
        tuple(job.extents),
        layout.spans,
        layout.teams,
        choice.name if choice.members > 1 else "none",
        choice.moved_bytes,
        layout.why,
    )


def shares(seconds: Mapping[str, float]) -> str:
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
