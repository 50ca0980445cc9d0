"""The command `scan`: a filter job over workers, cut by channels or by time, whichever is predicted to be faster."""

from __future__ import annotations

import dataclasses
import math
import time

from cluster import Executor, Layout, in_time, lay_out
from cluster.layout import APART
from pipeline.filter import FilterJob
from pipeline.progress import Progress
from pipeline.volume import DATA
from workflows.across import across_workers
from workflows.events import Finished, Started
from workflows.run import Display

READ_RATE, SCAN_RATE = 0.5e9, 2.0e9
"""Bytes a second that one core reads from a compressed store, and scans. Orders of magnitude: they only choose."""

STITCHED = 1.04
"""What a scan costs in one pass whose carry enters apart from the states (`make bench` measures it); two passes:
`APART`."""


def run_filter(
    job: FilterJob, executor: Executor, display: Display, *, cut: str = "auto", exchange: str = "auto"
) -> None:
    """Runs a job to its end and gives the result its name; tells it where nothing is to be done."""
    with job.alone():
        _run(job, executor, display, cut, exchange)


def _run(job: FilterJob, executor: Executor, display: Display, cut: str, exchange: str) -> None:
    begun = time.monotonic()
    if not job.complete:
        job.prepare()
    display.tell("scan", Started("scan"))
    done = sum(job.lengths) if job.complete else sum(job.ledger.done())
    for line in filter(None, (job.beginning(), job.borders(), job.promise())):
        display.tell("scan", Progress(done, sum(job.lengths), line=line))
    if job.complete:
        job.clear()
        display.tell("scan", Finished(time.monotonic() - begun))
        return
    for said in across_workers(job, executor, lambda workers: choose_cut(job, workers, cut), exchange):
        display.tell("scan", said)
    job.finish()
    display.tell("scan", Finished(time.monotonic() - begun))


def choose_cut(job: FilterJob, workers: int, cut: str = "auto") -> Layout:
    """Channels over the workers, or time; the parts of the channels are then walked side by side."""
    done, costs = job.ledger.done(), predicted(job, workers)
    if workers == 1:
        alone = f"all {job.sequence.shape[0]} frames are one shard, so one worker scans them" if job.most == 1 else ""
        return dataclasses.replace(in_time(job.lengths, 1, done=done), why=alone)
    chosen = min(costs, key=costs.get) if cut == "auto" else cut
    why = ", ".join(f"{name} {cost:.2f}" for name, cost in costs.items())
    by = lay_out_channels(job, workers, done) if chosen == "channels" else in_time(job.lengths, workers, done=done)
    return dataclasses.replace(by, why=f"{chosen} cut (predicted times of one worker's: {why})")


def lay_out_channels(job: FilterJob, workers: int, done: list[int]) -> Layout:
    """Neighbouring parts to the same worker, which reads them at once."""
    parts = len(job.lengths)
    teams = tuple((part * min(workers, parts) // parts,) for part in range(parts))
    return dataclasses.replace(lay_out(job.lengths, 1, done=done), teams=teams, bundles=(0,) * parts)


def predicted(job: FilterJob, workers: int) -> dict[str, float]:
    """The time of each cut, in that of one worker: reading and computing go on side by side, the slower one counts.

    A cut of channels needs no carries, but whoever reads some channels of a chunk reads all of it. A cut of time is
    walked in one pass where there are several parts, since a part's carry is then there when its turn comes.
    """
    parts, shards, sequence = len(job.lengths), max(job.lengths), job.sequence
    alone = max(1 / READ_RATE, 1 / SCAN_RATE)
    stored = job.volume[DATA].encoding["chunks"][1]
    widest = math.ceil(parts / workers)
    width = min(widest * (sequence.parts[0].stop - sequence.parts[0].start), sequence.shape[1])
    read = min(1.0, math.ceil(width / stored) * stored / sequence.shape[1])
    channels = max(read / READ_RATE, widest / parts / SCAN_RATE)
    share = math.ceil(shards / workers) / shards
    cost = STITCHED if parts > 1 else APART
    in_turn = max(share / READ_RATE, cost * share / SCAN_RATE)
    return {"channels": channels / alone, "time": in_turn / alone}
